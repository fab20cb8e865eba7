//! What is there without being written: the ingress gateway of a default installation.

use serde_json::{Value, json};

/// The gateway's Service and a pod behind it.
pub(super) fn ingress_gateway(namespace: &str, service: Option<&str>) -> [Value; 2] {
    let name = service.filter(|name| !name.is_empty()).unwrap_or("istio-ingressgateway");
    let labels = json!({ "istio": "ingressgateway" });
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "targetPort": port, "protocol": "TCP" });
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": format!("{name}-default"), "namespace": namespace, "labels": labels },
        "spec": { "containers": [{ "name": "istio-proxy" }] },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": labels,
            "ports": [port("http2", 80), port("https", 443), port("tcp", 31400), port("tls", 15443)],
        },
    });
    [pod, service]
}
