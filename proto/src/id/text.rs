//! What all textual identifiers share, so that each file holds only its own rule.

/// Gives a newtype over `Arc<str>` its conversions. The type brings `fn check(&str) -> Result<Cow<str>, Reason>` and `WHAT`.
macro_rules! text_id {
    ($type:ident) => {
        impl $type {
            /// The identifier's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::id::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match Self::check(text) {
                    Ok(text) => Ok(Self(text.into())),
                    Err(reason) => Err($crate::id::InvalidId::new(Self::WHAT, text, reason)),
                }
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        $crate::id::text::text_formats!($type);
    };
}

/// Display, Debug, `TryFrom` and serde, as a plain string, for anything with `as_str` and `FromStr`.
macro_rules! text_formats {
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.as_str())
            }
        }

        impl TryFrom<&str> for $type {
            type Error = $crate::id::InvalidId;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::id::InvalidId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use {text_formats, text_id};

use super::Reason;

/// Length and alphabet, the two rules that every identifier has.
pub(super) fn check_text(text: &str, limit: usize, allowed: &'static str, accepts: impl Fn(char) -> bool) -> Result<(), Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if text.len() > limit {
        return Err(Reason::TooLong { length: text.len(), limit });
    }
    match text.char_indices().find(|(_, c)| !accepts(*c)) {
        Some((at, found)) => Err(Reason::Character { found, at, allowed }),
        None => Ok(()),
    }
}
