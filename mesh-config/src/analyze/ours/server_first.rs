//! Protocols where the server speaks first, on ports whose protocol would be found out from the client's first bytes.

use super::super::{Analyzer, code, context::Context};
use crate::{
    registry::of_service_port,
    resource::{Kind, Service, ServiceEntry, service::TargetPort},
};

/// Ports where both sides would wait.
pub(in super::super) static SERVER_FIRST: Analyzer = Analyzer {
    name: "mesh.ServerFirstAnalyzer",
    about: "Checks that ports of server-first protocols declare their protocol",
    codes: &[&code::SERVER_FIRST_ON_SNIFFED_PORT],
    reads: &[Kind::Service, Kind::ServiceEntry],
    run: server_first,
};

/// Well-known ports, and what names give the protocol away.
const PROTOCOLS: [(&str, &[u16], &[&str]); 8] = [
    ("FTP", &[21], &["ftp"]),
    ("SSH", &[22], &["ssh", "sftp"]),
    ("SMTP", &[25, 587], &["smtp", "submission"]),
    ("POP3", &[110], &["pop3"]),
    ("NNTP", &[119], &["nntp"]),
    ("IMAP", &[143], &["imap"]),
    ("MySQL", &[3306, 33060], &["mysql", "mariadb"]),
    ("VNC", &[5900], &["vnc"]),
];

fn server_first(cx: &mut Context<'_>) {
    for service in cx.all::<Service>() {
        for (index, port) in service.spec().ports.iter().enumerate().filter(|(_, port)| of_service_port(port).is_none()) {
            let target = match &port.target_port {
                Some(TargetPort::Number(number)) => *number,
                _ => port.port,
            };
            if let Some(protocol) = guess(&[port.port, target], &port.name) {
                cx.report(&code::SERVER_FIRST_ON_SNIFFED_PORT, service, format_args!("spec.ports[{index}]"), &[&port.port, &protocol]);
            }
        }
    }
    for entry in cx.all::<ServiceEntry>() {
        for (index, port) in entry.spec().ports.iter().enumerate().filter(|(_, port)| port.protocol.is_none()) {
            if let Some(protocol) = guess(&[port.number, port.target_port.unwrap_or(port.number)], &port.name) {
                cx.report(&code::SERVER_FIRST_ON_SNIFFED_PORT, entry, format_args!("spec.ports[{index}]"), &[&port.number, &protocol]);
            }
        }
    }
}

fn guess(numbers: &[u16], name: &str) -> Option<&'static str> {
    let words: Vec<String> = name.split('-').map(str::to_lowercase).collect();
    let speaks = |(_, ports, names): &&(&str, &[u16], &[&str])| {
        numbers.iter().any(|number| ports.contains(number)) || words.iter().any(|word| names.contains(&word.as_str()))
    };
    PROTOCOLS.iter().find(speaks).map(|(protocol, ..)| *protocol)
}

#[cfg(test)]
mod tests {
    use super::super::super::check::check;

    const NAME: &str = "mesh.ServerFirstAnalyzer";

    fn service(port: &str) -> String {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: a}}\nspec:\n  ports:\n  - {port}\n")
    }

    #[test]
    fn a_port_that_gives_itself_away_is_told() {
        let expected = ["MESH0008 Service a/db:6 spec.ports[0]"];
        check(NAME, &[&service("{name: db-mysql, port: 6033}")], &expected);
        check(NAME, &[&service("{name: mail, port: 2525, targetPort: 25}")], &expected);
        let entry = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: a}
spec:
  hosts: [db.example.com]
  resolution: DNS
  ports:
  - {name: main, number: 3306}
";
        check(NAME, &[entry], &["MESH0008 ServiceEntry a/db:8 spec.ports[0]"]);
    }

    #[test]
    fn a_declared_protocol_and_clients_that_speak_first_are_not() {
        for port in ["{name: tcp-mysql, port: 3306}", "{name: x, port: 22, appProtocol: tcp}", "{name: web, port: 80}", "{port: 3306}"] {
            check(NAME, &[&service(port)], &[]);
        }
    }
}
