//! What a Kubernetes Service's port speaks: `appProtocol`, then the port name's prefix, then a few well-known numbers,
//! else it is found out from the first bytes (Istio, `pkg/config/kube/conversion.go`).

use crate::resource::{
    Protocol,
    service::{Port, Transport},
};

/// Ports where the server speaks first: waiting for the client's first bytes would hang.
const SERVER_FIRST: [u16; 4] = [25, 53, 3306, 27017];

/// The protocol of a port; absent: to be found out.
pub fn of_service_port(port: &Port) -> Option<Protocol> {
    if port.protocol == Transport::Udp {
        return Some(Protocol::Udp);
    }
    let declared = match port.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => Some(Protocol::Http2),
        Some("kubernetes.io/ws" | "ws") => Some(Protocol::Http),
        Some("kubernetes.io/wss" | "wss") => Some(Protocol::Https),
        Some(name) => prefix(name),
        None => prefix(&port.name),
    };
    declared.or_else(|| SERVER_FIRST.contains(&port.port).then_some(Protocol::Tcp))
}

/// The protocol that a name starts with: the whole name, or the part before the first `-`.
fn prefix(name: &str) -> Option<Protocol> {
    // The one protocol with a dash in its name.
    if name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("grpc-web")) {
        return Some(Protocol::GrpcWeb);
    }
    name.split('-').next().unwrap_or(name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, app_protocol: Option<&str>, number: u16) -> Port {
        Port { name: name.into(), app_protocol: app_protocol.map(Into::into), port: number, ..Port::default() }
    }

    #[test]
    fn the_first_declaration_wins() {
        for (name, app_protocol, number, protocol) in [
            ("http-web", None, 80, Some(Protocol::Http)),
            ("HTTP2", None, 80, Some(Protocol::Http2)),
            ("grpc-web-ui", None, 80, Some(Protocol::GrpcWeb)),
            ("grpc-x", None, 80, Some(Protocol::Grpc)),
            ("httpx", None, 80, None),
            ("http", Some("tcp"), 80, Some(Protocol::Tcp)),
            ("http", Some("kubernetes.io/h2c"), 80, Some(Protocol::Http2)),
            ("", None, 80, None),
            ("", None, 3306, Some(Protocol::Tcp)),
            ("mysql-db", None, 3306, Some(Protocol::Mysql)),
        ] {
            assert_eq!(of_service_port(&port(name, app_protocol, number)), protocol, "{name} {app_protocol:?} {number}");
        }
    }
}
