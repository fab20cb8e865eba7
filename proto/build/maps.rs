//! The table behind `canonical.rs`: which fields of which messages are maps, or lead to one.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// Rust source of a slice of `Message`s, sorted by name; only those from which a map can be reached.
pub(crate) fn table(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut messages = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            collect(file.package(), message, &mut messages);
        }
    }
    let kept = leading_to_maps(&messages);
    let index: BTreeMap<&str, usize> = kept.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut source = String::from("&[\n");
    for name in &kept {
        writeln!(source, "Message {{ name: {name:?}, fields: &[")?;
        for field in &messages[*name].fields {
            let target = index.get(field.message.as_str());
            if field.map || target.is_some() {
                writeln!(source, "Field {{ number: {}, map: {}, message: {target:?} }},", field.number, field.map)?;
            }
        }
        source.push_str("] },\n");
    }
    source.push(']');
    Ok(source)
}

struct Message {
    fields: Vec<Field>,
}

struct Field {
    number: i32,
    map: bool,
    /// Full name of the field's message; for a map, that of its entries.
    message: String,
}

fn collect(scope: &str, message: &DescriptorProto, messages: &mut BTreeMap<String, Message>) {
    let name = format!("{scope}.{}", message.name());
    let is_entry = |nested: &DescriptorProto| nested.options.as_ref().is_some_and(|options| options.map_entry());
    let entries: BTreeSet<_> =
        message.nested_type.iter().filter(|nested| is_entry(nested)).map(|nested| format!("{name}.{}", nested.name())).collect();
    let fields = message.field.iter().filter(|field| field.r#type() == Type::Message).map(|field| {
        let message = field.type_name().trim_start_matches('.').to_owned();
        Field { number: field.number(), map: entries.contains(&message), message }
    });
    let fields = fields.collect();
    for nested in &message.nested_type {
        collect(&name, nested, messages);
    }
    messages.insert(name, Message { fields });
}

fn leading_to_maps(messages: &BTreeMap<String, Message>) -> BTreeSet<&str> {
    let mut kept = BTreeSet::new();
    loop {
        let before = kept.len();
        for (name, message) in messages {
            if message.fields.iter().any(|field| field.map || kept.contains(field.message.as_str())) {
                kept.insert(name.as_str());
            }
        }
        if kept.len() == before {
            return kept;
        }
    }
}
