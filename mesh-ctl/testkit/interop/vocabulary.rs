//! Everything that Pilot can say, said to Envoy: each proxy of Pilot's golden cases is played by an Envoy, which must refuse nothing of what it gets.
//!
//! Only acceptance is judged here, and listeners do not bind: the cases are full of addresses and ports that are nobody's.

mod peer;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use mesh_config::{load, resource::sidecar::OutboundMode, snapshot::Builder};
use mesh_pilot::{
    MeshSettings, generate,
    scope::{Client, ProxyScope},
    world::World,
};
use mesh_proto::{any, envoy::config::core::v3::Node, envoy::config::listener::v3::Listener, google::protobuf::BoolValue, json, type_url};
use mesh_runtime::xds::{Resource, Snapshot};
use serde_json::Value;

use self::peer::{Peer, STATIC_CLUSTERS};
use crate::{
    report::{Found, Report},
    stats::wait_for,
};

/// Plays all proxies of all cases in `folder`.
pub(crate) async fn run(envoy: &Path, folder: &Path, report: &mut Report) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut cases: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml") && !names_files(path))
        .collect();
    cases.sort();
    if cases.is_empty() {
        bail!("{} holds no case", folder.display());
    }
    for case in cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy().replace(".in.yaml", "");
        for (node, snapshot) in proxies(&name, &fs::read_to_string(&case)?)? {
            let who = format!("{name}, {}", node["id"].as_str().unwrap_or_default());
            let accepted = play(envoy, &node, snapshot).await;
            report.add("accepted", accepted.map(|detail| format!("{who}: {detail}")).map_err(|detail| format!("{who}: {detail}")));
        }
    }
    Ok(())
}

/// A case's proxies, as its comments name them, and what they get.
fn proxies(name: &str, text: &str) -> Result<Vec<(Value, Snapshot)>> {
    let loaded = load::documents(name, text.as_bytes());
    let config: Builder = loaded.objects.iter().map(|object| object.resource.clone()).collect();
    let directives: Vec<(&str, &str)> = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(' ')).collect();
    let mut settings = MeshSettings::new("cluster.local".parse()?);
    for (_, setting) in directives.iter().filter(|(verb, _)| *verb == "setting") {
        match setting.split_once(' ') {
            Some(("access_log_file", path)) => settings.access_log_file = path.into(),
            Some(("outbound", "registry_only")) => settings.outbound_mode = OutboundMode::RegistryOnly,
            _ => bail!("{name}: unknown setting {setting:?}"),
        }
    }
    let world = World::build(config.build(), settings);
    let mut all = Vec::new();
    for (_, directive) in directives.iter().filter(|(verb, _)| *verb == "proxy") {
        let asked: Value = serde_json::from_str(directive).with_context(|| format!("{name}: {directive}"))?;
        let node = serde_json::json!({"id": asked["id"], "cluster": name, "metadata": asked["metadata"]});
        let decoded: Node = json::decode(node.clone()).with_context(|| format!("{name}: {directive}"))?;
        // Whoever it was in the case, here it is an Envoy.
        let scope = ProxyScope { client: Client::Envoy, ..ProxyScope::from_node(&decoded)? };
        all.push((node, unbound(&generate(&world, &scope))?));
    }
    Ok(all)
}

/// The same, with listeners that bind nothing.
fn unbound(snapshot: &Snapshot) -> Result<Snapshot> {
    let mut builder = Snapshot::builder();
    for (kind, resources) in &snapshot.types {
        for resource in resources.values() {
            if **kind != *type_url::LISTENER {
                builder.insert(kind, resource.clone());
                continue;
            }
            let mut listener: Listener = any::unpack(&resource.body)?;
            listener.bind_to_port = Some(BoolValue { value: false });
            builder.insert(kind, Resource::new(resource.name.clone(), any::pack(&listener)));
        }
    }
    Ok(builder.build())
}

/// Starts an Envoy, gives it everything, and reads what it refused.
async fn play(envoy: &Path, node: &Value, snapshot: Snapshot) -> Found {
    let of = |kind: &str| snapshot.resources(kind).map_or(0, |resources| resources.len() as u64);
    let (clusters, listeners, tables) = (of(type_url::CLUSTER), of(type_url::LISTENER), of(type_url::ROUTE));
    let peer = Peer::start(envoy, node, snapshot).await.map_err(|error| format!("{error:#}"))?;
    let heard = wait_for(peer.admin, "Envoy has taken everything, or refused something", |stats| {
        let taken = stats.one("cluster_manager.cluster_added") == clusters + STATIC_CLUSTERS
            && stats.one("listener_manager.lds.update_success") > 0
            && stats.one("listener_manager.listener_added") == listeners
            // A table is asked for by a listener that was taken.
            && stats.matching("http.", ".update_success").filter(|(_, count)| *count > 0).count() as u64 >= tables;
        taken || !stats.rejected().is_empty()
    })
    .await;
    let words = peer.end().await.join("; ");
    let refused = heard.map_err(|error| format!("{error}; Envoy's words: {words}"))?.rejected().join(", ");
    let detail = format!("cluster_added {clusters}, listener_added {listeners}, {tables} route tables");
    if refused.is_empty() && words.is_empty() {
        Ok(format!("update_rejected 0, {detail}"))
    } else {
        Err(format!("{refused} of {detail}; Envoy's words: {words}"))
    }
}

/// Whether a case names certificates by file: Envoy would open them, and they are on no machine of ours.
fn names_files(case: &std::path::Path) -> bool {
    std::fs::read_to_string(case).is_ok_and(|text| text.contains("/etc/certs/"))
}
