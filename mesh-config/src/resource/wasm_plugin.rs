//! `WasmPlugin` (`extensions.istio.io`): a WebAssembly module in the proxy's filter chains.
//!
//! This file also holds what a TrafficExtension's `wasm` shares with it.

use serde_json::{Map, Value};

use super::{
    Object,
    attachment::attachment,
    selector::{LabelSelector, TargetRef},
    spec::{names, spec},
};
use crate::{
    schema::{AGE, Crd, cel, list_map, nullable, preserve_unknown_fields},
    validate::{Checks, Validate},
};

spec! {
    /// A module, its settings, and the traffic that passes through it.
    #[schemars(transform = cel(
        "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of targetRefs or selector can be set"
    ))]
    pub struct WasmPlugin {
        selector: Option<LabelSelector>,
        /// Deprecated in favour of `target_refs`.
        target_ref: Option<TargetRef>,
        #[schemars(length(max = 16))]
        target_refs: Vec<TargetRef>,
        /// `oci:` (also without a scheme), `http:`, `https:` or `file:`.
        #[schemars(length(min = 1))]
        #[schemars(transform = cel(
            "isURL(self) ? (url(self).getScheme() in [\"\", \"http\", \"https\", \"oci\", \"file\"]) : (isURL(\"http://\" + self) &&\nurl(\"http://\" + self).getScheme() in [\"\", \"http\", \"https\", \"oci\", \"file\"])",
            "url must have schema one of [http, https, file, oci]"
        ))]
        required url: String,
        /// Of the module, or of the image; a module with another checksum is refused.
        #[schemars(regex(pattern = r"(^$|^[a-f0-9]{64}$)"))]
        sha256: String,
        image_pull_policy: PullPolicy,
        /// A Secret with registry credentials, in the plugin's namespace.
        #[schemars(length(min = 1, max = 253))]
        image_pull_secret: String,
        /// The key that the image is signed with.
        verification_key: String,
        /// Given to the module, whatever it is.
        #[schemars(transform = preserve_unknown_fields)]
        plugin_config: Map<String, Value>,
        /// `root_id`: which of the module's plugins to run.
        #[schemars(length(min = 1, max = 256))]
        plugin_name: String,
        phase: PluginPhase,
        /// Within a phase the highest comes first; 0 if absent.
        #[schemars(transform = nullable)]
        priority: Option<i32>,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        /// The traffic concerned is that which one of them matches; empty: all.
        r#match: Vec<TrafficSelector>,
        r#type: PluginType,
    }

    /// The module's environment.
    pub struct VmConfig {
        #[schemars(length(max = 256), transform = list_map(&["name"]))]
        env: Vec<EnvVar>,
    }

    /// A variable.
    #[schemars(transform = cel(
        "(has(self.valueFrom) ? self.valueFrom : \"\") != \"HOST\" || !has(self.value)",
        "value may only be set when valueFrom is INLINE"
    ))]
    pub struct EnvVar {
        #[schemars(length(min = 1, max = 256))]
        required name: String,
        value_from: EnvValueSource,
        #[schemars(length(max = 2048))]
        value: String,
    }

    /// Traffic by side and port.
    pub struct TrafficSelector {
        mode: TrafficMode,
        /// Empty: every port.
        #[schemars(transform = list_map(&["number"]))]
        ports: Vec<PortNumber>,
    }

    /// A port by its number: the service's for what a client sends, the workload's for what a server receives.
    pub struct PortNumber {
        #[schemars(range(min = 1, max = 65535))]
        required number: u32,
    }
}

names! {
    /// Where in the filter chain.
    pub enum PluginPhase {
        /// Before the router.
        #[default]
        Unspecified = "UNSPECIFIED_PHASE",
        /// Before authentication.
        Authn = "AUTHN",
        /// After authentication, before authorization.
        Authz = "AUTHZ",
        /// After authorization, before statistics.
        Stats = "STATS",
    }

    /// When an image is fetched again.
    pub enum PullPolicy {
        /// As `IfNotPresent`; with the tag `latest`, as `Always`.
        #[default]
        Unspecified = "UNSPECIFIED_POLICY",
        IfNotPresent = "IfNotPresent",
        Always = "Always",
    }

    /// What happens to traffic when the module cannot be loaded or crashes.
    pub enum FailStrategy {
        /// It is refused.
        #[default]
        FailClose = "FAIL_CLOSE",
        /// It passes, without the module.
        FailOpen = "FAIL_OPEN",
        /// The module is loaded anew, once; then it is refused.
        FailReload = "FAIL_RELOAD",
    }

    /// The kind of filter.
    pub enum PluginType {
        /// HTTP.
        #[default]
        Unspecified = "UNSPECIFIED_PLUGIN_TYPE",
        Http = "HTTP",
        Network = "NETWORK",
    }

    /// Where a variable's value comes from.
    pub enum EnvValueSource {
        /// `value`.
        #[default]
        Inline = "INLINE",
        /// The proxy's own environment.
        Host = "HOST",
    }

    /// The side of a request that a selector is about.
    pub enum TrafficMode {
        /// As CLIENT_AND_SERVER.
        #[default]
        Undefined = "UNDEFINED",
        Client = "CLIENT",
        Server = "SERVER",
        ClientAndServer = "CLIENT_AND_SERVER",
    }
}

impl Validate for WasmPlugin {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec().columns(&[AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attachment(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
    }
}

#[cfg(test)]
mod tests;
