//! Whether a mesh can be installed or upgraded in a cluster: what only a running cluster can tell comes in as [`Cluster`].

use std::{collections::BTreeSet, net::IpAddr};

use super::{Analyzer, code, context::Context};
use crate::resource::{CustomResourceDefinition, Key, Kind, Pod, Service, service::TargetPort};

/// What a running cluster says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The API server's version, major and minor.
    pub version: Option<(u32, u32)>,
    /// Resources that the installer may not create (`clusterroles`), and what the API server said.
    pub denied: Vec<(String, String)>,
    /// The release that is upgraded from, major and minor.
    pub from: Option<(u32, u32)>,
    /// Sockets that pods listen on.
    pub listening: Vec<Listening>,
}

/// A listening socket of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The pod.
    pub pod: Key,
    /// The address that it is bound to.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// The precheck: runs when it is named, and there is a cluster to ask.
pub(super) static PRECHECK: Analyzer = Analyzer {
    name: "mesh.PrecheckAnalyzer",
    about: "Checks that a mesh can be installed or upgraded in the cluster",
    codes: &[
        &code::INSUFFICIENT_PERMISSIONS,
        &code::UNSUPPORTED_KUBERNETES_VERSION,
        &code::LOCALHOST_LISTENER,
        &code::UNSUPPORTED_GATEWAY_API_VERSION,
        &code::FUTURE_UNSUPPORTED_GATEWAY_API_VERSION,
        &code::UPDATE_INCOMPATIBILITY,
    ],
    reads: &[Kind::CustomResourceDefinition, Kind::Service, Kind::Pod],
    run,
};

/// The oldest Kubernetes that Istio's current release supports.
const OLDEST: (u32, u32) = (1, 32);
/// Kinds of the Gateway API that must be served in these versions.
const SERVED_BETA: [&str; 4] = ["Gateway", "GatewayClass", "HTTPRoute", "ReferenceGrant"];
const SERVED_STABLE: [&str; 4] = ["Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute"];

fn run(cx: &mut Context<'_>) {
    let Some(cluster) = cx.options().cluster.as_ref() else { return };
    if let Some(version) = cluster.version.filter(|version| *version < OLDEST) {
        cx.report_mesh(&code::UNSUPPORTED_KUBERNETES_VERSION, &[&dotted(version), &dotted(OLDEST)]);
    }
    for (resource, error) in &cluster.denied {
        cx.report_mesh(&code::INSUFFICIENT_PERMISSIONS, &[resource, error]);
    }
    gateway_api(cx);
    upgrade(cx, cluster);
    localhost(cx, cluster);
}

fn gateway_api(cx: &mut Context<'_>) {
    for crd in cx.all::<CustomResourceDefinition>().filter(|crd| crd.spec().group == "gateway.networking.k8s.io") {
        let served: BTreeSet<&str> = crd.spec().served().collect();
        let shown = if served.is_empty() { "none".to_owned() } else { served.iter().copied().collect::<Vec<_>>().join(",") };
        let kind = crd.spec().names.kind.as_str();
        if SERVED_BETA.contains(&kind) && !served.contains("v1beta1") {
            cx.report(&code::UNSUPPORTED_GATEWAY_API_VERSION, crd, "spec.versions", &[&shown, &"v1beta1"]);
        }
        if SERVED_STABLE.contains(&kind) && !served.contains("v1") {
            cx.report(&code::FUTURE_UNSUPPORTED_GATEWAY_API_VERSION, crd, "spec.versions", &[&shown, &"v1"]);
        }
    }
}

/// Defaults that changed and are seen to matter here. Until 1.21 spans went to `zipkin` in the control plane's namespace, unasked.
fn upgrade(cx: &mut Context<'_>, cluster: &Cluster) {
    if cluster.from.is_none_or(|from| from > (1, 21)) {
        return;
    }
    if let Some(zipkin) = cx.find::<Service>(&cx.options().root_namespace, "zipkin") {
        let info = "spans no longer go to the Service zipkin of the control plane's namespace unless a Telemetry names a tracing provider";
        cx.report(&code::UPDATE_INCOMPATIBILITY, zipkin, "metadata.name", &[&"meshConfig.defaultConfig.tracer", &"1.21", &info, &"1.21"]);
    }
}

/// Ports of Services behind which every socket is on the loopback interface, so that only the pod itself can reach them.
fn localhost(cx: &mut Context<'_>, cluster: &Cluster) {
    for service in cx.all::<Service>().filter(|service| !service.spec().selector.is_empty()) {
        let pods: BTreeSet<Key> =
            cx.selected::<Pod>(&service.meta().namespace, &service.spec().selector).iter().map(|pod| pod.key()).collect();
        for (index, port) in service.spec().ports.iter().enumerate() {
            let target = match &port.target_port {
                Some(TargetPort::Number(number)) => *number,
                // Which number a name is differs from pod to pod.
                Some(TargetPort::Name(_)) => continue,
                None => port.port,
            };
            let mut sockets = cluster.listening.iter().filter(|socket| socket.port == target && pods.contains(&socket.pod)).peekable();
            if sockets.peek().is_some() && sockets.all(|socket| socket.address.is_loopback()) {
                cx.report(&code::LOCALHOST_LISTENER, service, format_args!("spec.ports[{index}]"), &[&target]);
            }
        }
    }
}

fn dotted((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{
        super::{Options, Set, run},
        Cluster, Listening,
    };
    use crate::resource::Key;

    fn said(files: &[&str], cluster: Cluster) -> Vec<String> {
        let mut set = Set::default();
        files.iter().enumerate().for_each(|(number, file)| set.read(&format!("{number}.yaml"), file.as_bytes()));
        let options = Options { analyzers: vec![super::PRECHECK.name.to_owned()], cluster: Some(cluster), ..Options::default() };
        run(&set, &options).iter().map(|message| format!("{} {}", message.code.id, message.text)).collect()
    }

    #[test]
    fn what_a_cluster_cannot_do() {
        let old =
            Cluster { version: Some((1, 29)), denied: vec![("clusterroles".into(), "permission denied".into())], ..Cluster::default() };
        let found = said(&[], old);
        assert!(found.len() == 2 && found.iter().any(|text| text.starts_with("IST0141") && text.contains("clusterroles")), "{found:?}");
        assert!(found.iter().any(|text| text.starts_with("IST0142") && text.contains("1.29")), "{found:?}");
        assert!(said(&[], Cluster { version: Some((1, 36)), ..Cluster::default() }).is_empty());
    }

    #[test]
    fn the_gateway_apis_versions() {
        let crd = |version: &str| {
            format!(
                "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: httproutes.gateway.networking.k8s.io}}, spec: {{group: gateway.networking.k8s.io, scope: Namespaced, names: {{plural: httproutes, kind: HTTPRoute}}, versions: [{{name: {version}, served: true}}]}}}}"
            )
        };
        assert_eq!(said(&[&crd("v1alpha2")], Cluster::default()).len(), 2);
        assert!(said(&[&crd("v1beta1")], Cluster::default()).iter().all(|text| text.starts_with("IST0172")));
    }

    #[test]
    fn defaults_that_an_upgrade_changes() {
        let zipkin =
            "{apiVersion: v1, kind: Service, metadata: {name: zipkin, namespace: istio-system}, spec: {ports: [{port: 9411, name: http}]}}";
        assert_eq!(said(&[zipkin], Cluster { from: Some((1, 20)), ..Cluster::default() }).len(), 1);
        assert!(said(&[zipkin], Cluster { from: Some((1, 25)), ..Cluster::default() }).is_empty());
        assert!(said(&[], Cluster { from: Some((1, 20)), ..Cluster::default() }).is_empty());
    }

    #[test]
    fn apps_that_listen_for_themselves() {
        let service = "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: b}, spec: {selector: {app: a}, ports: [{port: 80, name: http}]}}";
        let pod =
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: b, labels: {app: a}}, spec: {containers: [{name: a, image: b}]}}";
        let on = |address: &str| Listening { pod: Key::new("b", "p"), address: address.parse().unwrap(), port: 80 };
        let with = |listening: Vec<Listening>| said(&[service, pod], Cluster { listening, ..Cluster::default() });
        assert!(with(vec![on("127.0.0.1")]).iter().all(|text| text.starts_with("IST0143")));
        assert_eq!(with(vec![on("::1")]).len(), 1);
        assert!(with(vec![on("127.0.0.1"), on("0.0.0.0")]).is_empty());
        assert!(with(Vec::new()).is_empty());
    }
}
