//! The cases of `golden/`: what their comments ask, and what the proxies in them get.
#![allow(clippy::unwrap_used, dead_code, reason = "each test binary uses its part")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use mesh_config::{load, snapshot::Builder};
use mesh_pilot::{MeshSettings, generate, scope::ProxyScope, world::World};
use mesh_proto::{
    envoy::config::core::v3::Node,
    google::protobuf::{Struct, Value as Wire, value::Kind},
    id::SpiffeId,
};
use mesh_runtime::xds::Snapshot;
use serde_json::Value;

/// A proxy of a case.
pub(crate) struct Proxy {
    pub(crate) id: String,
    pub(crate) snapshot: Snapshot,
    /// Which resources are shown: kind and prefix of the name.
    pub(crate) shows: Vec<(String, String)>,
}

/// All cases, by name.
pub(crate) fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.to_string_lossy().ends_with(".in.yaml"));
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// The proxies of a case with what they get.
pub(crate) fn proxies(input: &str, name: &str) -> Vec<Proxy> {
    let loaded = load::documents(name, input.as_bytes());
    assert!(!loaded.has_errors(), "{}", loaded.diagnostics.iter().map(ToString::to_string).collect::<String>());
    let forward: Builder = loaded.objects.iter().map(|object| object.resource.clone()).collect();
    let backward: Builder = loaded.objects.iter().rev().map(|object| object.resource.clone()).collect();
    let directives: Vec<(&str, &str)> = input.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(' ')).collect();
    let mut settings = MeshSettings::new("cluster.local".parse().unwrap());
    for (_, setting) in directives.iter().filter(|(verb, _)| *verb == "setting") {
        set(&mut settings, setting);
    }
    let world = World::build(forward.build(), settings.clone());
    let asked = directives.iter().enumerate().filter(|(_, (verb, _))| *verb == "proxy");
    let proxies = asked.map(|(index, (_, proxy))| {
        let proxy: Value = serde_json::from_str(proxy).unwrap();
        let mut scope = ProxyScope::from_node(&node(&proxy)).unwrap();
        if proxy["authenticated"] == Value::Bool(true) {
            let id = SpiffeId::new(&settings.trust_domain, &scope.namespace, &scope.service_account);
            scope = scope.authenticated(&id, &settings).unwrap();
        }
        let snapshot = generate(&world, &scope);
        // Pure: neither the order of the input nor the run changes a byte.
        let again = generate(&World::build(backward.build(), settings.clone()), &scope);
        assert_eq!(snapshot.types, again.types, "{name}");
        let shows = directives[index + 1..]
            .iter()
            .take_while(|(verb, _)| *verb == "show")
            .map(|(_, what)| what.split_once(' ').unwrap_or((what, "")));
        let shows = shows.map(|(kind, prefix)| (kind.to_owned(), prefix.to_owned())).collect();
        Proxy { id: proxy["id"].as_str().unwrap().to_owned(), snapshot, shows }
    });
    proxies.collect()
}

fn set(settings: &mut MeshSettings, setting: &str) {
    match setting.split_once(' ').unwrap() {
        ("access_log_file", path) => settings.access_log_file = path.into(),
        ("outbound", "registry_only") => settings.outbound_mode = mesh_config::resource::sidecar::OutboundMode::RegistryOnly,
        other => panic!("unknown setting {other:?}"),
    }
}

fn node(proxy: &Value) -> Node {
    let Some(Kind::StructValue(metadata)) = wire(&proxy["metadata"]).kind else { panic!("metadata is no object") };
    Node {
        id: proxy["id"].as_str().unwrap().into(),
        metadata: Some(metadata),
        user_agent_name: proxy["user_agent"].as_str().unwrap_or("mesh-proxy").into(),
        ..Node::default()
    }
}

fn wire(value: &Value) -> Wire {
    let kind = match value {
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::Object(fields) => {
            Kind::StructValue(Struct { fields: fields.iter().map(|(key, value)| (key.clone(), wire(value))).collect() })
        }
        other => panic!("{other} in metadata"),
    };
    Wire { kind: Some(kind) }
}
