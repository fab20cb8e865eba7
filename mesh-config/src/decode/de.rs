//! serde's deserializer over a `View`, strict as Kubernetes' API server is: no text for numbers, no numbers for text;
//! `null` where a field may be left out means that it was left out.

use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{
    error::{Error, list},
    key::Key,
    path::Path,
    view::{Entry, Shape, View},
};

/// One value and the way to it.
#[derive(Clone, Copy)]
pub(super) struct Deserializer<'a, 'p> {
    view: View<'a>,
    path: &'p Path<'p>,
    /// Fields of this mapping that somebody else reads.
    without: &'static [&'static str],
    /// A value of a map (labels, a ConfigMap's data): `null` is the empty text there, as Kubernetes reads it.
    in_map: bool,
}

impl<'a, 'p> Deserializer<'a, 'p> {
    pub(super) fn new(view: View<'a>, path: &'p Path<'p>) -> Self {
        Self { view, path, without: &[], in_map: false }
    }

    /// The same, but for these fields.
    pub(super) fn without(self, fields: &'static [&'static str]) -> Self {
        Self { without: fields, ..self }
    }

    /// Gives an error of this value, or of a visitor that looked at it, its place.
    fn place<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.at(self.path, self.view.span()))
    }

    fn wrong<T>(self, expected: &str) -> Result<T, Error> {
        self.place(Err(Error::expected(self.view, expected)))
    }

    fn integer<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Int(value) => self.place(visitor.visit_i64(value)),
            Shape::Uint(value) => self.place(visitor.visit_u64(value)),
            // 80.0 is 80, as in JSON. Beyond 2^53 a float does not say which integer is meant.
            #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
            Shape::Float(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
                self.place(visitor.visit_i64(value as i64))
            }
            _ => self.wrong("a number"),
        }
    }

    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Text(text) => self.place(visitor.visit_borrowed_str(text)),
            Shape::Null if self.in_map => self.place(visitor.visit_borrowed_str("")),
            _ => self.wrong(&(&visitor as &dyn serde::de::Expected).to_string()),
        }
    }

    fn mapping<V: Visitor<'a>>(self, visitor: V, mut entries: Vec<Entry<'a>>, is_struct: bool) -> Result<V::Value, Error> {
        entries.retain(|entry| !(self.without.contains(&entry.key) || is_struct && entry.value.is_null()));
        self.place(visitor.visit_map(Map { entries: entries.into_iter(), current: None, path: self.path, is_struct }))
    }

    fn list<V: Visitor<'a>>(self, visitor: V, items: Vec<View<'a>>) -> Result<V::Value, Error> {
        self.place(visitor.visit_seq(Sequence { items: items.into_iter(), next: 0, path: self.path }))
    }
}

macro_rules! forward {
    ($target:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> { self.$target(visitor) })*
    };
}

impl<'a> serde::Deserializer<'a> for Deserializer<'a, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Null => self.place(visitor.visit_unit()),
            Shape::Bool(value) => self.place(visitor.visit_bool(value)),
            Shape::Int(_) | Shape::Uint(_) => self.integer(visitor),
            Shape::Float(value) => self.place(visitor.visit_f64(value)),
            Shape::Text(_) => self.text(visitor),
            Shape::List(items) => self.list(visitor, items),
            Shape::Map(entries) => self.mapping(visitor, entries, false),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Bool(value) => self.place(visitor.visit_bool(value)),
            _ => self.wrong("a boolean: true or false"),
        }
    }

    forward! { integer:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    forward! { text: deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Int(_) | Shape::Uint(_) => self.integer(visitor),
            Shape::Float(value) if value.is_finite() => self.place(visitor.visit_f64(value)),
            _ => self.wrong("a number"),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.view.is_null() { self.place(visitor.visit_none()) } else { self.place(visitor.visit_some(self)) }
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.view.is_null() { self.place(visitor.visit_unit()) } else { self.wrong("null") }
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::List(items) => self.list(visitor, items),
            _ => self.wrong("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Map(entries) => self.mapping(visitor, entries, false),
            _ => self.wrong("a mapping"),
        }
    }

    /// A key that the struct does not list is refused here, for types whose own visitor would pass over it.
    fn deserialize_struct<V: Visitor<'a>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.view.shape() {
            Shape::Map(entries) => {
                if let Some(entry) = entries.iter().find(|entry| !fields.contains(&entry.key) && !self.without.contains(&entry.key)) {
                    return Err(Error::unknown_name("field", entry.key, fields).at(&self.path.field(entry.key), entry.key_span));
                }
                self.mapping(visitor, entries, true)
            }
            _ => self.wrong("a mapping"),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(self, _: &'static str, variants: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        // A choice of fields (`exact`, `prefix`, …) has lower-case names; a choice of values mostly has upper-case ones.
        let of_fields = variants.first().is_some_and(|name| name.starts_with(char::is_lowercase));
        match self.view.shape() {
            Shape::Text(text) if !of_fields || variants.contains(&text) => self.place(visitor.visit_enum(text.into_deserializer())),
            Shape::Map(mut entries) if of_fields => {
                entries.retain(|entry| !entry.value.is_null());
                match entries.as_slice() {
                    [entry] => self.place(visitor.visit_enum(Choice { entry: *entry, path: self.path })),
                    chosen => {
                        let message = format!("exactly one must be set, found {}", chosen.len());
                        let error = Error::new(message).suggest(format!("keep {}", list(variants)));
                        self.place(Err(error))
                    }
                }
            }
            _ if of_fields => self.wrong(&format!("a mapping with {}", list(variants))),
            _ => self.wrong(&list(variants)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
    <V: Visitor<'a>>
    i128 u128 bytes byte_buf unit_struct tuple tuple_struct }
}

/// The pairs of a mapping.
struct Map<'a, 'p> {
    entries: std::vec::IntoIter<Entry<'a>>,
    current: Option<Entry<'a>>,
    path: &'p Path<'p>,
    is_struct: bool,
}

impl<'a> MapAccess<'a> for Map<'a, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.current = Some(entry);
        let path = self.path.field(entry.key);
        Key { text: entry.key, span: entry.key_span, path: &path }.read(seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self.current.take().ok_or_else(|| Error::new("a value was asked for before its key"))?;
        let path = self.path.field(entry.key);
        let value = Deserializer { in_map: !self.is_struct, ..Deserializer::new(entry.value, &path) };
        value.place(seed.deserialize(value))
    }
}

/// The items of a list.
struct Sequence<'a, 'p> {
    items: std::vec::IntoIter<View<'a>>,
    next: usize,
    path: &'p Path<'p>,
}

impl<'a> SeqAccess<'a> for Sequence<'a, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let path = self.path.index(self.next);
        self.next += 1;
        let item = Deserializer::new(item, &path);
        item.place(seed.deserialize(item)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The one pair of a mapping that stands for a choice of fields.
struct Choice<'a, 'p> {
    entry: Entry<'a>,
    path: &'p Path<'p>,
}

impl<'a> EnumAccess<'a> for Choice<'a, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let path = self.path.field(self.entry.key);
        let variant = Key { text: self.entry.key, span: self.entry.key_span, path: &path }.read(seed)?;
        Ok((variant, self))
    }
}

impl<'a> VariantAccess<'a> for Choice<'a, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::expected(self.entry.value, "nothing").at(&self.path.field(self.entry.key), self.entry.value.span()))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Error> {
        let path = self.path.field(self.entry.key);
        let value = Deserializer::new(self.entry.value, &path);
        value.place(seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        let path = self.path.field(self.entry.key);
        serde::Deserializer::deserialize_seq(Deserializer::new(self.entry.value, &path), visitor)
    }

    fn struct_variant<V: Visitor<'a>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let path = self.path.field(self.entry.key);
        serde::Deserializer::deserialize_struct(Deserializer::new(self.entry.value, &path), "", fields, visitor)
    }
}
