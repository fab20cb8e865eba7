//! Keys of mappings: field names, or map keys, which may be numbers written as text.

use mesh_proto::yaml::Span;
use serde::de::{DeserializeSeed, Visitor};

use super::{error::Error, path::Path};

/// A key, and the path of what it names.
pub(super) struct Key<'a, 'p> {
    pub(super) text: &'a str,
    pub(super) span: Option<Span>,
    pub(super) path: &'p Path<'p>,
}

impl<'a> Key<'a, '_> {
    pub(super) fn read<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Error> {
        let (path, span) = (*self.path, self.span);
        seed.deserialize(self).map_err(|error| error.at(&path, span))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty,)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.text.parse::<$ty>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Error::new(format!("type conversion error from `{}` to a number", self.text))),
            }
        })*
    };
}

impl<'a> serde::Deserializer<'a> for Key<'a, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.text)
    }

    // As wide as possible, so that what is out of range says so.
    numbers! {
        deserialize_u8 visit_i64 i64,
        deserialize_u16 visit_i64 i64,
        deserialize_u32 visit_i64 i64,
        deserialize_u64 visit_u64 u64,
        deserialize_i32 visit_i64 i64,
        deserialize_i64 visit_i64 i64,
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct
        map struct enum identifier ignored_any
    }
}
