//! What every conversion carries along: where it is in the resource, which fields it passed over, and what names it met.
//!
//! A conversion either succeeds, or fails with the path of the field that was at fault; nothing is dropped in silence.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use super::{
    secret::{Registry, SecretSource},
    slots::Slots,
};
use crate::{
    secret::SecretRef,
    snapshot::{ClusterSlot, Direction, RouteSlot},
};

/// At most so many ignored fields are remembered of one resource.
const MAX_IGNORED: usize = 256;

/// Why a resource is not taken: which field, what is wrong, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", prefix(path))]
pub struct Refusal {
    /// Path of the field, from the resource down; empty: the resource itself.
    pub path: String,
    /// What is wrong, and how to mend it.
    pub reason: String,
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// The outcome of a conversion.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// What a conversion found besides its result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Paths of fields that were accepted and have no effect.
    pub(crate) ignored: Vec<String>,
    /// What was accepted and fails when it is used: answers 500, or closes the connection.
    pub(crate) refusing: Vec<String>,
    /// RDS tables it refers to.
    pub(crate) routes: BTreeSet<Arc<str>>,
    /// SDS secrets it refers to.
    pub(crate) secrets: BTreeMap<Arc<str>, SecretSource>,
    /// Clusters it refers to.
    pub(crate) clusters: BTreeSet<Arc<str>>,
}

/// See the module's documentation.
pub(crate) struct Context<'a> {
    path: String,
    /// Direction of the listener that is being converted.
    pub(crate) direction: Direction,
    slots: &'a mut Slots,
    secrets: &'a mut Registry,
    found: Found,
}

impl<'a> Context<'a> {
    pub(crate) fn new(slots: &'a mut Slots, secrets: &'a mut Registry) -> Self {
        Self { path: String::new(), direction: Direction::Unspecified, slots, secrets, found: Found::default() }
    }

    /// What was found on the way.
    pub(crate) fn finish(self) -> Found {
        self.found
    }

    /// Runs `convert` inside the field `name`.
    pub(crate) fn field<T>(&mut self, name: &str, convert: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.push(name);
        let result = convert(self);
        self.path.truncate(length);
        result
    }

    /// Runs `convert` for each member of the repeated field `name`; the first refusal ends it.
    pub(crate) fn each<I, T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = I>,
        mut convert: impl FnMut(&mut Self, I) -> Result<T>,
    ) -> Result<Vec<T>> {
        let length = self.path.len();
        let mut results = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            self.push(name);
            let _ = write!(self.path, "[{index}]");
            let result = convert(self, item);
            self.path.truncate(length);
            results.push(result?);
        }
        Ok(results)
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    /// A refusal of the current field.
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Refusal {
        Refusal { path: self.path.clone(), reason: reason.into() }
    }

    /// A refusal of a field below the current one.
    pub(crate) fn refuse_field(&self, name: &str, reason: impl Into<String>) -> Refusal {
        Refusal { path: self.path_of(name), reason: reason.into() }
    }

    /// Remembers that the field `name` was accepted without effect.
    pub(crate) fn ignore(&mut self, name: &str) {
        if self.found.ignored.len() < MAX_IGNORED {
            let path = self.path_of(name);
            self.found.ignored.push(path);
        }
    }

    /// Remembers that what is here fails whenever it is used.
    pub(crate) fn answers_500(&mut self, reason: &str) {
        if self.found.refusing.len() < MAX_IGNORED {
            let line = format!("{}{reason}", prefix(&self.path));
            self.found.refusing.push(line);
        }
    }

    fn path_of(&self, name: &str) -> String {
        let name = name.strip_prefix("r#").unwrap_or(name);
        match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{name}", self.path),
        }
    }

    /// The slot of the cluster of that name, whether it is there yet or not.
    pub(crate) fn cluster(&mut self, name: &str) -> Result<ClusterSlot> {
        if name.is_empty() {
            return Err(self.refuse("a cluster must be named"));
        }
        let (name, slot) = self.slots.cluster(name);
        self.found.clusters.insert(name);
        Ok(slot)
    }

    /// The slot of the RDS table of that name.
    pub(crate) fn route_table(&mut self, name: &str) -> RouteSlot {
        let (name, slot) = self.slots.route_table(name);
        self.found.routes.insert(name);
        slot
    }

    /// The place of an SDS secret.
    pub(crate) fn secret(&mut self, name: &str, source: SecretSource) -> SecretRef {
        let secret = self.secrets.named(name);
        self.found.secrets.insert(secret.name().clone(), source);
        secret
    }

    /// The registry, for inline and file secrets.
    pub(crate) fn secrets(&mut self) -> &mut Registry {
        self.secrets
    }
}

/// Whether a wire field was set to something other than its default.
pub(crate) trait IsSet {
    fn is_set(&self) -> bool;
}

impl<T> IsSet for Option<T> {
    fn is_set(&self) -> bool {
        self.is_some()
    }
}

impl<T> IsSet for Vec<T> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl<K, V> IsSet for HashMap<K, V> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl IsSet for String {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl IsSet for bool {
    fn is_set(&self) -> bool {
        *self
    }
}

macro_rules! numbers_are_set {
    ($($number:ty),*) => {
        $(impl IsSet for $number {
            fn is_set(&self) -> bool {
                *self != 0
            }
        })*
    };
}

numbers_are_set!(i32, i64, u32, u64);

impl<T: IsSet> IsSet for &T {
    fn is_set(&self) -> bool {
        (**self).is_set()
    }
}

/// Accepts the fields without effect, and remembers those that are set.
macro_rules! ignored {
    ($cx:expr; $($field:ident),* $(,)?) => {{
        $(if $crate::xds::IsSet::is_set(&$field) {
            $cx.ignore(stringify!($field));
        })*
    }};
}

/// Refuses the resource if one of the fields is set.
macro_rules! refused {
    ($cx:expr; $reason:literal; $($field:ident),* $(,)?) => {{
        $(if $crate::xds::IsSet::is_set(&$field) {
            return Err($cx.refuse_field(stringify!($field), concat!("is not implemented: ", $reason)));
        })*
    }};
}

pub(crate) use {ignored, refused};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_read_like_the_resource() {
        let (mut slots, mut secrets) = (Slots::default(), Registry::default());
        let mut cx = Context::new(&mut slots, &mut secrets);
        let refusal = cx
            .each("filter_chains", [1, 2], |cx, item| {
                cx.field("tls", |cx| {
                    cx.ignore("r#match");
                    if item == 2 { Err(cx.refuse_field("sni", "is wrong")) } else { Ok(()) }
                })
            })
            .unwrap_err();
        assert_eq!(refusal.to_string(), "filter_chains[1].tls.sni: is wrong");
        assert_eq!(cx.finish().ignored, ["filter_chains[0].tls.match", "filter_chains[1].tls.match"]);
    }
}
