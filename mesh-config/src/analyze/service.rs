//! Kubernetes Services: the names of their ports. Also the example of how an analyzer is written.

use super::{Analyzer, code, context::Context, mesh};
use crate::{
    registry::of_service_port,
    resource::{
        Kind, Service,
        service::{ServiceType, TargetPort},
    },
};

/// A port whose name tells no protocol.
pub(super) static PORT_NAME: Analyzer = Analyzer {
    name: "service.PortNameAnalyzer",
    about: "Checks that the ports of Services tell their protocol",
    codes: &[&code::PORT_NAME_IS_NOT_UNDER_NAMING_CONVENTION, &code::EXTERNAL_NAME_SERVICE_TYPE_INVALID_PORT_NAME],
    reads: &[Kind::Service],
    run: port_names,
};

fn port_names(cx: &mut Context<'_>) {
    for service in cx.all::<Service>() {
        if mesh::is_control_plane(service.meta()) || mesh::is_managed_gateway(service.meta()) {
            continue;
        }
        let external = service.spec.kind == ServiceType::ExternalName;
        for (index, port) in service.spec.ports.iter().enumerate() {
            if of_service_port(port).is_some() && !(external && port.name == "tcp") {
                continue;
            }
            let path = format_args!("spec.ports[{index}].name");
            if external {
                cx.report(&code::EXTERNAL_NAME_SERVICE_TYPE_INVALID_PORT_NAME, service, path, &[]);
            } else {
                let target = target(port.target_port.as_ref());
                cx.report(&code::PORT_NAME_IS_NOT_UNDER_NAMING_CONVENTION, service, path, &[&port.name, &port.port, &target]);
            }
        }
    }
}

/// As Istio prints a target port; `0` if there is none.
fn target(port: Option<&TargetPort>) -> String {
    match port {
        None => "0".to_owned(),
        Some(TargetPort::Number(number)) => number.to_string(),
        Some(TargetPort::Name(name)) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: shop, namespace: a}
spec:
  ports:
  - {name: PORT, port: 80, targetPort: 8080}
";

    #[test]
    fn a_port_that_names_no_protocol_is_told() {
        check("service.PortNameAnalyzer", &[&SERVICE.replace("PORT", "web")], &["IST0118 Service a/shop:6 spec.ports[0].name"]);
    }

    #[test]
    fn a_port_that_names_its_protocol_is_not() {
        check("service.PortNameAnalyzer", &[&SERVICE.replace("PORT", "http-web")], &[]);
    }
}
