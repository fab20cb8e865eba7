//! `TrafficExtension` (`extensions.istio.io`): a WebAssembly module or a Lua script in the proxy's filter chains.

use serde_json::{Map, Value};

use super::{
    Object,
    attachment::attachment,
    selector::{LabelSelector, TargetRef},
    spec::{names, spec},
    wasm_plugin::{FailStrategy, PluginType, PullPolicy, TrafficSelector, VmConfig},
};
use crate::{
    schema::{AGE, Crd, cel, nullable, oneof, preserve_unknown_fields},
    validate::{Checks, Validate, rules::shown},
};

spec! {
    /// An extension, and the traffic that passes through it.
    #[schemars(transform = oneof(&["wasm", "lua"]))]
    #[schemars(transform = cel(
        "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of targetRefs or selector can be set"
    ))]
    #[schemars(transform = cel("has(self.wasm) != has(self.lua)", "exactly one of wasm or lua must be set"))]
    pub struct TrafficExtension {
        selector: Option<LabelSelector>,
        #[schemars(length(max = 16))]
        target_refs: Vec<TargetRef>,
        phase: ExtensionPhase,
        /// Within a phase the highest comes first; 0 if absent.
        #[schemars(transform = nullable)]
        priority: Option<i32>,
        /// The traffic concerned is that which one of them matches; empty: all.
        r#match: Vec<TrafficSelector>,
        wasm: Option<Wasm>,
        lua: Option<Lua>,
    }

    /// A WebAssembly module; the fields are WasmPlugin's.
    pub struct Wasm {
        /// `oci:` (also without a scheme), `http:`, `https:` or `file:`.
        #[schemars(length(min = 1))]
        #[schemars(transform = cel(
            "isURL(self) ? (url(self).getScheme() in [\"\", \"http\", \"https\", \"file\", \"oci\"]) : (isURL(\"http://\" + self) &&\nurl(\"http://\" + self).getScheme() in [\"\", \"http\", \"https\", \"file\", \"oci\"])",
            "url must have schema one of [http, https, file, oci]"
        ))]
        required url: String,
        /// Of the module, or of the image; a module with another checksum is refused.
        #[schemars(regex(pattern = r"(^$|^[a-f0-9]{64}$)"))]
        sha256: String,
        image_pull_policy: PullPolicy,
        /// A Secret with registry credentials, in the extension's namespace.
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
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        r#type: PluginType,
    }

    /// A script for Envoy's Lua filter.
    pub struct Lua {
        /// At most 64 KiB.
        #[schemars(length(min = 1, max = 65536))]
        required inline_code: String,
    }
}

names! {
    /// Where in the filter chain.
    pub enum ExtensionPhase {
        /// Before the router.
        #[default]
        Unspecified = "UNSPECIFIED",
        /// Before authentication.
        Authn = "AUTHN",
        /// After authentication, before authorization.
        Authz = "AUTHZ",
        /// After authorization, before statistics.
        Stats = "STATS",
    }
}

/// Bytes of a script. The schema counts characters.
const MAX_SCRIPT: usize = 64 * 1024;

impl Validate for TrafficExtension {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().requires_spec().columns(&[AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attachment(spec.selector.as_ref(), None, &spec.target_refs, checks);
        if let Some(lua) = &spec.lua
            && lua.inline_code.len() > MAX_SCRIPT
        {
            checks.field("lua.inlineCode", |checks| {
                let found = format!("{} bytes", lua.inline_code.len());
                checks.error(shown(found), "a script is at most 64 KiB long", "write less, or a WebAssembly module");
            });
        }
    }
}

#[cfg(test)]
mod tests;
