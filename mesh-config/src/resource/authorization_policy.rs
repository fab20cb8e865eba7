//! `AuthorizationPolicy` (`security.istio.io`): who may call what.
//!
//! A list that is present and empty (`principals: []`) is refused while decoding: read as absent it would match
//! everyone, which is the opposite of what its writer meant.

mod validate;

use super::{
    selector::{LabelSelector, TargetRef},
    spec::{names, spec},
};
use crate::schema::{cel, oneof, optional};

spec! {
    /// Rules for the selected workloads. ALLOW without rules allows nothing; an empty rule (`{}`) matches everything.
    #[schemars(transform = oneof(&["provider"]))]
    #[schemars(transform = cel("(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1", "only one of targetRefs or selector can be set").remedy("keep one of them"))]
    pub struct AuthorizationPolicy {
        selector: Option<LabelSelector>,
        /// Deprecated in favour of `target_refs`.
        target_ref: Option<TargetRef>,
        #[schemars(length(max = 16))]
        target_refs: Vec<TargetRef>,
        action: Action,
        /// Who decides, for action CUSTOM only.
        provider: Option<ExtensionProvider>,
        #[schemars(length(max = 512))]
        rules: Vec<Rule>,
    }

    /// An external authorizer by the name that MeshConfig gives it.
    pub struct ExtensionProvider {
        name: String,
    }

    /// Matches a request that one of `from`, one of `to` and all of `when` match; an absent part matches always.
    pub struct Rule {
        #[serde(deserialize_with = "non_empty")]
        #[schemars(length(max = 512))]
        from: Vec<From>,
        #[serde(deserialize_with = "non_empty")]
        to: Vec<To>,
        #[serde(deserialize_with = "non_empty")]
        when: Vec<Condition>,
    }

    /// One alternative of `from`.
    #[schemars(transform = optional("source"))]
    pub struct From {
        required source: Source,
    }

    /// One alternative of `to`.
    #[schemars(transform = optional("operation"))]
    pub struct To {
        required operation: Operation,
    }

    /// Who calls: every list that is given must match; in a list one entry must. Entries take `*` at one end.
    #[schemars(transform = cel("(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) && !has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true", "Cannot set serviceAccounts with namespaces or principals").remedy("keep serviceAccounts, or put the others into a source of their own"))]
    pub struct Source {
        #[serde(deserialize_with = "non_empty")]
        principals: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_principals: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        request_principals: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_request_principals: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        namespaces: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_namespaces: Vec<String>,
        /// `account` or `namespace/account`; excludes principals and namespaces.
        #[serde(deserialize_with = "non_empty")]
        #[schemars(length(max = 16))]
        #[schemars(inner(length(max = 320)))]
        service_accounts: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        #[schemars(length(max = 16))]
        #[schemars(inner(length(max = 320)))]
        not_service_accounts: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        trust_domains: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_trust_domains: Vec<String>,
        /// Addresses or CIDR blocks of the connection's peer.
        #[serde(deserialize_with = "non_empty")]
        ip_blocks: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_ip_blocks: Vec<String>,
        /// Addresses or CIDR blocks of the original client (X-Forwarded-For or PROXY protocol).
        #[serde(deserialize_with = "non_empty")]
        remote_ip_blocks: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_remote_ip_blocks: Vec<String>,
    }

    /// What is called: every list that is given must match; in a list one entry must.
    pub struct Operation {
        #[serde(deserialize_with = "non_empty")]
        hosts: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_hosts: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        ports: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_ports: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        methods: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_methods: Vec<String>,
        /// `*` at one end, or the templates `{*}` (a segment) and `{**}` (the rest).
        #[serde(deserialize_with = "non_empty")]
        paths: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_paths: Vec<String>,
    }

    /// A condition on an attribute; at least one of the two lists.
    pub struct Condition {
        /// `request.headers[name]`, `source.ip`, `destination.port`, `connection.sni`, …
        required key: String,
        #[serde(deserialize_with = "non_empty")]
        values: Vec<String>,
        #[serde(deserialize_with = "non_empty")]
        not_values: Vec<String>,
    }
}

names! {
    /// What a match means. CUSTOM is judged first, then DENY, then ALLOW; AUDIT only marks.
    pub enum Action {
        #[default]
        Allow = "ALLOW",
        Deny = "DENY",
        Audit = "AUDIT",
        Custom = "CUSTOM",
    }
}

/// A list that, where it is written, has an entry.
pub(crate) fn non_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    let list = <Vec<T> as serde::Deserialize>::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(serde::de::Error::custom("must not be empty if set: add an entry, or leave the field out to match anything"));
    }
    Ok(list)
}
