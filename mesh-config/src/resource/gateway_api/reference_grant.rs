//! `ReferenceGrant`: which objects of other namespaces may refer to objects of this one.

use super::form;
use crate::resource::spec::spec;

spec! {
    /// Any of `from` may refer to any of `to`.
    pub struct ReferenceGrant {
        #[schemars(length(min = 1, max = 16))]
        required from: Vec<GrantFrom>,
        #[schemars(length(min = 1, max = 16))]
        required to: Vec<GrantTo>,
    }

    /// Who refers.
    pub struct GrantFrom {
        #[schemars(with = "form::Group")]
        required group: String,
        #[schemars(with = "form::KindName")]
        required kind: String,
        #[schemars(with = "form::Namespace")]
        required namespace: String,
    }

    /// What is referred to, in the grant's own namespace.
    pub struct GrantTo {
        #[schemars(with = "form::Group")]
        required group: String,
        #[schemars(with = "form::KindName")]
        required kind: String,
        /// Absent: every object of the kind.
        #[schemars(with = "form::ObjectName")]
        name: Option<String>,
    }
}

impl ReferenceGrant {
    /// Whether an object of `group` and `kind` in `namespace` may refer to the object of `to` that is named `name`, in
    /// the grant's namespace.
    pub fn allows(&self, (group, kind, namespace): (&str, &str, &str), (to_group, to_kind, name): (&str, &str, &str)) -> bool {
        self.from.iter().any(|from| from.group == group && from.kind == kind && from.namespace == namespace)
            && self.to.iter().any(|to| to.group == to_group && to.kind == to_kind && to.name.as_deref().is_none_or(|own| own == name))
    }
}
