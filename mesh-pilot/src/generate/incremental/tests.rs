//! Incremental generation gives what generation from nothing does, whatever happened before.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use mesh_config::{registry::Registry, resource::Resource as Configuration, snapshot::Builder};
use proptest::prelude::*;

use super::*;
use crate::{
    generate::generate_reporting,
    scope::{Interception, Role},
    source::Received,
    testing::{scope, settings, snapshot},
};

/// What may or may not be there, each in several forms; forms of one line have one name.
const PARTS: &[&[&str]] = &[
    &[
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8081}, {name: tcp, port: 90}]}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, annotations: {networking.istio.io/exportTo: \".\"}}\nspec: {selector: {app: api}, ports: [{name: http, port: 80}]}",
    ],
    &[
        "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: bank}\nspec: {selector: {app: api}, ports: [{name: grpc, port: 90}]}",
    ],
    &[
        "apiVersion: v1\nkind: Service\nmetadata: {name: gw, namespace: edge}\nspec: {selector: {app: gw}, ports: [{name: http, port: 80, targetPort: 8080}]}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: web-1, namespace: shop}\nspec: {address: 10.0.0.1, labels: {app: web, version: v1}, serviceAccount: web}",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: web-1, namespace: shop}\nspec: {address: 10.0.0.9, labels: {app: web, version: v2}, serviceAccount: web}",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: web-1, namespace: shop}\nspec: {address: 10.0.0.1, labels: {app: web, version: v1}, serviceAccount: other, weight: 3}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: api-1, namespace: bank}\nspec: {address: 10.0.0.2, labels: {app: api}, serviceAccount: api, locality: a/b/c}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: self, namespace: shop}\nspec: {address: 127.9.9.11, labels: {app: web}, serviceAccount: a}",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: self, namespace: shop}\nspec: {address: 127.9.9.11, labels: {app: a, version: v1}, serviceAccount: a}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {hosts: [web], http: [{delegate: {name: part, namespace: bank}}]}",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {hosts: [web, web.example.com], gateways: [mesh, edge/g], exportTo: [\".\"], http: [{match: [{sourceLabels: {app: a}}], route: [{destination: {host: web}}]}]}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: part, namespace: bank}\nspec: {http: [{timeout: 1s, route: [{destination: {host: api}}]}]}",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: part, namespace: bank}\nspec: {http: [{timeout: 2s, route: [{destination: {host: api}}]}]}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, namespace: shop}\nspec: {host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, namespace: shop}\nspec: {host: web, exportTo: [\".\"], trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x}}}}",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, namespace: shop}\nspec: {host: web, workloadSelector: {matchLabels: {app: a}}, trafficPolicy: {tls: {mode: SIMPLE, credentialName: cert}}}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: api, namespace: istio-system}\nspec: {host: \"*.bank.svc.cluster.local\", trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: true}}}}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: out, namespace: bank}\nspec: {hosts: [out.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: a.example.com}]}",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: out, namespace: bank}\nspec: {hosts: [out.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: b.example.com}]}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\nspec: {egress: [{hosts: [\"./*\"]}]}",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\nspec: {egress: [{hosts: [\"bank/*\"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: root, namespace: istio-system}\nspec: {egress: [{hosts: [\"~/*\"]}]}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: edge}\nspec: {selector: {app: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}]}",
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: edge}\nspec: {selector: {app: gw}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [\"*\"], tls: {mode: SIMPLE, credentialName: cert}}]}",
    ],
    &[
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {mtls: {mode: STRICT}}",
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}}",
    ],
    &[
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {}",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop, annotations: {istio.io/dry-run: \"true\"}}\nspec: {}",
    ],
    &[
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: istio-system}\nspec: {jwtRules: [{issuer: a}]}",
    ],
    &[
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: w, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, url: \"oci://a\"}",
    ],
    &[
        "apiVersion: v1\nkind: Secret\nmetadata: {name: cert, namespace: edge}\nstringData: {cacert: a}",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: cert-cacert, namespace: shop}\nstringData: {cacert: b}",
    ],
    NAMED,
    &[
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: gw, namespace: edge}\nspec: {address: 10.0.0.7, labels: {app: gw}, serviceAccount: gw}",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: gw, namespace: edge}\nspec: {address: 10.0.0.7, labels: {app: gw}, serviceAccount: other}",
    ],
    &[
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web-tls, namespace: shop}\nspec: {host: web, trafficPolicy: {tls: {mode: SIMPLE, credentialName: cert}}}",
    ],
];

/// Names of the service's own, or of its endpoint, or of an endpoint that has changed hands.
const NAMED: &[&str] = &[
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: named, namespace: bank}\nspec: {hosts: [named.example.com], resolution: STATIC, location: MESH_INTERNAL, subjectAltNames: [\"spiffe://cluster.local/ns/bank/sa/new\"], ports: [{number: 90, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.77, labels: {app: named, security.istio.io/tlsMode: istio}, serviceAccount: old}]}",
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: named, namespace: bank}\nspec: {hosts: [named.example.com], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 90, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.77, labels: {app: named, security.istio.io/tlsMode: istio}, serviceAccount: old}]}",
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: named, namespace: bank}\nspec: {hosts: [named.example.com], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 90, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.77, labels: {app: named, security.istio.io/tlsMode: istio}, serviceAccount: new}]}",
];

fn scopes() -> Vec<ProxyScope> {
    let sidecar = scope("shop", "a");
    let redirected = ProxyScope { interception: Interception::Redirect, ip: "10.0.0.2".parse().unwrap(), ..scope("bank", "api") };
    let gateway = ProxyScope { role: Role::Router, is_authenticated: true, ip: "10.0.0.7".parse().unwrap(), ..scope("edge", "gw") };
    vec![ProxyScope { is_authenticated: true, ..sidecar.clone() }, sidecar, redirected, gateway]
}

/// A World of these parts, whose services and workloads come as they do from Galley: change by change, or all at once.
fn next(state: &BTreeMap<usize, usize>, before: Option<&World>) -> World {
    let resources = state.iter().flat_map(|(part, form)| {
        let objects: Vec<Configuration> = snapshot(PARTS[*part][*form]).resources().cloned().collect();
        objects
    });
    let snapshot = resources.collect::<Builder>().build();
    let whole = Registry::build(&snapshot);
    let registry = match before {
        // As if it had been kept: what is equal is the very same object.
        Some(before) => {
            let services = whole
                .services()
                .map(|service| before.registry().service(&service.id).filter(|old| *old == service).unwrap_or(service).clone());
            let workloads = whole
                .workloads()
                .map(|workload| before.registry().workload(&workload.id).filter(|old| *old == workload).unwrap_or(workload).clone());
            Registry::assemble(services, workloads)
        }
        None => whole,
    };
    let received =
        Received { revision: snapshot.revision().clone(), registry: Arc::new(registry), snapshot, at: tokio::time::Instant::now() };
    World::new(received, settings(), before)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_is_what_generation_from_nothing_gives(
        start in proptest::collection::vec(0..4usize, PARTS.len()),
        steps in proptest::collection::vec(proptest::collection::vec((0..PARTS.len(), 0..4usize), 1..3), 1..12),
    ) {
        let mut state = BTreeMap::new();
        let set = |state: &mut BTreeMap<usize, usize>, part: usize, form: usize| {
            match PARTS[part].get(form) {
                Some(_) => state.insert(part, form),
                None => state.remove(&part),
            };
        };
        start.iter().enumerate().for_each(|(part, form)| set(&mut state, part, *form));
        let mut world = next(&state, None);
        let mut made: Vec<(ProxyScope, Made)> = scopes().into_iter().map(|scope| {
            let first = generate_after(&world, &scope, None).0;
            (scope, first)
        }).collect();
        for changes in steps {
            changes.iter().for_each(|(part, form)| set(&mut state, *part, *form));
            world = next(&state, Some(&world));
            for (scope, made) in &mut made {
                *made = generate_after(&world, scope, Some(made)).0;
                let (full, report) = generate_reporting(&world, scope);
                prop_assert_eq!(&made.snapshot.types, &full.types);
                prop_assert_eq!(&made.snapshot.revision, &full.revision);
                prop_assert_eq!(&made.report, &report);
            }
        }
    }
}

fn work(from: &[(usize, usize)], to: &[(usize, usize)]) -> Vec<Work> {
    let state = |parts: &[(usize, usize)]| parts.iter().copied().collect();
    let before = next(&state(from), None);
    let after = next(&state(to), Some(&before));
    let after_all = |scope: &ProxyScope| generate_after(&after, scope, Some(&generate_after(&before, scope, None).0)).1;
    scopes()[1..].iter().map(after_all).collect()
}

#[test]
fn a_service_that_loses_its_own_names_has_those_of_its_endpoints() {
    let part = PARTS.iter().position(|part| part.len() == NAMED.len() && part[0] == NAMED[0]).unwrap();
    let state = |form: usize| BTreeMap::from([(part, form)]);
    let mut world = next(&state(0), None);
    let scope = scope("shop", "a");
    let mut made = generate_after(&world, &scope, None).0;
    for form in [1, 2, 1, 0] {
        world = next(&state(form), Some(&world));
        made = generate_after(&world, &scope, Some(&made)).0;
        let full = generate_reporting(&world, &scope).0;
        assert_eq!(made.snapshot.types, full.types, "form {form}");
        let cluster = full.resource(type_url::CLUSTER, "outbound|90||named.example.com").unwrap();
        let names = if form == 1 { "sa/old" } else { "sa/new" };
        assert!(mesh_proto::json::encode_any(&cluster.body).to_string().contains(names), "form {form}");
    }
}

#[test]
fn only_who_can_see_a_change_is_made_anew() {
    // In order: a sidecar in shop, one in bank, a gateway in edge.
    let base = [(0, 0), (1, 0), (3, 0), (4, 0)];
    assert_eq!(work(&base, &base), [Work::None; 3]);
    // A workload moves: the endpoints of one service, for everybody.
    assert_eq!(work(&base, &[(0, 0), (1, 0), (3, 1), (4, 0)]), [Work::Endpoints(1); 3]);
    // Another service account: clusters name it.
    assert_eq!(work(&base, &[(0, 0), (1, 0), (3, 2), (4, 0)]), [Work::All; 3]);
    // A route that is exported to its own namespace only.
    assert_eq!(work(&base, &[&base[..], &[(6, 2)]].concat()), [Work::All, Work::None, Work::None]);
    // A gateway's servers.
    assert_eq!(work(&base, &[&base[..], &[(13, 0)]].concat()), [Work::None, Work::None, Work::All]);
    // A policy of one namespace.
    assert_eq!(work(&base, &[&base[..], &[(15, 0)]].concat()), [Work::All, Work::None, Work::None]);
    // A Sidecar resource that hides bank hides its changes.
    let narrow = [&base[..], &[(11, 0)]].concat();
    let moved: Vec<_> = narrow.iter().copied().filter(|part| *part != (4, 0)).collect();
    assert_eq!(work(&narrow, &moved)[0], Work::None);
    // The last one of an identity goes: clusters name it no more.
    assert_eq!(work(&base, &base[..3])[0], Work::All);
}
