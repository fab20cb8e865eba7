//! `kinds!`: from one table, the `Kind` enum, the `Resource` enum, and the way from one to the other.

use super::{Kind, Object, Resource};

/// A kind's own fields: implemented by the `kinds!` table only.
pub trait Spec:
    crate::validate::Validate
    + serde::Serialize
    + serde::de::DeserializeOwned
    + Clone
    + std::fmt::Debug
    + PartialEq
    + Default
    + Send
    + Sync
    + 'static
{
    /// The kind.
    const KIND: Kind;

    /// The object in a resource, if it is of this kind.
    fn of(resource: &Resource) -> Option<&std::sync::Arc<Object<Self>>>;

    /// The resource of an object.
    fn wrap(object: std::sync::Arc<Object<Self>>) -> Resource;
}

/// `apiVersion`: group and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiVersion<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// Such as `v1beta1`.
    pub version: &'a str,
}

impl<'a> ApiVersion<'a> {
    /// Splits `group/version`; a text without `/` is a version of the core group.
    pub fn parse(text: &'a str) -> Self {
        let (group, version) = text.split_once('/').unwrap_or(("", text));
        Self { group, version }
    }
}

/// Group and version as `apiVersion` has them.
pub(super) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The one table of kinds.
macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident $(as $name:literal)? : $group:literal, [$preferred:literal $(, $version:literal)*], $plural:literal $(, $trait:ident)*;)*) => {
        /// A kind of resource.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("`", $plural, "`")] $kind,)*
        }

        /// A resource of any kind, cheap to clone.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Resource {
            $(#[doc = concat!("A ", stringify!($kind))] $kind(std::sync::Arc<Object<$kind>>),)*
        }

        impl Kind {
            /// Every kind, in order.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The name, as `kind:` in YAML. Two groups may use the same one: see `id`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => kind::name!($kind $($name)?),)* }
            }

            /// A name that no other kind has, as MCP's type URLs carry it.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// The API group; empty for the core group.
            pub const fn group(self) -> &'static str {
                match self { $(Self::$kind => $group,)* }
            }

            /// The versions accepted, the preferred one first.
            pub const fn versions(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$preferred $(, $version)*],)* }
            }

            /// What is special about it.
            const fn traits(self) -> &'static [Trait] {
                match self { $(Self::$kind => &[$(Trait::$trait,)*],)* }
            }

            /// How the API server presents it, with its schema, if that is known.
            pub const fn crd(self) -> Option<crate::schema::Crd> {
                match self { $(Self::$kind => <$kind as crate::validate::Validate>::CRD,)* }
            }

            /// The name of the collection in the API.
            pub const fn plural(self) -> &'static str {
                match self { $(Self::$kind => $plural,)* }
            }
        }

        impl Resource {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            /// Who it is.
            pub fn meta(&self) -> &Meta {
                match self { $(Self::$kind(object) => &object.meta,)* }
            }

            /// The semantic rules of its kind: see `validate`.
            pub fn validate(&self) -> Vec<crate::validate::Finding> {
                match self { $(Self::$kind(object) => crate::validate::object(object),)* }
            }

            /// The spec as JSON.
            pub(crate) fn spec_json(&self) -> Result<serde_json::Value, serde_json::Error> {
                match self { $(Self::$kind(object) => serde_json::to_value(&object.spec),)* }
            }

            /// A resource of `kind` whose spec is read from `deserializer`.
            pub(crate) fn read<'de, D: serde::Deserializer<'de>>(kind: Kind, meta: Meta, spec: D) -> Result<Self, D::Error> {
                match kind {
                    $(Kind::$kind => {
                        let spec = <$kind as serde::Deserialize>::deserialize(spec)?;
                        Ok(Self::$kind(std::sync::Arc::new(Object { meta, spec })))
                    })*
                }
            }
        }

        $(
            impl Spec for $kind {
                const KIND: Kind = Kind::$kind;

                fn of(resource: &Resource) -> Option<&std::sync::Arc<Object<Self>>> {
                    match resource { Resource::$kind(object) => Some(object), _ => None }
                }

                fn wrap(object: std::sync::Arc<Object<Self>>) -> Resource {
                    Resource::$kind(object)
                }
            }

            impl From<Object<$kind>> for Resource {
                fn from(object: Object<$kind>) -> Self {
                    Self::$kind(std::sync::Arc::new(object))
                }
            }
        )*
    };
}

/// A kind's name: its own, or the one given.
macro_rules! name {
    ($kind:ident) => {
        stringify!($kind)
    };
    ($kind:ident $name:literal) => {
        $name
    };
}

pub(crate) use {kinds, name};

/// What the table says of a kind beyond its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trait {
    /// It belongs to no namespace.
    Cluster,
    /// Its fields are not gathered under `spec`: they stand beside `metadata`.
    Flat,
}

impl Kind {
    /// The kind with this name in this group.
    pub fn find(group: &str, name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.group() == group && kind.as_str() == name)
    }

    /// Whether its objects live in namespaces.
    pub fn is_namespaced(self) -> bool {
        !self.traits().contains(&Trait::Cluster)
    }

    /// Whether its fields stand beside `metadata`, as a ConfigMap's do, and not under `spec`.
    pub(crate) fn is_flat(self) -> bool {
        self.traits().contains(&Trait::Flat)
    }

    /// The preferred `apiVersion`.
    pub fn api_version(self) -> String {
        api_version(self.group(), self.versions().first().copied().unwrap_or("v1"))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
