//! Authentication of end users: what the control plane may be made to fetch.

use k8s_openapi::api::core::v1::EnvVar;

use super::{Analyzer, code, context::Context};
use crate::resource::{Deployment, Kind, RequestAuthentication};

/// A control plane that fetches keys from anywhere.
pub(super) static BLOCKED_CIDRS: Analyzer = Analyzer {
    name: "authn.BlockedCIDRsAnalyzer",
    about: "Checks that istiod is kept from fetching keys from addresses that RequestAuthentications should not name",
    codes: &[&code::JWKS_URI_FETCH_UNRESTRICTED],
    reads: &[Kind::RequestAuthentication, Kind::Deployment],
    run: blocked_cidrs,
};

/// The variable that lists the addresses.
const BLOCKED: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

/// How many names a message shows.
const SHOWN: usize = 5;

fn blocked_cidrs(cx: &mut Context<'_>) {
    let names: Vec<String> = cx.all::<RequestAuthentication>().map(|policy| policy.key().to_string()).collect();
    if names.is_empty() {
        return;
    }
    let shown = names.get(..SHOWN).unwrap_or(&names).join(", ");
    let shown = if names.len() > SHOWN { format!("{shown}, and {} more", names.len() - SHOWN) } else { shown };
    // Only Istio's: ours blocks them unless told otherwise.
    for deployment in cx.all::<Deployment>().filter(|deployment| deployment.meta().labels.get("app").is_some_and(|app| app == "istiod")) {
        let containers = deployment.spec().pod_template().and_then(|template| template.spec.as_ref()).map(|pod| pod.containers.as_slice());
        let is_set = |variable: &EnvVar| variable.name == BLOCKED && variable.value.as_deref().is_some_and(|value| !value.is_empty());
        if !containers.unwrap_or_default().iter().filter_map(|container| container.env.as_ref()).flatten().any(is_set) {
            cx.report(&code::JWKS_URI_FETCH_UNRESTRICTED, deployment, "spec.template.spec.containers[0].env", &[&names.len(), &shown]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;

    const POLICY: &str = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: shop}
spec: {jwtRules: [{issuer: 'https://example.com', jwksUri: 'https://example.com/jwks'}]}
";

    fn istiod(env: &str) -> String {
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: istiod, namespace: istio-system, labels: {{app: istiod}}}}
spec:
  selector: {{matchLabels: {{app: istiod}}}}
  template:
    metadata: {{labels: {{app: istiod}}}}
    spec:
      containers:
      - name: discovery
        image: pilot
        env: {env}
"
        )
    }

    #[test]
    fn keys_from_anywhere_are_told() {
        let expected = ["IST0175 Deployment istio-system/istiod:12 spec.template.spec.containers[0].env"];
        check("authn.BlockedCIDRsAnalyzer", &[POLICY, &istiod("[{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: ''}]")], &expected);
    }

    #[test]
    fn without_policies_or_with_a_list_all_is_well() {
        check("authn.BlockedCIDRsAnalyzer", &[POLICY, &istiod("[{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 10.0.0.0/8}]")], &[]);
        check("authn.BlockedCIDRsAnalyzer", &[&istiod("[]")], &[]);
    }
}
