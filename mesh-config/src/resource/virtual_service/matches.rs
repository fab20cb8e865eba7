//! What an HTTP route matches.

use std::collections::BTreeMap;

use crate::resource::{
    selector::Labels,
    spec::spec,
    string_match::{HeaderMatch, StringMatch},
};

spec! {
    /// All parts that are given must match.
    pub struct HttpMatch {
        name: String,
        uri: Option<StringMatch>,
        scheme: Option<StringMatch>,
        method: Option<StringMatch>,
        /// The Host or :authority header.
        authority: Option<StringMatch>,
        /// Lower-case names; `uri`, `scheme`, `method`, `authority` are ignored here.
        headers: BTreeMap<String, HeaderMatch>,
        /// None of these may match.
        without_headers: BTreeMap<String, HeaderMatch>,
        query_params: BTreeMap<String, HeaderMatch>,
        /// The port that was called.
        port: Option<u16>,
        /// The caller's labels.
        source_labels: Labels,
        source_namespace: String,
        /// Overrides the VirtualService's list.
        gateways: Vec<String>,
        /// Compare `uri` without case; for exact and prefix.
        ignore_uri_case: bool,
        stat_prefix: String,
    }
}
