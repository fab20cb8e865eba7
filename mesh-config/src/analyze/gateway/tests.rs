//! Gateways and what is around them.

use crate::analyze::check::check;

const WORKLOADS: &str = "apiVersion: v1
kind: Pod
metadata: {name: edge, namespace: edge, labels: {app: edge, tier: front}}
spec: {containers: [{name: proxy, image: proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: edge}
spec:
  selector: {app: edge}
  ports: [{name: https, port: 443, targetPort: 8443}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: other}
spec:
  selector: {app: edge}
  ports: [{name: https, port: 9443}]
";

fn gateway(name: &str, selector: &str, port: u16, host: &str, tls: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: {name}
  namespace: shop
spec:
  selector: {selector}
  servers:
  - hosts: [{host}]
    port:
      number: {port}
      name: https
      protocol: HTTPS
    tls:
      mode: SIMPLE
      {tls}
"
    )
}

fn files(name: &str, selector: &str, port: u16, host: &str) -> String {
    gateway(name, selector, port, host, "serverCertificate: /c\n      privateKey: /k")
}

#[test]
fn ports_must_be_on_the_gateways_service() {
    let name = "gateway.IngressGatewayPortAnalyzer";
    check(name, &[WORKLOADS, &files("a", "{app: edge}", 443, "a.com"), &files("b", "{app: edge}", 8443, "a.com")], &[]);
    let expected = ["IST0101 Gateway shop/typo:7 spec.selector", "IST0162 Gateway shop/a:11 spec.servers[0].port.number"];
    check(name, &[WORKLOADS, &files("a", "{app: edge}", 9443, "a.com"), &files("typo", "{app: egde}", 443, "a.com")], &expected);
}

#[test]
fn one_host_of_one_port_has_one_gateway() {
    let name = "gateway.ConflictingGatewayAnalyzer";
    let expected = ["IST0145 Gateway shop/a:9 spec.servers[0]", "IST0145 Gateway shop/b:9 spec.servers[0]"];
    check(name, &[&files("a", "{app: x}", 443, "a.com"), &files("b", "{app: x}", 443, "a.com")], &expected);
    check(name, &[WORKLOADS, &files("a", "{app: edge}", 443, "a.com"), &files("b", "{app: edge, tier: front}", 443, "a.com")], &expected);
    // No pod has the labels of both; another port; another host.
    check(name, &[WORKLOADS, &files("a", "{app: edge}", 443, "a.com"), &files("b", "{app: edge, tier: back}", 443, "a.com")], &[]);
    check(
        name,
        &[&files("a", "{app: x}", 443, "a.com"), &files("b", "{app: x}", 444, "a.com"), &files("c", "{app: x}", 443, "b.com")],
        &[],
    );
}

#[test]
fn a_certificate_belongs_to_one_gateway() {
    let name = "gateway.CertificateAnalyzer";
    let secret = |name: &str, selector: &str| gateway(name, selector, 443, "a.com", "credentialName: cert");
    let expected = ["IST0138 Gateway shop/a:4 metadata.name", "IST0138 Gateway shop/b:4 metadata.name"];
    check(name, &[&secret("a", "{app: x}"), &secret("b", "{app: x}")], &expected);
    check(name, &[&files("a", "{app: x}", 443, "a.com"), &files("b", "{app: x}", 444, "b.com")], &expected);
    check(name, &[&secret("a", "{app: x}"), &secret("b", "{app: x, tier: front}")], &expected[..1]);
    check(name, &[&secret("a", "{app: x}"), &files("b", "{app: x}", 443, "a.com"), &secret("c", "{app: z}")], &[]);
}

#[test]
fn a_credential_lies_with_the_gateways_pods_and_parses() {
    let name = "gateway.SecretAnalyzer";
    let secret = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: {namespace}}}\nstringData: {{tls.crt: none, tls.key: none}}\n"
        )
    };
    let gateway = gateway("a", "{app: edge}", 443, "a.com", "credentialName: cert");
    check(name, &[WORKLOADS, &gateway, &secret("shop")], &["IST0101 Gateway shop/a:16 spec.servers[0].tls.credentialName"]);
    check(name, &[WORKLOADS, &gateway, &secret("edge")], &["IST0161 Gateway shop/a:16 spec.servers[0].tls.credentialName"]);
    check(name, &[&gateway], &["IST0101 Gateway shop/a:7 spec.selector"]);
    check(name, &[WORKLOADS, &files("a", "{app: edge}", 443, "a.com")], &[]);
}
