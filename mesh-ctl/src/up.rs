//! `mesh.yaml`: what `meshctl up` runs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::mesh::{
    layout::SYSTEM_NAMESPACE,
    spec::{App, Command, Gateway, Port, Restart, Service, Sidecar, Spec, Workload},
};

/// A mesh.yaml, read and checked.
#[derive(Debug)]
pub struct File {
    content: Content,
    folder: PathBuf,
}

/// What is wrong with a mesh.yaml.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{path}: {source}; give the file with -f")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML.
    #[error("{path}: {reason}")]
    Yaml {
        /// Which.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// It says something that cannot be.
    #[error("{path}: {field}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Where.
        field: String,
        /// What, and how to mend it.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    #[expect(dead_code, reason = "for people; accepted so that a file can say what it is")]
    name: Option<String>,
    #[serde(default = "default_namespace")]
    namespace: String,
    #[serde(default)]
    config: Option<PathBuf>,
    #[serde(default)]
    gateways: Vec<GatewayEntry>,
    workloads: Vec<WorkloadEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayEntry {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadEntry {
    service: String,
    #[serde(default = "default_version")]
    version: String,
    #[serde(default)]
    service_account: Option<String>,
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    restart: Restart,
    #[serde(default)]
    folder: Option<PathBuf>,
    ports: Vec<PortEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortEntry {
    name: String,
    port: u16,
    #[serde(default)]
    target: Option<u16>,
    #[serde(default)]
    protocol: Option<String>,
}

/// Reads a mesh.yaml.
///
/// # Errors
/// With the file, the place and how to mend it.
pub fn read(path: &Path) -> Result<File, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let yaml = |reason: String| Error::Yaml { path: path.to_owned(), reason };
    let documents = mesh_proto::yaml::parse_bytes(&bytes).map_err(|error| yaml(error.to_string()))?;
    let [document] = documents.as_slice() else {
        return Err(yaml(format!("{} YAML documents; a mesh is one", documents.len())));
    };
    let content: Content = serde_json::from_value(document.root.to_json()).map_err(|error| yaml(error.to_string()))?;
    let folder = fs::canonicalize(path).ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    let file = File { content, folder };
    file.verify().map_err(|(field, reason)| Error::Content { path: path.to_owned(), field, reason })?;
    Ok(file)
}

impl File {
    /// The mesh it describes.
    pub fn spec(&self, certificate_lifetime: Duration, concurrency: usize) -> Spec {
        let Content { namespace, config, gateways, workloads, .. } = &self.content;
        Spec {
            config: config.iter().map(|config| self.folder.join(config)).collect(),
            watch: true,
            gateways: gateways.iter().map(gateway).collect(),
            workloads: workloads.iter().map(|entry| self.workload(entry)).collect(),
            services: services(namespace, workloads),
            certificate_lifetime,
            concurrency,
            access_log: true,
        }
    }

    fn workload(&self, entry: &WorkloadEntry) -> Workload {
        Workload {
            name: instance(entry),
            namespace: self.content.namespace.clone(),
            service_account: entry.service_account.clone().unwrap_or_else(|| entry.service.clone()),
            labels: [("app", &entry.service), ("version", &entry.version)].map(|(k, v)| (k.to_string(), v.clone())).into(),
            ports: entry.ports.iter().map(|port| Port { name: port.name.clone(), target: target(port) }).collect(),
            sidecar: Sidecar::default(),
            app: App::Command(Command {
                argv: entry.command.clone(),
                env: entry.env.clone(),
                restart: entry.restart,
                folder: self.folder.join(entry.folder.clone().unwrap_or_default()),
            }),
        }
    }

    fn verify(&self) -> Result<(), (String, String)> {
        let mut names = BTreeMap::new();
        for (n, entry) in self.content.workloads.iter().enumerate() {
            let at = |field: &str| format!("workloads[{n}].{field}");
            if entry.command.is_empty() {
                return Err((at("command"), "is empty; give a program and its arguments as a list".into()));
            }
            if !is_label(&entry.service) || !is_label(&entry.version) {
                return Err((at("service"), format!("{}-{} is no DNS label: use a-z, 0-9 and -", entry.service, entry.version)));
            }
            if let Some(first) = names.insert(instance(entry), n) {
                return Err((at("version"), format!("workloads[{first}] is {} too; give them different versions", instance(entry))));
            }
            let mut seen = BTreeMap::new();
            for (p, port) in entry.ports.iter().enumerate() {
                let at = format!("workloads[{n}].ports[{p}]");
                if target(port) < 1024 {
                    return Err((at, format!("target {} needs root; choose one above 1023", target(port))));
                }
                if let Some(first) = seen.insert(target(port), p) {
                    return Err((at, format!("ports[{first}] arrives at {} too; give one another `target`", target(port))));
                }
            }
        }
        for (n, gateway) in self.content.gateways.iter().enumerate() {
            if let Some(port) = gateway.ports.iter().find(|port| **port < 1024) {
                return Err((format!("gateways[{n}].ports"), format!("{port} needs root; choose one above 1023")));
            }
        }
        Ok(())
    }
}

fn gateway(entry: &GatewayEntry) -> Gateway {
    let mut labels: BTreeMap<String, String> =
        [("istio", &entry.name), ("app", &entry.name)].map(|(k, v)| (k.to_string(), v.clone())).into();
    labels.extend(entry.labels.clone());
    Gateway { name: entry.name.clone(), namespace: SYSTEM_NAMESPACE.into(), labels }
}

fn services(namespace: &str, workloads: &[WorkloadEntry]) -> Vec<Service> {
    let mut services: BTreeMap<&str, Service> = BTreeMap::new();
    for entry in workloads {
        let service = services.entry(&entry.service).or_insert_with(|| Service {
            name: entry.service.clone(),
            namespace: namespace.into(),
            ports: Vec::new(),
        });
        for port in &entry.ports {
            if service.ports.iter().all(|(name, ..)| *name != port.name) {
                service.ports.push((port.name.clone(), port.port, target(port), port.protocol.clone()));
            }
        }
    }
    services.into_values().collect()
}

fn instance(entry: &WorkloadEntry) -> String {
    format!("{}-{}", entry.service, entry.version)
}

/// Ports below 1024 arrive at 8000 more, since nobody here is root.
fn target(port: &PortEntry) -> u16 {
    port.target.unwrap_or(if port.port < 1024 { port.port + 8000 } else { port.port })
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn default_namespace() -> String {
    "default".into()
}

fn default_version() -> String {
    "v1".into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_text(text: &str) -> Result<File, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh.yaml");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn the_example_is_read() {
        let file = read_text(mesh_deploy::UP[0].text).unwrap();
        let spec = file.spec(Duration::from_secs(60), 1);
        assert_eq!(spec.workloads[0].name, "hello-v1");
        assert_eq!(spec.services[0].ports, [("http".to_string(), 80, 8080, None)]);
        assert_eq!(spec.gateways[0].labels["istio"], "ingressgateway");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let one = "workloads: [{service: a, command: [x], ports: [{name: http, port: 80}]}]";
        assert!(read_text(one).is_ok());
        for (text, wanted) in [
            (one.replace("[x]", "[]"), "workloads[0].command"),
            (one.replace("service: a", "service: A_b"), "no DNS label"),
            (one.replace("port: 80", "port: 80, target: 81"), "needs root"),
            (one.replace("command", "comand"), "unknown field `comand`"),
            (one.replace(": 80", ": http"), "mesh.yaml"),
        ] {
            let error = read_text(&text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
