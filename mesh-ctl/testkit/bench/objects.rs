//! Objects as a mid-sized cluster has them: services with pods, routes, rules and policies, in namespaces of ten services, a few mistakes among them.

use std::fmt::Write as _;

/// Objects in one file.
pub(super) const IN_A_FILE: usize = 100;

/// Services in one namespace.
const IN_A_NAMESPACE: usize = 10;

/// The files, `count` objects in all.
pub(super) fn files(count: usize) -> impl Iterator<Item = String> {
    let mut objects = objects().take(count);
    std::iter::from_fn(move || {
        let file: Vec<String> = objects.by_ref().take(IN_A_FILE).collect();
        (!file.is_empty()).then(|| file.join("---\n"))
    })
}

fn objects() -> impl Iterator<Item = String> {
    (0_usize..).flat_map(|number| {
        let namespace = number / IN_A_NAMESPACE;
        let mut objects = Vec::with_capacity(12);
        if number.is_multiple_of(IN_A_NAMESPACE) {
            objects.extend(of_namespace(namespace));
        }
        objects.extend(of_service(namespace, number));
        objects
    })
}

fn of_namespace(namespace: usize) -> [String; 4] {
    let ns = format!("team-{namespace}");
    [
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {ns}\n  labels:\n    istio-injection: enabled\n"),
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\n  namespace: {ns}\nspec:\n  mtls:\n    mode: STRICT\n"
        ),
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata:\n  name: default\n  namespace: {ns}\nspec:\n  egress:\n  - hosts:\n    - ./*\n    - istio-system/*\n"
        ),
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: public\n  namespace: {ns}\nspec:\n  selector:\n    istio: ingressgateway\n  servers:\n  - port:\n      number: 80\n      name: http\n      protocol: HTTP\n    hosts:\n    - \"*.{ns}.example.com\"\n"
        ),
    ]
}

fn of_service(namespace: usize, number: usize) -> Vec<String> {
    let (ns, app) = (format!("team-{namespace}"), format!("app-{number}"));
    let neighbour = format!("app-{}", namespace * IN_A_NAMESPACE + (number + 1) % IN_A_NAMESPACE);
    let port = if number.is_multiple_of(50) { "web" } else { "http" };
    let mut objects = vec![format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {app}\n  namespace: {ns}\n  labels:\n    app: {app}\nspec:\n  selector:\n    app: {app}\n  ports:\n  - name: {port}\n    port: 80\n    targetPort: 8080\n"
    )];
    for (pod, version) in ["v1", "v1", "v2"].into_iter().enumerate() {
        objects.push(format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {app}-{version}-{pod}\n  namespace: {ns}\n  labels:\n    app: {app}\n    version: {version}\n    pod-template-hash: \"5f7b9c{pod}\"\nspec:\n  serviceAccountName: {app}\n  containers:\n  - name: app\n    image: example/{app}:{version}\n    ports:\n    - containerPort: 8080\n  - name: istio-proxy\n    image: example/proxy:1\nstatus:\n  podIP: 10.{}.{}.{}\n  phase: Running\n",
            number / 60 % 250,
            number % 250,
            pod + 1
        ));
    }
    let mut routes = String::new();
    for path in ["cart", "list", "item"] {
        // Writing to a String cannot fail.
        let _ = write!(
            routes,
            "  - name: {path}\n    match:\n    - uri:\n        prefix: /{path}\n      headers:\n        x-user:\n          exact: tester\n    timeout: 10s\n    retries:\n      attempts: 3\n      perTryTimeout: 2s\n    route:\n    - destination:\n        host: {app}\n        subset: v2\n"
        );
    }
    objects.push(format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {app}\n  namespace: {ns}\nspec:\n  hosts:\n  - {app}.{ns}.example.com\n  - {app}\n  gateways:\n  - public\n  - mesh\n  http:\n{routes}  - name: canary\n    route:\n    - destination:\n        host: {app}\n        subset: v1\n      weight: 90\n    - destination:\n        host: {app}\n        subset: v2\n      weight: 10\n"
    ));
    let second = if number.is_multiple_of(40) { "v3" } else { "v2" };
    objects.push(format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {app}\n  namespace: {ns}\nspec:\n  host: {app}\n  trafficPolicy:\n    connectionPool:\n      http:\n        http2MaxRequests: 1000\n    outlierDetection:\n      consecutive5xxErrors: 5\n      interval: 10s\n  subsets:\n  - name: v1\n    labels:\n      version: v1\n  - name: v2\n    labels:\n      version: {second}\n"
    ));
    objects.push(format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: {app}\n  namespace: {ns}\nspec:\n  selector:\n    matchLabels:\n      app: {app}\n  rules:\n  - from:\n    - source:\n        principals:\n        - cluster.local/ns/{ns}/sa/{neighbour}\n        - cluster.local/ns/istio-system/sa/*\n    to:\n    - operation:\n        methods:\n        - GET\n        - POST\n"
    ));
    objects
}
