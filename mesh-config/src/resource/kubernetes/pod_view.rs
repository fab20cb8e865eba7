//! One view of pods for all kinds that are or make them, so that a rule about pods is written once.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use crate::resource::{Labels, Object, Pod, Resource};

/// The service account of a pod that names none.
pub const DEFAULT_ACCOUNT: &str = "default";

/// A pod, or the template of pods.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a> {
    /// What runs in it.
    pub spec: &'a PodSpec,
    labels: &'a Labels,
    annotations: &'a Labels,
    /// Where `spec` is in the object: `spec`, `spec.template.spec`, …
    pub path: &'static str,
}

static NONE: Labels = BTreeMap::new();

impl<'a> PodView<'a> {
    /// The pod that a resource is, or the template of those it makes; absent for other kinds and empty templates.
    pub fn of(resource: &'a Resource) -> Option<Self> {
        match resource {
            Resource::Pod(pod) => Some(Self::of_pod(pod)),
            Resource::Deployment(object) => Self::template(object.spec.pod_template()),
            Resource::ReplicaSet(object) => Self::template(object.spec.pod_template()),
            Resource::StatefulSet(object) => Self::template(object.spec.pod_template()),
            Resource::DaemonSet(object) => Self::template(object.spec.pod_template()),
            Resource::ReplicationController(object) => Self::template(object.spec.pod_template()),
            Resource::Job(object) => Self::template(object.spec.pod_template()),
            Resource::CronJob(object) => {
                Self::template(object.spec.pod_template()).map(|view| Self { path: "spec.jobTemplate.spec.template.spec", ..view })
            }
            _ => None,
        }
    }

    /// A pod.
    pub fn of_pod(pod: &'a Object<Pod>) -> Self {
        Self { spec: &pod.spec.spec, labels: &pod.meta.labels, annotations: &pod.meta.annotations, path: "spec" }
    }

    fn template(template: Option<&'a PodTemplateSpec>) -> Option<Self> {
        let template = template?;
        let meta = template.metadata.as_ref();
        Some(Self {
            spec: template.spec.as_ref()?,
            labels: meta.and_then(|meta| meta.labels.as_ref()).unwrap_or(&NONE),
            annotations: meta.and_then(|meta| meta.annotations.as_ref()).unwrap_or(&NONE),
            path: "spec.template.spec",
        })
    }

    /// The pod's labels.
    pub fn labels(&self) -> &'a Labels {
        self.labels
    }

    /// The pod's annotations.
    pub fn annotations(&self) -> &'a Labels {
        self.annotations
    }

    /// The containers that run side by side.
    pub fn containers(&self) -> &'a [Container] {
        &self.spec.containers
    }

    /// The containers that run before; with restart policy Always they stay (native sidecars).
    pub fn init_containers(&self) -> &'a [Container] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// All of them, init containers first.
    pub fn all_containers(&self) -> impl Iterator<Item = &'a Container> {
        self.init_containers().iter().chain(self.containers())
    }

    /// The container of this name, init containers included.
    pub fn container(&self, name: &str) -> Option<&'a Container> {
        self.all_containers().find(|container| container.name == name)
    }

    /// Every image, in order.
    pub fn images(&self) -> impl Iterator<Item = &'a str> {
        self.all_containers().filter_map(|container| container.image.as_deref())
    }

    /// The service account's name.
    pub fn service_account(&self) -> &'a str {
        let named = self.spec.service_account_name.as_deref().filter(|name| !name.is_empty());
        named.or_else(|| self.spec.service_account.as_deref().filter(|name| !name.is_empty())).unwrap_or(DEFAULT_ACCOUNT)
    }

    /// Whether it uses the node's network, and so is not captured.
    pub fn host_network(&self) -> bool {
        self.spec.host_network.unwrap_or_default()
    }

    /// The user that the pod as a whole is set to run as.
    pub fn pod_user(&self) -> Option<i64> {
        self.spec.security_context.as_ref()?.run_as_user
    }

    /// The user that a container runs as: its own setting, else the pod's.
    pub fn run_as_user(&self, container: &Container) -> Option<i64> {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or_else(|| self.pod_user())
    }

    /// The TCP ports that have a name; of two with one name the first counts, as in Kubernetes. Those of native
    /// sidecars are included.
    pub fn named_ports(&self) -> BTreeMap<String, u16> {
        let native = self.init_containers().iter().filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let mut ports = BTreeMap::new();
        for port in self.containers().iter().chain(native).flat_map(|container| container.ports.iter().flatten()) {
            let tcp = port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
            if let (true, Some(name), Ok(number)) = (tcp, &port.name, u16::try_from(port.container_port)) {
                ports.entry(name.clone()).or_insert(number);
            }
        }
        ports
    }
}
