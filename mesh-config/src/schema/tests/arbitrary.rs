//! Objects made from a schema: any field may be there, values are within their bounds, so that most of them are taken.

use serde_json::{Map, Value, json};

use crate::{
    resource::Kind,
    schema::tree::{self, Node, Type},
};

/// A source of choices that a number determines (SplitMix64).
pub(super) struct Choices(u64);

impl Choices {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.below(list.len() as u64)).unwrap_or_default()]
    }
}

/// An object of a kind with a schema.
pub(super) fn object(kind: Kind, choices: &mut Choices) -> Option<Value> {
    let root = tree::of(kind, "")?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!(kind.api_version()));
    object.insert("kind".to_owned(), json!(kind.as_str()));
    object.insert("metadata".to_owned(), json!({ "name": "a", "namespace": "shop" }));
    for (name, field) in root.properties.iter().filter(|(name, _)| *name != "status") {
        object.insert(name.clone(), value(field, name, choices, 0));
    }
    Some(Value::Object(object))
}

fn value(node: &Node, name: &str, choices: &mut Choices, depth: u64) -> Value {
    if let Some(value) = (!node.limits.values.is_empty()).then(|| choices.of(&node.limits.values)) {
        return value.clone();
    }
    if node.int_or_string {
        return if choices.below(2) == 0 { json!(choices.below(100)) } else { json!("80") };
    }
    match node.kind {
        Some(Type::Object) => Value::Object(fields(node, choices, depth)),
        Some(Type::Array) => {
            let least = node.limits.min_items.unwrap_or_default() as u64;
            let count = least.max(1) + choices.below(2);
            let count = count.min(node.limits.max_items.unwrap_or(2) as u64);
            node.items.as_deref().map_or(json!([]), |item| (0..count).map(|_| value(item, name, choices, depth + 1)).collect())
        }
        Some(Type::Integer) => {
            let least = node.limits.minimum.unwrap_or_default();
            let most = node.limits.maximum.unwrap_or(least + 100.0).min(least + 600.0);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
            let (least, span) = (least as i64, (most - least) as u64);
            json!(least.saturating_add_unsigned(choices.below(span + 1)))
        }
        Some(Type::Number) => json!(choices.below(200) as f64 / 2.0),
        Some(Type::Boolean) => json!(choices.below(2) == 0),
        Some(Type::String) => json!(text(node, name, choices)),
        None => json!({}),
    }
}

fn fields(node: &Node, choices: &mut Choices, depth: u64) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, field) in &node.properties {
        let required = node.limits.required.contains(name);
        // Fewer the deeper: an object must come to an end.
        if required || choices.below(3 + depth) == 0 {
            fields.insert(name.clone(), value(field, name, choices, depth + 1));
        }
    }
    if let Some(values) = &node.additional {
        for _ in 0..choices.below(3).max(node.limits.min_properties.unwrap_or_default() as u64) {
            let key = *choices.of(&["http", "app", "80", "8080"]);
            fields.insert(key.to_owned(), value(values, key, choices, depth + 1));
        }
    }
    fields
}

/// A text that the field may well have, by its name.
fn text(node: &Node, name: &str, choices: &mut Choices) -> String {
    let lower = name.to_lowercase();
    let known: &[&str] = match node.limits.format.as_deref() {
        Some("byte") => &["YQ=="],
        Some("date-time") => &["2026-01-31T12:00:00Z"],
        _ if node.pattern.as_ref().is_some_and(|pattern| pattern.text.contains("[0-9]{1,5}(h|m|s|ms)")) => &["5s", "1h", "250ms"],
        _ if node.rules.iter().any(|rule| rule.text().contains("duration(")) => &["5s", "1.5s", "3600s"],
        _ if ["ttl", "timeout", "interval", "duration"].iter().any(|word| lower.ends_with(word)) => &["5s", "10s"],
        _ if lower == "protocol" => &["HTTP", "HTTPS", "TCP", "GRPC"],
        _ if lower.contains("jwks") || lower.ends_with("url") => &["https://example.com/x", "http://localhost:8080/y"],
        _ if lower == "from" || lower == "to" => &["region/zone/subzone"],
        _ if lower.contains("kind") => &["Service", "Gateway"],
        _ => &["a", "b", "example.com", "10.0.0.1", "80", "shop/a"],
    };
    let text = (*choices.of(known)).to_owned();
    match node.limits.min_length.unwrap_or_default() {
        least if text.len() < least => "a".repeat(least),
        _ => text,
    }
}
