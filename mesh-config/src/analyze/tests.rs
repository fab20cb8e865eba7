//! What holds for all analyzers: which messages are told, of what, and where they point.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::{ALL, Level, ON_REQUEST, Options, Places, SCHEMA, Set, run};
use crate::resource::Kind;

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata:
  name: shop
  namespace: a
  annotations: {galley.istio.io/analyze-suppress: 'CODES'}
spec:
  ports:
  - {name: web, port: 80}
";

fn told(set: &Set, options: &Options) -> Vec<String> {
    run(set, options).iter().map(ToString::to_string).collect()
}

fn set(files: &[&str]) -> Set {
    let mut set = Set::default();
    for (number, file) in files.iter().enumerate() {
        set.read(&format!("{number}.yaml"), file.as_bytes());
    }
    set
}

#[test]
fn a_line_is_istioctls() {
    let lines = told(&set(&[SERVICE]), &Options::default());
    assert_eq!(
        lines,
        [
            "Info [IST0118] (Service a/shop 0.yaml:1) Port name web (port: 80, targetPort: 0) doesn't follow the naming convention of Istio port."
        ]
    );
}

#[test]
fn a_message_points_into_the_file() {
    let set = set(&[
        "# a comment\n---\n---\nkind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: shop}\n  spec:\n    ports:\n    - name: web\n      port: 80\n",
    ]);
    let messages = run(&set, &Options::default());
    let diagnostic = Places::new(&set).diagnostic(&messages[0]).unwrap();
    assert_eq!((diagnostic.line, diagnostic.column, diagnostic.snippet.text.as_str()), (12, 13, "    - name: web"));
}

#[test]
fn what_is_suppressed_is_not_told() {
    for (codes, count) in [("IST0101", 1), ("IST0101, IST0118", 0), ("*", 0)] {
        assert_eq!(told(&set(&[&SERVICE.replace("CODES", codes)]), &Options::default()).len(), count, "{codes}");
    }
    for (suppression, count) in [("IST0118=Service shop.a", 0), ("IST0118=Service a/*", 0), ("IST0118=Service *.b", 1), ("IST0101=*", 1)] {
        let options = Options { suppressions: vec![suppression.parse().unwrap()], ..Options::default() };
        assert_eq!(told(&set(&[SERVICE]), &options).len(), count, "{suppression}");
    }
}

#[test]
fn only_the_namespace_that_is_asked_for_and_never_kubernetes_own() {
    for (namespace, count) in [("a", 1), ("b", 0)] {
        let options = Options { namespace: Some(namespace.into()), ..Options::default() };
        assert_eq!(told(&set(&[SERVICE]), &options).len(), count, "{namespace}");
    }
    assert_eq!(told(&set(&[&SERVICE.replace("namespace: a", "namespace: kube-system")]), &Options::default()), [""; 0]);
}

#[test]
fn objects_without_a_namespace_are_where_the_reader_says() {
    let file = SERVICE.replace("  namespace: a\n", "");
    let mut set = Set::with_default_namespace("elsewhere");
    set.read("0.yaml", file.as_bytes());
    set.read(
        "1.yaml",
        SERVICE.replace("port: 80", "port: wrong").replace("  namespace: a\n", "").replace("name: shop", "name: b").as_bytes(),
    );
    let options = Options { files_only: true, ..Options::default() };
    let subjects: Vec<String> = run(&set, &options).iter().map(|message| message.subject.clone().unwrap().to_string()).collect();
    assert_eq!(subjects, ["Service elsewhere/b", "Service elsewhere/shop"]);
}

#[test]
fn two_of_one_name_are_told_and_the_first_stands() {
    let set = set(&[SERVICE, &SERVICE.replace("web", "http")]);
    let lines = told(&set, &Options::default());
    assert_eq!(set.len(), 1);
    assert!(lines[0].contains("MESH0001") && lines[0].contains("1.yaml:1") && lines[0].contains("also defined at 0.yaml:1"), "{lines:?}");
    assert!(lines[1].contains("IST0118"), "{lines:?}");
}

#[test]
fn clusters_are_apart() {
    let mut set = Set::default();
    for cluster in ["one", "two"] {
        set.in_cluster(cluster).read(&format!("{cluster}.yaml"), SERVICE.as_bytes());
    }
    let lines = told(&set, &Options { analyzers: vec!["service.PortNameAnalyzer".into()], ..Options::default() });
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("Info [IST0118] [cluster-one] (Service a/shop one.yaml:1)"), "{lines:?}");
}

#[test]
fn a_broken_object_is_told_by_its_own_analyzer_and_still_there_for_others() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: a}\nspec: {ports: [{name: http, port: 80}, {name: http, port: 81}]}\n";
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop, namespace: a}\nspec:\n  hosts: [shop]\n  http: [{route: [{destination: {host: shop, port: {number: 80}}}]}]\n";
    let set = set(&[service, route]);
    let messages = run(&set, &Options::default());
    let codes: Vec<(&str, &str)> = messages.iter().map(|message| (message.code.id, message.analyzer)).collect();
    assert!(!codes.is_empty() && codes.iter().all(|(code, analyzer)| *code == "IST0106" && *analyzer == SCHEMA), "{messages:?}");
    let options = Options { analyzers: vec!["schema.ValidationAnalyzer.VirtualService".into()], ..Options::default() };
    assert_eq!(told(&set, &options), [""; 0]);
}

#[test]
fn what_is_no_object_is_skipped_and_what_may_be_one_is_not() {
    let set = set(&["image: {tag: v1}\nreplicas: 3\n", "kind: Service\nmetadata: {name: a}\n", "a: [\n"]);
    assert_eq!(set.skipped().len(), 1);
    assert_eq!(set.unread().len(), 2);
}

#[test]
fn what_is_assumed_is_there_and_not_told_about() {
    let mut set = set(&[]);
    set.assume(
        &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"name": "web", "port": 80}]}}),
    );
    let there = |set: &Set| set.entries(Kind::Service).len() + set.entries(Kind::Pod).len();
    assert_eq!((there(&set), told(&set, &Options::default())), (1, Vec::new()));
    // Nobody wrote it.
    assert!(set.is_empty());
    set.set_mesh_config(json!({"ingressControllerMode": "OFF"}));
    set.add_default_resources("istio-system");
    assert_eq!(there(&set), 1);
    set.set_mesh_config(json!({"ingressService": "in"}));
    set.add_default_resources("istio-system");
    assert_eq!(there(&set), 3);
}

#[test]
fn in_files_only_pods_are_not_missed() {
    let file = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: nobody.example.com}\n";
    let count = |files_only| run(&set(&[file]), &Options { files_only, ..Options::default() }).len();
    assert_eq!((count(false), count(true)), (1, 0));
}

#[test]
fn a_secrets_line_is_not_shown() {
    let set = set(&[
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b, annotations: {sidecar.istio.io/inject: x}}\ndata: {key: c2VjcmV0}\n",
    ]);
    let mut places = Places::new(&set);
    for message in run(&set, &Options::default()) {
        assert!(!places.diagnostic(&message).unwrap().to_string().contains("sidecar.istio.io/inject: x"));
    }
}

#[test]
fn analyzers_have_names_of_their_own_and_codes() {
    let mut names: Vec<&str> = ALL.iter().chain(ON_REQUEST).map(|analyzer| analyzer.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(ALL.iter().all(|analyzer| !analyzer.codes.is_empty() && !analyzer.about.is_empty() && !analyzer.reads.is_empty()));
    assert!(Level::Error > Level::Warning && Kind::ALL.len() > 20);
}
