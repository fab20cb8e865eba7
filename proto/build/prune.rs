//! Cuts a descriptor set down to some messages and what their fields need.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions};

/// Keeps the messages that `accepts(package, full name)` names and what they need; drops comments, options, services, extensions.
pub(crate) fn prune(set: FileDescriptorSet, accepts: impl Fn(&str, &str) -> bool) -> FileDescriptorSet {
    let mut index = Index::default();
    let mut wanted = Vec::new();
    for file in &set.file {
        let scope = format!(".{}", file.package());
        for message in &file.message_type {
            index.add_message(&scope, file.name(), message, None);
            if accepts(file.package(), &format!("{}.{}", file.package(), message.name())) {
                wanted.push(format!("{scope}.{}", message.name()));
            }
        }
        for enumeration in &file.enum_type {
            index.add_enum(&scope, file.name(), enumeration, None);
        }
    }
    let kept = index.closure(wanted);
    let files = set.file.into_iter().filter_map(|file| prune_file(file, &index, &kept)).collect();
    FileDescriptorSet { file: files }
}

/// Every top-level message, as (package, full name).
pub(crate) fn messages(set: &FileDescriptorSet) -> Vec<(String, String)> {
    let of_file = |file: &FileDescriptorProto| {
        let package = file.package().to_owned();
        file.message_type.iter().map(|message| (package.clone(), format!("{package}.{}", message.name()))).collect::<Vec<_>>()
    };
    set.file.iter().flat_map(of_file).collect()
}

/// Names (`package.Message.field`) of the fields that Envoy's API marks as secrets, so that printing them can be refused.
pub(crate) fn sensitive_fields(set: &[u8]) -> Result<Vec<String>, prost::DecodeError> {
    fn collect(scope: &str, message: &marks::Message, names: &mut Vec<String>) {
        let scope = format!("{scope}.{}", message.name);
        for field in &message.field {
            if field.options.as_ref().is_some_and(|options| options.sensitive) {
                names.push(format!("{scope}.{}", field.name));
            }
        }
        for nested in &message.nested_type {
            collect(&scope, nested, names);
        }
    }
    let mut names = Vec::new();
    for file in marks::Set::decode(set)?.file {
        for message in &file.message_type {
            collect(&file.package, message, &mut names);
        }
    }
    Ok(names)
}

/// Just enough of `descriptor.proto` to see the option `udpa.annotations.sensitive`, which prost-types' own does not keep.
mod marks {
    #[derive(prost::Message)]
    pub(super) struct Set {
        #[prost(message, repeated, tag = "1")]
        pub(super) file: Vec<File>,
    }

    #[derive(prost::Message)]
    pub(super) struct File {
        #[prost(string, tag = "2")]
        pub(super) package: String,
        #[prost(message, repeated, tag = "4")]
        pub(super) message_type: Vec<Message>,
    }

    #[derive(prost::Message)]
    pub(super) struct Message {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) field: Vec<Field>,
        #[prost(message, repeated, tag = "3")]
        pub(super) nested_type: Vec<Message>,
    }

    #[derive(prost::Message)]
    pub(super) struct Field {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "8")]
        pub(super) options: Option<Options>,
    }

    #[derive(prost::Message)]
    pub(super) struct Options {
        #[prost(bool, tag = "76569463")]
        pub(super) sensitive: bool,
    }
}

/// Every type by its full name with a leading dot.
#[derive(Default)]
struct Index {
    types: BTreeMap<String, Type>,
}

struct Type {
    file: String,
    needs: Vec<String>,
}

impl Index {
    fn add_message(&mut self, scope: &str, file: &str, message: &DescriptorProto, parent: Option<&str>) {
        let name = format!("{scope}.{}", message.name());
        let mut needs: Vec<_> = message.field.iter().filter_map(|field| field.type_name.clone()).collect();
        // A nested type stands inside its parent.
        needs.extend(parent.map(str::to_owned));
        for nested in &message.nested_type {
            self.add_message(&name, file, nested, Some(&name));
        }
        for nested in &message.enum_type {
            self.add_enum(&name, file, nested, Some(&name));
        }
        self.types.insert(name, Type { file: file.to_owned(), needs });
    }

    fn add_enum(&mut self, scope: &str, file: &str, enumeration: &EnumDescriptorProto, parent: Option<&str>) {
        let name = format!("{scope}.{}", enumeration.name());
        self.types.insert(name, Type { file: file.to_owned(), needs: parent.map(str::to_owned).into_iter().collect() });
    }

    fn closure(&self, mut wanted: Vec<String>) -> BTreeSet<String> {
        let mut kept = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if let Some(found) = self.types.get(&name)
                && kept.insert(name)
            {
                wanted.extend(found.needs.iter().cloned());
            }
        }
        kept
    }
}

fn prune_file(mut file: FileDescriptorProto, index: &Index, kept: &BTreeSet<String>) -> Option<FileDescriptorProto> {
    let scope = format!(".{}", file.package());
    prune_messages(&scope, &mut file.message_type, kept);
    prune_enums(&scope, &mut file.enum_type, kept);
    if file.message_type.is_empty() && file.enum_type.is_empty() {
        return None;
    }
    let mut needs = BTreeSet::new();
    file.message_type.iter().for_each(|message| files_needed(message, index, &mut needs));
    needs.remove(file.name());
    file.dependency = needs.into_iter().collect();
    file.public_dependency.clear();
    file.weak_dependency.clear();
    file.service.clear();
    file.extension.clear();
    file.options = None;
    file.source_code_info = None;
    Some(file)
}

fn prune_messages(scope: &str, messages: &mut Vec<DescriptorProto>, kept: &BTreeSet<String>) {
    messages.retain(|message| kept.contains(&format!("{scope}.{}", message.name())));
    for message in messages {
        let name = format!("{scope}.{}", message.name());
        prune_messages(&name, &mut message.nested_type, kept);
        prune_enums(&name, &mut message.enum_type, kept);
        message.field.iter_mut().for_each(strip_field);
        message.oneof_decl.iter_mut().for_each(|oneof| oneof.options = None);
        message.extension.clear();
        message.extension_range.clear();
        message.reserved_range.clear();
        message.reserved_name.clear();
        let map_entry = message.options.as_ref().and_then(|options| options.map_entry);
        message.options = map_entry.map(|entry| MessageOptions { map_entry: Some(entry), ..Default::default() });
    }
}

fn prune_enums(scope: &str, enums: &mut Vec<EnumDescriptorProto>, kept: &BTreeSet<String>) {
    enums.retain(|enumeration| kept.contains(&format!("{scope}.{}", enumeration.name())));
    for enumeration in enums {
        // Aliases are the one option that changes how values are read.
        let aliases = enumeration.options.as_ref().and_then(|options| options.allow_alias);
        enumeration.options = aliases.map(|_| prost_types::EnumOptions { allow_alias: aliases, ..Default::default() });
        enumeration.value.iter_mut().for_each(|value| value.options = None);
        enumeration.reserved_range.clear();
        enumeration.reserved_name.clear();
    }
}

fn strip_field(field: &mut FieldDescriptorProto) {
    let packed = field.options.as_ref().and_then(|options| options.packed);
    field.options = packed.map(|_| prost_types::FieldOptions { packed, ..Default::default() });
}

fn files_needed(message: &DescriptorProto, index: &Index, files: &mut BTreeSet<String>) {
    for field in &message.field {
        files.extend(field.type_name.as_ref().and_then(|name| index.types.get(name)).map(|found| found.file.clone()));
    }
    message.nested_type.iter().for_each(|nested| files_needed(nested, index, files));
}
