//! Kubernetes' kinds as people write them, and as the API server returns them.

#![allow(clippy::unwrap_used)]

use crate::{
    load::{self, Loaded},
    resource::{Kind, Object, Pod, Resource, Secret, kubernetes::PodView},
};

fn loaded(yaml: &str) -> Loaded {
    load::documents("cluster.yaml", yaml.as_bytes())
}

fn one(yaml: &str) -> Resource {
    let mut loaded = loaded(yaml);
    let texts: Vec<String> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
    loaded.objects.remove(0).resource
}

fn refusal(yaml: &str) -> String {
    let loaded = loaded(yaml);
    assert!(loaded.objects.is_empty(), "it was taken");
    loaded.diagnostics.iter().map(ToString::to_string).collect()
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, creationTimestamp: null}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {creationTimestamp: null, labels: {app: web}, annotations: null}
    spec:
      serviceAccount: old-name
      securityContext: {runAsUser: 7}
      initContainers:
      - {name: proxy, image: proxy:1, restartPolicy: Always, ports: [{name: admin, containerPort: 15000}]}
      - {name: init, image: init:1, ports: [{name: gone, containerPort: 1}]}
      containers:
      - name: web
        image: web:1
        securityContext: {runAsUser: 8}
        resources: {limits: {cpu: 1, memory: 64Mi}, requests: {cpu: 0.5}}
        ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]
        readinessProbe: {httpGet: {port: http}}
        livenessProbe: {httpGet: {port: 8080, path: /}}
      - {name: side, image: side:1, ports: [{name: http, containerPort: 1}]}
status: {}
";

#[test]
fn what_the_api_server_forgives_is_forgiven() {
    let resource = one(DEPLOYMENT);
    let Resource::Deployment(object) = &resource else { panic!("a Deployment") };
    let limits = object.spec.template.spec.as_ref().unwrap().containers[0].resources.as_ref().unwrap();
    assert_eq!(limits.limits.as_ref().unwrap()["cpu"].0, "1");
    assert_eq!(limits.requests.as_ref().unwrap()["cpu"].0, "0.5");
    // And it comes back from JSON as it went.
    assert_eq!(Resource::from_json(Kind::Deployment, &resource.to_json()).unwrap(), resource);
}

#[test]
fn one_view_of_pods_and_templates() {
    let resource = one(DEPLOYMENT);
    let view = PodView::of(&resource).unwrap();
    assert_eq!(view.images().collect::<Vec<_>>(), ["proxy:1", "init:1", "web:1", "side:1"]);
    assert_eq!(view.service_account(), "old-name");
    let users: Vec<_> = view.containers().iter().map(|container| view.run_as_user(container)).collect();
    assert_eq!(users, [Some(8), Some(7)]);
    // The first of a name, no UDP, and native sidecars only.
    assert_eq!(view.named_ports(), [("admin".to_owned(), 15000), ("http".to_owned(), 8080)].into());
    assert_eq!((view.labels().len(), view.annotations().len(), view.path), (1, 0, "spec.template.spec"));
    let cron = one("apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: '@daily'
  jobTemplate: {spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: i}], restartPolicy: Never}}}}
");
    assert_eq!(PodView::of(&cron).unwrap().path, "spec.jobTemplate.spec.template.spec");
    assert_eq!(PodView::of(&cron).unwrap().service_account(), "default");
}

#[test]
fn a_field_that_the_api_has_not_is_refused_with_the_one_that_was_meant() {
    let text = refusal(
        "apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: a, image: i, imagePullPolcy: Always}]}
",
    );
    assert!(text.contains("imagePullPolcy") && text.contains("did you mean `imagePullPolicy`?"), "{text}");
    let text = refusal(
        "apiVersion: v1
kind: ConfigMap
metadata: {name: a}
dta: {a: b}
",
    );
    assert!(text.contains("did you mean `data`?"), "{text}");
}

#[test]
fn every_kind_is_read() {
    let documents = "apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: one, labels: {istio-injection: enabled}}, spec: {finalizers: [kubernetes]}, status: {phase: Active}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: one}, secrets: [{name: s}], imagePullSecrets: null}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {mesh: 'a: b'}, binaryData: {b: aGk=}}
- {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: one}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}}}
- {apiVersion: apps/v1, kind: StatefulSet, metadata: {name: one}, spec: {serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}, volumeClaimTemplates: [{metadata: {name: v}, spec: {resources: {requests: {storage: 1Gi}}}}]}}
- {apiVersion: apps/v1, kind: DaemonSet, metadata: {name: one}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}}}
- {apiVersion: v1, kind: ReplicationController, metadata: {name: one}, spec: {selector: {a: b}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}}}
- {apiVersion: batch/v1, kind: Job, metadata: {name: one}, spec: {template: {spec: {containers: [{name: c}], restartPolicy: Never}}}}
- {apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: istio}, spec: {controller: istio.io/ingress-controller}}
- {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: one, annotations: {kubernetes.io/ingress.class: istio}}, spec: {rules: [{host: h, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}}
- {apiVersion: v1, kind: Endpoints, metadata: {name: one}, subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]}
- {apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: one}, webhooks: [{name: w, clientConfig: {service: {name: s, namespace: one}}, admissionReviewVersions: [v1], sideEffects: None, rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}]}
- {apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: one}, webhooks: [{name: w, clientConfig: {url: 'https://x'}, admissionReviewVersions: [v1], sideEffects: None}]}
- {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: as.g.io}, spec: {group: g.io, names: {plural: as, kind: A}, scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}, {name: v0, served: false}]}}
";
    let loaded = loaded(documents);
    let texts: Vec<String> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
    assert_eq!(loaded.objects.len(), 14);
    for object in &loaded.objects {
        let resource = &object.resource;
        assert_eq!(&Resource::from_json(resource.kind(), &resource.to_json()).unwrap(), resource);
        assert_eq!(resource.meta().namespace.is_empty(), !resource.kind().is_namespaced(), "{}", resource.kind());
        match resource {
            Resource::Ingress(ingress) => {
                assert_eq!(ingress.class(), Some("istio"));
                assert_eq!(ingress.spec.paths().map(|(host, _)| host).collect::<Vec<_>>(), [Some("h")]);
            }
            Resource::CustomResourceDefinition(crd) => assert_eq!(crd.spec.served().collect::<Vec<_>>(), ["v1"]),
            _ => {}
        }
    }
}

#[test]
fn broken_rules_are_told_where_they_are() {
    for (yaml, path) in [
        (
            "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a}
addressType: IPv4
endpoints: [{addresses: ['::1']}]
",
            "endpoints[0].addresses[0]",
        ),
        (
            "apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c}]}}}
",
            "spec.template.metadata.labels",
        ),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\ndata: {tls.crt: ''}\n", "data"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n", "spec.containers"),
    ] {
        let loaded = loaded(yaml);
        let paths: Vec<&str> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.field_path.as_str()).collect();
        assert_eq!(paths, [path], "{yaml}");
    }
}

#[test]
fn a_pod_says_how_it_fares() {
    let resource = one("apiVersion: v1
kind: Pod
metadata: {name: a, deletionTimestamp: '2026-01-01T02:00:00+02:00'}
spec: {containers: [{name: a, image: i}]}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]
  conditions: [{type: Ready, status: 'True', lastProbeTime: null, lastTransitionTime: '2026-01-01T00:00:00Z'}]
");
    let Resource::Pod(pod) = &resource else { panic!("a Pod") };
    let pod: &Object<Pod> = pod;
    assert_eq!(pod.meta.deletion_timestamp.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert!(pod.spec.is_ready() && !pod.spec.is_over());
    assert_eq!(pod.spec.addresses().iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
}

fn secret(yaml: &str) -> Object<Secret> {
    let Resource::Secret(object) = one(yaml) else { panic!("a Secret") };
    (*object).clone()
}

#[test]
fn a_secret_keeps_its_bytes_and_shows_their_hash() {
    let yaml = "apiVersion: v1
kind: Secret
metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: 'password: hunter2'}}
data: {user: YWRt\"aW4=\", empty: null, both: b2xk}
stringData: {password: hunter2, both: new}
"
    .replace("YWRt\"aW4=\"", "\"YWRt\\naW4=\"");
    let object = secret(&yaml);
    assert_eq!(object.spec.value("user").unwrap().expose(), b"admin");
    assert_eq!(object.spec.value("both").unwrap().expose(), b"new");
    assert!(object.spec.value("empty").is_none() && object.spec.data.contains_key("empty"));
    let resource = Resource::from(object.clone());
    let shown = [format!("{object:?}"), resource.to_redacted_json().to_string()];
    for text in shown {
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert!(text.contains("sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7"), "{text}");
    }
    let json = resource.to_json();
    assert_eq!(json["data"]["password"], "aHVudGVyMg==");
    assert_eq!(Resource::from_json(Kind::Secret, &json).unwrap(), resource);
}

#[test]
fn no_error_shows_what_is_in_a_secret() {
    for data in
        ["data: {a: 'hunter2!'}", "stringData: {a: 1234567}", "data: {a: [hunter2]}", "data: hunter2", "stringData: {a: hunter2, b: {}}"]
    {
        let loaded = loaded(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{data}\n"));
        assert!(loaded.objects.is_empty(), "{data}");
        for diagnostic in &loaded.diagnostics {
            let text = diagnostic.to_string();
            assert!(!text.contains("hunter2") && !text.contains("1234567"), "{text}");
        }
    }
}

#[test]
fn a_secret_has_a_size() {
    let large = "x".repeat(super::secret::MAX_BYTES);
    let yaml = |text: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\nstringData: {{a: '{text}'}}\n");
    assert_eq!(secret(&yaml(&large)).spec.value("a").unwrap().expose().len(), large.len());
    assert!(refusal(&yaml(&format!("{large}x"))).contains("at most"));
}

#[test]
fn nothing_in_a_map_is_an_empty_text() {
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {left: }, annotations: {over: ~}}\ndata: {empty: }\n";
    let loaded = crate::load::documents("a.yaml", yaml);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let json = loaded.objects[0].resource.to_json();
    assert_eq!((&json["metadata"]["labels"]["left"], &json["data"]["empty"]), (&"".into(), &"".into()));
}
