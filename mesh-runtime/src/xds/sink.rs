//! The consumer's side of the client: what to ask for, what arrives, and how to refuse it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_proto::id::Revision;

use super::Resource;

/// What a client wants of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Whatever the server has for it (`*`).
    All,
    /// These names. An empty set wants nothing.
    Names(BTreeSet<Arc<str>>),
}

impl Interest {
    /// An interest in these names.
    pub fn names<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Names(names.into_iter().map(Into::into).collect())
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }

    pub(super) fn wants_nothing(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// What both want.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, other) => other.clone(),
            (some, Self::All) => some.clone(),
            (Self::Names(one), Self::Names(other)) => Self::Names(one.intersection(other).cloned().collect()),
        }
    }

    /// What either wants.
    pub(super) fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Names(one), Self::Names(other)) => Self::Names(one.union(other).cloned().collect()),
        }
    }

    /// Whether everything that `other` wants is wanted.
    pub(super) fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Names(_), Self::All) => false,
            (Self::Names(names), Self::Names(other)) => other.is_subset(names),
        }
    }
}

/// What changed in one type, since the update before. Both protocol variants give the same updates.
#[derive(Debug, Clone)]
pub struct Update {
    /// The type.
    pub type_url: Arc<str>,
    /// The server's name of the state this belongs to; `None` when it sent none, or one that is not printable.
    pub revision: Option<Revision>,
    /// New, changed, or once more the same (servers repeat endpoints after their cluster changed). Names are unique.
    pub upserts: Vec<Resource>,
    /// Gone, or asked for by name and not there. Names that were never held occur. A disconnect removes nothing, and neither does giving up the interest.
    pub removed: Vec<Arc<str>>,
    /// Whether it is the first of its type on this connection. On the very first connection it is the complete answer; later it is what changed meanwhile.
    pub first: bool,
}

/// A resource that the consumer does not take. It keeps its last good one; the server is told and offers it anew when it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The resource.
    pub name: Arc<str>,
    /// Why: with the field path, what is expected, and how to mend it. Goes into the NACK; no secrets.
    pub reason: String,
}

/// What became of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// The stream is open and the server has answered on it.
    Connected,
    /// The stream ended. What is held stays in force; the client tries again by itself.
    Disconnected {
        /// Why, for logs and `/ready`.
        reason: String,
    },
}

/// Takes what the client receives. Called in the client's own task, one call at a time; must not block.
pub trait Sink: Send {
    /// Takes an update. Everything in it that is not in the returned rejections is accepted (ACK); any rejection makes the answer a NACK that lists them all.
    ///
    /// May change subscriptions through a `client::Handle`.
    fn apply(&mut self, update: Update) -> Vec<Rejection>;

    /// Hears of the connection's state. Optional.
    fn connection(&mut self, state: Connection) {
        let _ = state;
    }
}
