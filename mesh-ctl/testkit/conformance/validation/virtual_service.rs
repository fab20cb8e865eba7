//! Functions over VirtualServices and their parts.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    Row::new("TestValidateVirtualService", "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: $in}"),
    Row::new("TestValidateChainingVirtualService", "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: $in}"),
    Row::new(
        "TestValidateHTTPRoute",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [$route]}}",
    ),
    Row::new(
        "TestValidateRootHTTPRoute",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [$route]}}",
    ),
    // A delegate has no hosts.
    Row::new("TestValidateDelegateHTTPRoute", "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {http: [$route]}}"),
    Row::new(
        "TestValidateHTTPHeaderName",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {match: [{headers: {$case: {exact: a}}}], route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateHTTPHeaderValue",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {headers: {request: {set: {x-test: $input}}}, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateCORSPolicy",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {corsPolicy: $in, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateHTTPStatus",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [{directResponse: {status: $in}}]}}",
    ),
    Row::new(
        "TestValidateHTTPFaultInjectionAbort",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {fault: {abort: $in}, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateHTTPFaultInjectionDelay",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {fault: {delay: $in, abort: {httpStatus: 503}}, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateHTTPRetry",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {retries: $in, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateHTTPRewrite",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {rewrite: $in, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    Row::new(
        "TestValidateUriRegexRewrite",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {rewrite: {authority: c.example.com, uriRegexRewrite: $in}, route: [{destination: {host: b.example.com}}]}]}}",
    ),
    // No redirect: the route must do something else.
    Row::new(
        "TestValidateHTTPRedirect",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [
          {redirect: $redirect, route: [{destination: {host: b.example.com}}]}]}}",
    )
    .when(|input| input.field("redirect").is_null()),
    Row::new(
        "TestValidateHTTPRedirect",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [{redirect: $redirect}]}}",
    ),
    Row::new(
        "TestValidateHTTPDirectResponse",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [{directResponse: $directResponse}]}}",
    ),
    Row::new(
        "TestValidateDestination",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], http: [{route: [{destination: $destination}]}]}}",
    ),
    Row::new(
        "TestValidateRouteDestination",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [a.example.com], tcp: [{route: $routes}]}}",
    ),
    Row::new(
        "TestValidateWildcardDomainForVirtualServiceBoundToGateway",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [$in], gateways: [gateway], tls: [
          {match: [{sniHosts: [$in]}], route: [{destination: {host: b.example.com}}]}]}}",
    )
    .when(|input| input.is("sni")),
    Row::new(
        "TestValidateWildcardDomainForVirtualServiceBoundToGateway",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [$in], gateways: [gateway], http: [
          {route: [{destination: {host: b.example.com}}]}]}}",
    ),
    // Reads the names that `AUTO_PASSTHROUGH` makes; only such a name may stand here.
    Row::new(
        "TestParseAutoGeneratedSNIDomain",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, spec: {hosts: [$in], gateways: [gateway], tls: [
          {match: [{sniHosts: [$in]}], route: [{destination: {host: b.example.com}}]}]}}",
    ),
];
