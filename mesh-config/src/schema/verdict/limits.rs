//! Bounds: how long, how many, how large, which of a list, in which form.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Judge;
use crate::{
    decode::{Error, Path},
    schema::tree::{Limits, Node},
};

/// A value, if it is short enough to show.
pub(super) fn short(value: &Value) -> Option<String> {
    const LIMIT: usize = 64;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
        scalar => scalar.to_string(),
    };
    Some(text).filter(|text| !text.is_empty() && text.len() <= LIMIT)
}

impl Judge {
    /// Checks a value's bounds. Returns whether it is small enough for rules to be asked.
    pub(super) fn limits(&mut self, node: &Node, value: &Value, path: &Path<'_>) -> bool {
        let limits = &node.limits;
        self.one_of_values(limits, value, path);
        match value {
            Value::String(text) => self.text(node, value, text, path),
            Value::Number(number) => {
                self.number(limits, value, number.as_f64().unwrap_or(f64::NAN), path);
                true
            }
            Value::Array(items) => self.list(limits, items, path),
            Value::Object(fields) => self.size(fields.len(), (limits.min_properties, limits.max_properties), "properties", path),
            Value::Null | Value::Bool(_) => true,
        }
    }

    fn one_of_values(&mut self, limits: &Limits, value: &Value, path: &Path<'_>) {
        if limits.values.is_empty() || limits.values.contains(value) {
            return;
        }
        self.unread(path, value, || {
            let names: Vec<&str> = limits.values.iter().filter_map(Value::as_str).collect();
            let error = Error::unknown_name("value", value.as_str().unwrap_or_default(), &names);
            let remedy = error.suggestion().map_or_else(|| format!("use one of {}", names.join(", ")), str::to_owned);
            (format!("Unsupported value: {value}"), remedy)
        });
    }

    fn text(&mut self, node: &Node, value: &Value, text: &str, path: &Path<'_>) -> bool {
        let limits = &node.limits;
        let within = self.size(text.chars().count(), (limits.min_length, limits.max_length), "chars", path);
        if let Some(pattern) = &node.pattern
            && !pattern.fits(text)
        {
            self.report(path, value, || (format!("should match `{}`", pattern.text), "use only what the pattern allows".to_owned()));
        }
        let (valid, expected) = match limits.format.as_deref() {
            Some("byte") => (STANDARD.decode(text).is_ok(), "base64"),
            Some("date-time") => (OffsetDateTime::parse(text, &Rfc3339).is_ok(), "a time as in RFC 3339, such as 2026-01-31T12:00:00Z"),
            Some("ipv4") => (text.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
            Some("ipv6") => (text.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
            _ => (true, ""),
        };
        if !valid {
            self.report(path, value, || (format!("must be {expected}"), format!("write {expected}")));
        }
        within
    }

    fn number(&mut self, limits: &Limits, value: &Value, number: f64, path: &Path<'_>) {
        let format = match limits.format.as_deref() {
            Some("int32") => (f64::from(i32::MIN), f64::from(i32::MAX)),
            Some("float") => (f64::from(f32::MIN), f64::from(f32::MAX)),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        // `exclusiveMinimum: true` is OpenAPI 3.0's, which structural schemas are written in.
        let open = |exclusive: Option<&Value>| exclusive == Some(&Value::Bool(true));
        let (above, below) = (open(limits.exclusive_minimum.as_ref()), open(limits.exclusive_maximum.as_ref()));
        if let Some(least) = limits.minimum.filter(|least| number < *least || above && number <= *least) {
            let than = if above { "greater than" } else { "greater than or equal to" };
            self.report(path, value, || (format!("should be {than} {least}"), format!("set {least} or more")));
        }
        if let Some(most) = limits.maximum.filter(|most| number > *most || below && number >= *most) {
            let than = if below { "less than" } else { "less than or equal to" };
            self.report(path, value, || (format!("should be {than} {most}"), format!("set {most} or less")));
        }
        if number < format.0 || number > format.1 {
            let format = limits.format.as_deref().unwrap_or_default();
            self.report(path, value, || (format!("does not fit into {format}"), "set a smaller number".to_owned()));
        }
        if let Some(step) = limits.multiple_of.filter(|step| number % step != 0.0) {
            self.report(path, value, || (format!("should be a multiple of {step}"), format!("set a multiple of {step}")));
        }
    }

    fn list(&mut self, limits: &Limits, items: &[Value], path: &Path<'_>) -> bool {
        let within = self.size(items.len(), (limits.min_items, limits.max_items), "items", path);
        let keys: Vec<Option<String>> = match limits.list_type.as_deref() {
            Some("map") => items.iter().map(|item| item.as_object().map(|item| map_key(limits, item))).collect(),
            Some("set") => items.iter().map(|item| Some(item.to_string())).collect(),
            _ if limits.unique_items => items.iter().map(|item| Some(item.to_string())).collect(),
            _ => return within,
        };
        let mut seen = std::collections::HashSet::new();
        for (index, key) in keys.iter().enumerate() {
            if let Some(key) = key
                && !seen.insert(key)
            {
                self.report(&path.index(index), &Value::Null, || (format!("Duplicate value: {key}"), "remove it, or rename it".to_owned()));
            }
        }
        within
    }

    /// Checks a length. Returns whether it is not too much.
    fn size(&mut self, size: usize, (least, most): (Option<usize>, Option<usize>), unit: &str, path: &Path<'_>) -> bool {
        if let Some(least) = least.filter(|least| size < *least) {
            let remedy = "leave the field out, or fill it".to_owned();
            match unit {
                "chars" => self.report(path, &Value::Null, || (format!("should be at least {least} chars long, found {size}"), remedy)),
                _ => self.report(path, &Value::Null, || (format!("should have at least {least} {unit}, found {size}"), remedy)),
            }
        }
        if let Some(most) = most.filter(|most| size > *most) {
            let rule = match unit {
                "chars" => format!("may not be more than {most} chars long, found {size}"),
                _ => format!("must have at most {most} {unit}, found {size}"),
            };
            self.report(path, &Value::Null, || (rule, "shorten it".to_owned()));
            return false;
        }
        true
    }
}

/// What an item of a map-like list is known by.
fn map_key(limits: &Limits, item: &Map<String, Value>) -> String {
    let parts: Vec<String> = limits.list_map_keys.iter().map(|key| format!("{key}: {}", item.get(key).unwrap_or(&Value::Null))).collect();
    format!("{{{}}}", parts.join(", "))
}
