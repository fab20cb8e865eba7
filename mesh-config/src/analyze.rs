//! What objects mean together, and where that is probably not what is meant: Istio's analyzers and ours. Pure: files in, messages out.
//!
//! [`Set`] is what is analysed, [`run`] does it, [`Places`] finds the lines of what it says.
//!
//! # How to write an analyzer
//!
//! `service.rs` has a short, finished one. An analyzer is a value of type [`Analyzer`] in the file of its family, and a line in [`ALL`]:
//!
//! 1. Its `name` is Istio's (`family.NameAnalyzer`), or begins with `mesh.` if it is ours; `codes` is what it may report, `reads` what it looks at.
//! 2. `run` walks over `cx.all::<Service>()` and says `cx.report(&code::X, service, format_args!("spec.ports[{i}]"), &[&port.name])`, with the
//!    arguments in the order of the code's template; a list is `&code::List(&names)`. Iterators do not borrow `cx`, so reporting inside is fine.
//! 3. It looks things up with `cx.find::<Gateway>(namespace, name)`, `cx.selected::<Pod>(namespace, &labels)`, `cx.hosts().find(..)`,
//!    `cx.namespace_labels(..)`, `cx.mesh_config()`: those are indexed. A loop over all objects inside a loop over all objects is not, and ten thousand
//!    of them are analysed in less than a second: group by key first.
//! 4. It does not care about suppressions, namespaces to show, order or repetition: [`run`] does.
//! 5. Its tests call `check("family.NameAnalyzer", &[yaml], &["IST0101 Kind ns/name:line field.path"])`: one that shows the message, one that shows silence.

mod annotations;
mod auth;
mod authn;
mod check;
mod clusters;
pub mod code;
mod conditions;
mod context;
mod defaults;
mod deployment;
mod deprecation;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod hosts;
mod index;
mod injection;
mod k8s_gateway;
mod label_selector;
mod mend;
mod mesh;
mod message;
mod options;
mod ours;
mod place;
mod precheck;
mod scope;
mod selector;
mod service;
mod service_entry;
mod set;
mod sidecar;
mod telemetry;
mod virtual_service;
mod virtual_service_rules;
mod webhook;

pub use code::{Code, Level};
pub use context::{Any, Context, Item};
pub use hosts::{Host, Hosts};
pub use message::{Message, Origin, Place, Subject};
pub use options::{IGNORED_NAMESPACES, InvalidSuppression, Options, SUPPRESS, Suppression};
pub use place::Places;
pub use precheck::{Cluster, Listening};
pub use set::{Id, Set};

use crate::resource::Kind;
use context::World;
use index::Index;

/// One look at the set.
#[derive(Debug)]
pub struct Analyzer {
    /// `virtualservice.GatewayAnalyzer`.
    pub name: &'static str,
    /// What it checks, in one line.
    pub about: &'static str,
    /// What it may report.
    pub codes: &'static [&'static Code],
    /// The kinds that it looks at.
    pub reads: &'static [Kind],
    /// Looks, and reports.
    pub run: fn(&mut Context<'_>),
}

/// Every analyzer, by name.
pub static ALL: &[&Analyzer] = &[
    &service::PORT_NAME,
    &auth::AUTHORIZATION_POLICIES,
    &authn::BLOCKED_CIDRS,
    &deprecation::DEPRECATION,
    &destination_rule::CA_CERTIFICATE,
    &destination_rule::SUBSET_SELECT_POD,
    &envoy_filter::ENVOY_PATCH,
    &gateway::CERTIFICATE,
    &gateway::CONFLICTING,
    &gateway::INGRESS_PORT,
    &gateway::SECRET,
    &service_entry::ADDRESSES,
    &service_entry::CONFLICTING_PROTOCOL,
    &sidecar::SELECTOR,
    &telemetry::DEFAULT_SELECTOR,
    &telemetry::LIGHTSTEP,
    &telemetry::PROVIDER,
    &telemetry::SELECTOR,
    &virtual_service::CONFLICTING_MESH_GATEWAY_HOSTS,
    &virtual_service::DESTINATION_HOST,
    &virtual_service::DESTINATION_RULE,
    &virtual_service::GATEWAY,
    &virtual_service::JWT_CLAIM_ROUTE,
    &virtual_service_rules::UNREACHABLE,
    &annotations::KUBERNETES,
    &clusters::MESH_NETWORKS,
    &clusters::SERVICES,
    &conditions::CONDITIONS,
    &deployment::APPLICATION_UID,
    &deployment::MULTI_SERVICE,
    &injection::IMAGE,
    &injection::IMAGE_AUTO,
    &injection::INJECTION_LABELS,
    &k8s_gateway::CRD_VERSION,
    &k8s_gateway::SELECTOR,
    &webhook::EXTERNAL_CONTROL_PLANE,
    &webhook::WEBHOOK,
    // Ours.
    &ours::delegate::DELEGATE,
    &ours::enforced::NOT_ENFORCED,
    &ours::lockout::GATEWAY_LOCKOUT,
    &ours::mtls::STRICT,
    &ours::overlap::SERVICE_ENTRY,
    &ours::principal::REQUEST_PRINCIPAL,
    &ours::reach::ROUTE_REACH,
    &ours::retry::RETRIES,
    &ours::server_first::SERVER_FIRST,
    &ours::subset::ENDPOINTS,
    &ours::typed::TYPED_REPLACEMENT,
];

/// Analyzers that say too much to be run unless they are named.
pub static ON_REQUEST: &[&Analyzer] = &[&annotations::ALPHA, &precheck::PRECHECK];

/// What the analyzer of a kind's schema and rules is called: it reports what reading found.
pub const SCHEMA: &str = "schema.ValidationAnalyzer";

/// Analyses a set: the worst messages first, each once.
pub fn run(set: &Set, options: &Options) -> Vec<Message> {
    let world = World { set, options, index: Index::default() };
    let mut messages: Vec<Message> = set.findings.iter().filter(|message| runs_schema(options, message)).cloned().collect();
    let on_request = ON_REQUEST.iter().filter(|_| !options.analyzers.is_empty());
    for analyzer in ALL.iter().chain(on_request).filter(|analyzer| options.runs(analyzer.name) && !skips(set, options, analyzer)) {
        let mut context = Context::new(&world, analyzer.name);
        (analyzer.run)(&mut context);
        messages.extend(context.into_messages());
    }
    messages.retain(|message| {
        let id = message.subject.as_ref().and_then(|subject| set.find(subject.kind, &subject.key));
        let entry = id.and_then(|id| set.entry(id));
        options.keeps(message, entry.map(|entry| entry.resource.meta()))
            && !entry.is_some_and(|entry| entry.assumed || options.files_only && entry.mended && message.analyzer != SCHEMA)
    });
    messages.sort_by(Message::order);
    messages.dedup_by(|one, other| one.repeats(other));
    messages
}

/// Whether an analyzer is not run because all that it looks for may be elsewhere.
pub fn skips(set: &Set, options: &Options, analyzer: &Analyzer) -> bool {
    let pods = || set.entries(Kind::Pod).iter().any(|entry| !entry.assumed);
    options.files_only && analyzer.reads.contains(&Kind::Pod) && !pods()
}

/// The names of the analyzers that a kind's schema and rules run as: `schema.ValidationAnalyzer.<Kind>`.
pub fn schema_analyzers() -> impl Iterator<Item = String> {
    Kind::ALL.iter().map(|kind| format!("{SCHEMA}.{}", kind.id()))
}

fn runs_schema(options: &Options, message: &Message) -> bool {
    options.analyzers.is_empty() || message.subject.as_ref().is_some_and(|subject| options.runs(&format!("{SCHEMA}.{}", subject.kind.id())))
}

#[cfg(test)]
mod tests;
