//! What Galley itself has to say about a file, beside what reading it said: Secrets that cannot be used, and what is accepted and not acted upon. And that no
//! message shows what may be a key.

use std::{borrow::Cow, sync::Arc};

use mesh_config::{
    diagnostic::{Diagnostic, Severity, Snippet},
    resource::{Kind, Resource, wasm_plugin::FailStrategy},
};

use crate::{source::folder::File, store::Id};

/// More messages about one file are cut.
pub(crate) const MOST_MESSAGES: usize = 1000;
/// Instead of a line that may have a key in it.
const HIDDEN: &str = "(not shown: it may be secret)";

/// Makes remarks on a file.
pub(crate) struct Remarks<'f> {
    name: Arc<str>,
    bytes: &'f [u8],
}

impl<'f> Remarks<'f> {
    pub(crate) fn on(file: &'f File) -> Self {
        Self { name: file.path.display().to_string().into(), bytes: &file.bytes }
    }

    /// That a Secret cannot be used.
    pub(crate) fn refusal(&self, id: &Id, line: usize, reason: String) -> Diagnostic {
        Diagnostic {
            field_path: "data".into(),
            suggestion: Some("give a certificate chain and its own key in PEM, leaf first".into()),
            ..self.remark(Severity::Error, id.clone(), line, reason)
        }
    }

    /// That a resource is accepted and nothing acts upon it yet.
    pub(crate) fn inaction(&self, resource: &Resource, line: usize) -> Option<Diagnostic> {
        let (consequence, remedy) = inaction(resource)?;
        let id = (resource.kind(), resource.meta().key());
        let message = format!("{} is accepted and not acted upon yet: {consequence}", id.0);
        Some(Diagnostic { suggestion: Some(remedy.into()), ..self.remark(Severity::Warning, id, line, message) })
    }

    fn remark(&self, severity: Severity, id: Id, line: usize, message: String) -> Diagnostic {
        let text = if id.0 == Kind::Secret { HIDDEN.into() } else { self.line(line) };
        let len = text.chars().count().max(1);
        Diagnostic {
            severity,
            file: self.name.clone(),
            line,
            column: 1,
            object: Some(id),
            field_path: String::new(),
            message,
            expected: None,
            suggestion: None,
            snippet: Snippet { text: text.into_owned(), start: 0, len },
        }
    }

    fn line(&self, line: usize) -> Cow<'f, str> {
        let bytes = self.bytes.split(|byte| *byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
        let shown = bytes.get(..160).unwrap_or(bytes);
        match String::from_utf8_lossy(shown) {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end()),
            Cow::Owned(text) => Cow::Owned(text.trim_end().to_owned()),
        }
    }
}

/// What does not happen, and what to do meanwhile. `None`: the mesh acts upon it, or it is not meant for the mesh's proxies.
fn inaction(resource: &Resource) -> Option<(&'static str, &'static str)> {
    Some(match resource {
        Resource::WasmPlugin(plugin) if plugin.spec.fail_strategy != FailStrategy::FailOpen => (
            "the module does not run, and as it does not fail open, requests to the selected workloads are refused (403)",
            "remove it, or set failStrategy: FAIL_OPEN",
        ),
        Resource::WasmPlugin(_) => ("the module does not run", "remove it, or do without the module"),
        Resource::RequestAuthentication(_) => (
            "mesh-proxy does not verify tokens, so it refuses every HTTP request to the selected workloads (500)",
            "remove it, or let an Envoy be the sidecar of the selected workloads, and give the keys as `jwks`",
        ),
        Resource::TrafficExtension(_) => ("the extension does not run", "remove it, or do without the extension"),
        Resource::EnvoyFilter(_) => (
            "proxies' configuration is not patched",
            "use a typed resource instead: VirtualService, DestinationRule, AuthorizationPolicy, …",
        ),
        Resource::Telemetry(_) => {
            ("metrics, traces and access logs stay as the mesh's settings say", "set the access log for the whole mesh (--access-log-file)")
        }
        Resource::ProxyConfig(_) => ("proxies keep their own settings", "give the setting to the proxy where it is started"),
        Resource::WorkloadGroup(_) => ("workloads do not register themselves", "write a WorkloadEntry for each workload"),
        other if other.kind().group() == "gateway.networking.k8s.io" => {
            ("no route and no listener comes of it", "use Gateway and VirtualService of networking.istio.io")
        }
        Resource::Ingress(_) | Resource::IngressClass(_) => {
            ("no route comes of it", "use Gateway and VirtualService of networking.istio.io")
        }
        _ => return None,
    })
}

/// The messages without lines that may hold a key: of Secrets, and, in a file with Secrets, of what is not known to be something else.
pub(crate) fn without_secrets(mut diagnostics: Vec<Diagnostic>, bytes: &[u8]) -> Vec<Diagnostic> {
    const MARK: &[u8] = b"Secret";
    let secretive = !diagnostics.is_empty() && bytes.windows(MARK.len()).any(|window| window == MARK);
    for diagnostic in &mut diagnostics {
        let hide = match &diagnostic.object {
            Some((kind, _)) => *kind == Kind::Secret,
            None => secretive,
        };
        if hide {
            diagnostic.snippet = Snippet { text: HIDDEN.into(), start: 0, len: HIDDEN.len() };
        }
    }
    diagnostics
}

/// So many that nobody reads them are cut, and how many there were is said.
pub(crate) fn bound(diagnostics: &mut Vec<Diagnostic>) {
    let more = diagnostics.len().saturating_sub(MOST_MESSAGES);
    if more == 0 {
        return;
    }
    // What refuses something goes before what does not.
    diagnostics.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.severity));
    diagnostics.truncate(MOST_MESSAGES);
    if let Some(last) = diagnostics.last_mut() {
        last.message = format!("{} (and {more} more about this file)", last.message);
    }
}
