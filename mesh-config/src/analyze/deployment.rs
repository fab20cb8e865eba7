//! Pods and what makes them: the user that they run as, and the Services that share them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;

use super::{
    Analyzer, code,
    code::List,
    context::{Any, Context, Item},
    mesh,
};
use crate::resource::{
    Kind, Service,
    kubernetes::PodView,
    selector::selects,
    service::{TargetPort, Transport},
};

/// Apps that run as the proxy's user pass by the proxy.
pub(super) static APPLICATION_UID: Analyzer = Analyzer {
    name: "applicationUID.Analyzer",
    about: "Checks that no app runs as the sidecar's user",
    codes: &[&code::INVALID_APPLICATION_UID],
    reads: &[Kind::Pod, Kind::Deployment],
    run: application_uid,
};

/// Services that contradict each other about the ports of one workload.
pub(super) static MULTI_SERVICE: Analyzer = Analyzer {
    name: "deployment.MultiServiceAnalyzer",
    about: "Checks that Services which share pods agree about their ports",
    codes: &[&code::DEPLOYMENT_ASSOCIATED_TO_MULTIPLE_SERVICES, &code::DEPLOYMENT_CONFLICTING_PORTS],
    reads: &[Kind::Service, Kind::Deployment, Kind::Namespace],
    run: multi_service,
};

/// The sidecar's user: its traffic is not captured.
const PROXY_USER: i64 = 1337;

fn application_uid(cx: &mut Context<'_>) {
    for object in [Kind::Pod, Kind::Deployment].into_iter().flat_map(|kind| cx.any(kind)).collect::<Vec<_>>() {
        let Some(pod) = PodView::of(object.resource()).filter(|_| !mesh::is_control_plane(object.meta())) else { continue };
        report_users(cx, object, pod);
    }
}

/// The first place of an object that asks for the proxy's user: it is one mistake, however often it is written.
fn report_users(cx: &mut Context<'_>, object: Any<'_>, pod: PodView<'_>) {
    if pod.pod_user() == Some(PROXY_USER) {
        return cx.report(&code::INVALID_APPLICATION_UID, object, format_args!("{}.securityContext.runAsUser", pod.path), &[]);
    }
    let asks = |container: &Container| {
        let user = container.security_context.as_ref().and_then(|context| context.run_as_user);
        user == Some(PROXY_USER) && !matches!(container.name.as_str(), mesh::PROXY_CONTAINER | "istio-operator")
    };
    if let Some(index) = pod.containers().iter().position(asks) {
        let path = format_args!("{}.containers[{index}].securityContext.runAsUser", pod.path);
        cx.report(&code::INVALID_APPLICATION_UID, object, path, &[]);
    }
}

fn multi_service(cx: &mut Context<'_>) {
    let mut services: BTreeMap<&str, Vec<Item<'_, Service>>> = BTreeMap::new();
    for service in cx.all::<Service>().filter(|service| !service.spec.selector.is_empty()) {
        services.entry(&service.meta().namespace).or_default().push(service);
    }
    for deployment in cx.any(Kind::Deployment) {
        let Some(pod) = PodView::of(deployment.resource()) else { continue };
        let waypoint = deployment.meta().labels.get("gateway.istio.io/managed").is_some_and(|by| by == "istio.io-mesh-controller");
        if waypoint || !mesh::is_injected(cx, &deployment.meta().namespace, pod) {
            continue;
        }
        let own = services.get(deployment.meta().namespace.as_str()).map_or(&[][..], Vec::as_slice);
        let own: Vec<_> = own.iter().copied().filter(|service| selects(&service.spec.selector, pod.labels())).collect();
        for (port, mut services) in different_protocols(&own) {
            services.sort();
            let arguments: [&dyn std::fmt::Display; 3] = [&deployment.meta().name, &port, &List(&services)];
            cx.report(&code::DEPLOYMENT_ASSOCIATED_TO_MULTIPLE_SERVICES, deployment, "metadata.name", &arguments);
        }
        for (target, ports) in different_ports(&own) {
            let (ports, mut services): (Vec<u16>, Vec<String>) = ports.into_iter().unzip();
            services.sort();
            let arguments: [&dyn std::fmt::Display; 4] = [&deployment.meta().name, &List(&services), &target, &List(&ports)];
            cx.report(&code::DEPLOYMENT_CONFLICTING_PORTS, deployment, "metadata.name", &arguments);
        }
    }
}

/// Ports that several services have with different transports, and the names of those services.
fn different_protocols(services: &[Item<'_, Service>]) -> Vec<(u16, Vec<String>)> {
    let mut ports: BTreeMap<u16, BTreeMap<Transport, Vec<String>>> = BTreeMap::new();
    for service in services {
        for port in &service.spec.ports {
            ports.entry(port.port).or_default().entry(port.protocol).or_default().push(service.key().to_string());
        }
    }
    let several = ports.into_iter().filter(|(_, transports)| transports.len() > 1);
    several.map(|(port, transports)| (port, transports.into_values().flatten().collect())).collect()
}

/// Target ports that services reach by different ports: which ports, and which service (the last one) by each.
fn different_ports(services: &[Item<'_, Service>]) -> Vec<(String, BTreeMap<u16, String>)> {
    let mut targets: BTreeMap<String, BTreeMap<u16, String>> = BTreeMap::new();
    for service in services {
        for port in &service.spec.ports {
            let target = match &port.target_port {
                Some(TargetPort::Name(name)) if !name.is_empty() => name.clone(),
                Some(TargetPort::Number(number)) if *number != 0 => number.to_string(),
                _ => port.port.to_string(),
            };
            targets.entry(target).or_default().insert(port.port, service.key().to_string());
        }
    }
    targets.into_iter().filter(|(_, ports)| ports.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}";

    fn deployment(user: u32) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: a, image: b, securityContext: {{runAsUser: {user}}}}}]}}\n"
        )
    }

    fn service(name: &str, port: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{selector: {{app: web}}, ports: [{port}]}}}}"
        )
    }

    #[test]
    fn the_proxys_user_is_reserved() {
        let said = "IST0144 Deployment shop/web:8 spec.template.spec.containers[0].securityContext.runAsUser";
        check("applicationUID.Analyzer", &[&deployment(1337)], &[said]);
        check("applicationUID.Analyzer", &[&deployment(1000)], &[]);
    }

    #[test]
    fn services_that_contradict_each_other() {
        let analyzer = "deployment.MultiServiceAnalyzer";
        let tcp = service("a", "{name: http, port: 80, targetPort: 8080}");
        let udp = service("b", "{name: dns, port: 80, targetPort: 9090, protocol: UDP}");
        let other = service("c", "{name: http, port: 81, targetPort: 8080}");
        check(analyzer, &[&deployment(1), NAMESPACE, &tcp, &udp], &["IST0116 Deployment shop/web:3 metadata.name"]);
        check(analyzer, &[&deployment(1), NAMESPACE, &tcp, &other], &["IST0137 Deployment shop/web:3 metadata.name"]);
        // Not in the mesh.
        check(analyzer, &[&deployment(1), &tcp, &udp, &other], &[]);
    }
}
