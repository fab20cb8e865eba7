//! `VirtualService` (`networking.istio.io`): where a request goes.

mod fault;
mod http;
mod matches;
pub mod reach;
mod redirect;
pub(super) mod validate;

pub use fault::*;
pub use http::*;
pub use matches::*;
pub use redirect::*;

use super::{
    selector::{Labels, Visibility},
    spec::spec,
};

spec! {
    /// Routes for hosts, in order: the first route that matches takes the request.
    pub struct VirtualService {
        /// FQDNs, short names (in the resource's namespace), leading wildcards, IP addresses. Empty: a delegate.
        hosts: Vec<String>,
        /// `[namespace/]gateway` and `mesh` (all sidecars); empty: `mesh`.
        gateways: Vec<String>,
        http: Vec<HttpRoute>,
        /// TLS passed through, by SNI.
        tls: Vec<TlsRoute>,
        tcp: Vec<TcpRoute>,
        export_to: Vec<Visibility>,
    }

    /// TLS by SNI, unopened.
    pub struct TlsRoute {
        required r#match: Vec<TlsMatch>,
        route: Vec<RouteDestination>,
    }

    /// All parts must match.
    pub struct TlsMatch {
        /// Each equal to, or covered by, one of the VirtualService's hosts.
        required sni_hosts: Vec<String>,
        destination_subnets: Vec<String>,
        port: Option<u16>,
        source_labels: Labels,
        gateways: Vec<String>,
        source_namespace: String,
    }

    /// Bytes by destination.
    pub struct TcpRoute {
        r#match: Vec<TcpMatch>,
        route: Vec<RouteDestination>,
    }

    /// All parts must match.
    pub struct TcpMatch {
        destination_subnets: Vec<String>,
        port: Option<u16>,
        /// Ignored by Istio.
        source_subnet: String,
        source_labels: Labels,
        gateways: Vec<String>,
        source_namespace: String,
    }

    /// A destination of a TLS or TCP route, with its share.
    pub struct RouteDestination {
        required destination: Destination,
        /// Share of the sum; absent or 0 for the only destination counts as all.
        weight: i32,
    }

    /// A service, a subset of it, a port of it.
    pub struct Destination {
        /// A service of the registry; a short name is read in the resource's namespace.
        required host: String,
        /// A subset that a DestinationRule names.
        subset: String,
        /// May be left out if the service has one port.
        port: Option<PortSelector>,
    }

    /// A port by number.
    pub struct PortSelector {
        number: u16,
    }
}
