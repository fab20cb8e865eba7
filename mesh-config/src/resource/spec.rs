//! How a configuration struct is declared: `spec!` gives every message the same JSON rules, so that no field can
//! forget one.
//!
//! The rules are protobuf JSON as Kubernetes' API server applies it to Istio's CRDs: camelCase names, unknown fields
//! refused, an absent field is its default and a default is not written. A field marked `required` must be there.

/// Declares structs: derives, serde names, defaults; `required` before a field makes its absence an error.
macro_rules! spec {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($body:tt)* })*) => {
        $($crate::resource::spec::spec_fields! { [$(#[$meta])*] $vis $name {} $($body)* })*
    };
}

/// One struct: moves its fields, one a step, from the input to the output with the attributes they need.
macro_rules! spec_fields {
    ([$($head:tt)*] $vis:vis $name:ident { $($done:tt)* }) => {
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        $($head)*
        $vis struct $name { $($done)* }
    };
    ([$($head:tt)*] $vis:vis $name:ident { $($done:tt)* } $(#[$m:meta])* required $field:ident : $ty:ty, $($rest:tt)*) => {
        $crate::resource::spec::spec_fields! { [$($head)*] $vis $name { $($done)* $(#[$m])* $vis $field: $ty, } $($rest)* }
    };
    ([$($head:tt)*] $vis:vis $name:ident { $($done:tt)* } $(#[$m:meta])* $field:ident : $ty:ty, $($rest:tt)*) => {
        $crate::resource::spec::spec_fields! { [$($head)*] $vis $name {
            $($done)*
            $(#[$m])*
            #[serde(default, skip_serializing_if = "crate::resource::spec::unset")]
            $vis $field: $ty,
        } $($rest)* }
    };
}

/// Declares an enum whose JSON values are names: `SCREAMING_CASE` in Istio, as given where Kubernetes differs.
macro_rules! names {
    ($($(#[$meta:meta])* pub enum $name:ident { $($(#[$vm:meta])* $variant:ident = $text:literal,)* })*) => {
        $(
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
            $(#[$meta])*
            pub enum $name { $($(#[$vm])* #[serde(rename = $text)] $variant,)* }

            impl $name {
                /// The name as it is written in YAML.
                pub const fn as_str(self) -> &'static str {
                    match self { $(Self::$variant => $text,)* }
                }
            }

            impl schemars::JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!({ "type": "string", "enum": [$($text,)*] })
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(self.as_str())
                }
            }
        )*
    };
}

/// Gives a type the JSON schema of the type that its JSON form is read through.
macro_rules! schema_of {
    ($($name:ty => $form:ty;)*) => {
        $(
            impl schemars::JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    <$form as schemars::JsonSchema>::json_schema(generator)
                }
            }
        )*
    };
}

pub(crate) use {names, schema_of, spec, spec_fields};

/// True for a value that protobuf JSON leaves out.
pub(crate) fn unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
