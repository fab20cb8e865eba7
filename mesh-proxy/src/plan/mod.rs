//! The one matcher: which chain, which route, allowed or not, which endpoint.
//!
//! Everything that decides on traffic decides here, and nowhere else: the data path, `explain` and `simulate` call the same
//! functions. Pure: time, random numbers and the facts of a connection or request are arguments; nothing waits, locks or
//! reads a clock. Every decision names the configuration that made it.

pub mod authorize;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixture;
pub mod hash_key;
pub mod path;
pub mod pick;
pub mod rewrite;
pub mod route;
pub mod select_chain;

pub use self::{
    authorize::{AuthzFacts, Judgement, PolicyMatch, Verdict, authorize, authorize_connection},
    facts::RequestFacts,
    hash_key::{HashKey, hash_key},
    path::{Fragment, Normalized, PathOptions, normalize},
    pick::{BalancerState, Nothing, Pick, PickRequest, Picked, dropped, pick},
    rewrite::{redirect_location, rewritten_authority, rewritten_path, tls_location},
    route::{Chosen, Matched, RouteDecision, route, strip_port, tcp_cluster},
    select_chain::{Criteria, Criterion, SelectedBy, Selection, select_chain},
};
