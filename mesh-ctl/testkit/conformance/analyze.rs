//! Analyses of files: one analyzer at a time, whose messages must be exactly those expected, in any order.

use std::{path::Path, time::SystemTime};

use anyhow::{Context, Result};
use mesh_config::analyze::{self, Options, Set};
use serde::Deserialize;
use serde_json::Value;

use super::case::{Case, Expected, Got, Message};

/// Where the control plane is said to be.
const ROOT: &str = "istio-system";

/// Where objects are said to be whose file gives them no namespace: a namespace of its own, which the data leaves out where it names them.
const UNSTATED: &str = "namespace-unstated";

#[derive(Deserialize)]
struct File {
    cases: Vec<Stated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    name: String,
    analyzer: String,
    /// Below `analyze/`, as are the next two.
    input_files: Vec<String>,
    mesh_config: Option<String>,
    mesh_networks: Option<String>,
    #[serde(default)]
    expected: Vec<StatedMessage>,
}

#[derive(Deserialize)]
struct StatedMessage {
    code: String,
    level: String,
    #[serde(default)]
    resource: String,
}

/// The cases of `analyze.json`, whose files are in the folder `analyze` of `data`.
pub(super) fn cases(data: &Path, file: &Path) -> Result<Vec<Case>> {
    let File { cases } = super::read(file)?;
    let folder = data.join("analyze");
    cases.into_iter().map(|stated| answered(stated, &folder)).collect()
}

fn answered(stated: Stated, folder: &Path) -> Result<Case> {
    let got = if known(&stated.analyzer) {
        Got::Messages(messages(&stated, folder).with_context(|| stated.name.clone())?)
    } else {
        Got::Nothing(format!("there is no analyzer {}", stated.analyzer))
    };
    let expected = stated.expected.into_iter().map(|StatedMessage { code, level, resource }| Message { code, level, resource }).collect();
    Ok(Case { name: format!("{}/{}", stated.analyzer, stated.name), expected: Expected::Messages(expected), got })
}

fn known(analyzer: &str) -> bool {
    analyze::ALL.iter().chain(analyze::ON_REQUEST).any(|known| known.name == analyzer)
        || analyze::schema_analyzers().any(|known| known == analyzer)
}

fn messages(stated: &Stated, folder: &Path) -> Result<Vec<Message>> {
    let read = |name: &str| std::fs::read(folder.join(name)).with_context(|| name.to_owned());
    let settings = |name: &Option<String>| match name {
        Some(name) if folder.join(name).exists() => yaml(&read(name)?).map(Some),
        Some(name) => {
            super::said(&format!("analyze: {}: done without {name}, which is not in the data", stated.name));
            Ok(None)
        }
        None => Ok(None),
    };
    let mut set = Set::with_default_namespace(UNSTATED);
    if let Some(config) = settings(&stated.mesh_config)? {
        set.set_mesh_config(config);
    }
    if let Some(networks) = settings(&stated.mesh_networks)? {
        set.set_mesh_networks(networks);
    }
    for name in &stated.input_files {
        set.read(name, &read(name)?);
    }
    set.add_default_resources(ROOT);
    let options = Options {
        root_namespace: ROOT.to_owned(),
        now: Some(SystemTime::now()),
        analyzers: vec![stated.analyzer.clone()],
        ..Options::default()
    };
    // Istio gives the mesh's networks the name of an object; to us they are none.
    let unnamed = if stated.mesh_networks.is_some() { format!("MeshNetworks {ROOT}/meshnetworks") } else { String::new() };
    let found = analyze::run(&set, &options).into_iter().map(|message| Message {
        code: message.code.id.to_owned(),
        level: message.level().to_string(),
        resource: message
            .subject
            .map(|subject| subject.to_string().replace(&format!(" {UNSTATED}/"), " "))
            .unwrap_or_else(|| unnamed.clone()),
    });
    Ok(found.collect())
}

fn yaml(bytes: &[u8]) -> Result<Value> {
    Ok(mesh_proto::yaml::parse_one(std::str::from_utf8(bytes)?)?.root.to_json())
}
