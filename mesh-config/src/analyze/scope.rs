//! From where an object is seen: the namespaces of `exportTo`.

use std::collections::BTreeSet;

use crate::resource::Visibility;

/// From every namespace.
pub(super) const EVERYWHERE: &str = "*";

/// The namespaces that see an object of namespace `own`; only [`EVERYWHERE`] if all do.
pub(super) fn scopes<'a>(export_to: &'a [Visibility], own: &'a str) -> BTreeSet<&'a str> {
    if export_to.is_empty() || export_to.contains(&Visibility::Public) {
        return BTreeSet::from([EVERYWHERE]);
    }
    let namespace = |entry: &'a Visibility| match entry {
        Visibility::Private => Some(own),
        Visibility::Namespace(namespace) => Some(namespace.as_str()),
        Visibility::Public | Visibility::Nobody => None,
    };
    export_to.iter().filter_map(namespace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_the_objects_own_namespace() {
        let named = Visibility::Namespace("b".to_owned());
        assert_eq!(scopes(&[], "a"), BTreeSet::from(["*"]));
        assert_eq!(scopes(&[named.clone(), Visibility::Public], "a"), BTreeSet::from(["*"]));
        assert_eq!(scopes(&[named, Visibility::Private], "a"), BTreeSet::from(["a", "b"]));
        assert_eq!(scopes(&[Visibility::Nobody], "a"), BTreeSet::new());
    }
}
