//! Whether the API server would take an object: structure, bounds, unknown fields, then CEL rules; everything that is
//! wrong, with its path.
//!
//! Kubernetes: "Extend the Kubernetes API with CustomResourceDefinitions", sections "Validation" and "Field pruning"
//! (with strict field validation, as `kubectl` asks for: unknown fields are refused).

mod limits;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    cel::{Scope, Verdict},
    tree::{Choice, Node, Type},
};
use crate::{
    decode::{Error, Path, View},
    validate::{Finding, Severity},
};

/// Something that the schema does not allow.
pub(crate) struct Violation {
    pub(crate) finding: Finding,
    pub(crate) sort: Sort,
}

/// What a violation says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// It is not of its type: the reader of the type says so too, and knows better what was meant.
    Unread,
    /// A rule could not be asked about it: the reader may know why.
    Unclear,
    /// It is what it should be, but not within the bounds or the rules.
    Broken,
}

/// Every violation of the schema of a whole object.
pub(super) fn violations(root: &Node, object: &Value) -> Vec<Violation> {
    let mut judge = Judge::default();
    if object.is_object() {
        judge.value(root, object, &Path::Root);
    } else {
        judge.wrong_type(object, "an object", &Path::Root);
    }
    judge.violations
}

/// Collects what is wrong.
#[derive(Default)]
struct Judge {
    violations: Vec<Violation>,
    /// Asked only whether a value fits one branch of a choice: nothing is written down, unknown fields do not count.
    quiet: bool,
    broken: bool,
}

/// Fields of the object itself that no schema describes.
const ENVELOPE: &[&str] = &["apiVersion", "kind", "metadata"];

impl Judge {
    /// Judges a value. Returns whether its structure is such that rules over it mean anything.
    fn value(&mut self, node: &Node, value: &Value, path: &Path<'_>) -> bool {
        if value.is_null() && node.nullable {
            return true;
        }
        if !self.has_type(node, value, path) {
            return false;
        }
        let mut sound = self.limits(node, value, path);
        match value {
            Value::Object(fields) => sound &= self.fields(node, fields, path),
            Value::Array(items) => {
                if let Some(item) = &node.items {
                    for (index, value) in items.iter().enumerate() {
                        sound &= self.value(item, value, &path.index(index));
                    }
                }
            }
            _ => {}
        }
        self.choices(node, value, path);
        if sound && !self.quiet && !node.rules.is_empty() {
            self.rules(node, value, path);
        }
        sound
    }

    fn has_type(&mut self, node: &Node, value: &Value, path: &Path<'_>) -> bool {
        let (fits, expected) = match node.kind {
            _ if node.int_or_string => (value.is_string() || is_integer(value), "a number or a string"),
            None => return true,
            Some(Type::Object) => (value.is_object(), "a mapping (type object)"),
            Some(Type::Array) => (value.is_array(), "a list (type array)"),
            Some(Type::String) => (value.is_string(), "a string (type string)"),
            Some(Type::Integer) => (is_integer(value), "a whole number (type integer)"),
            Some(Type::Number) => (value.is_number(), "a number (type number)"),
            Some(Type::Boolean) => (value.is_boolean(), "true or false (type boolean)"),
        };
        if !fits {
            self.wrong_type(value, expected, path);
        }
        fits
    }

    fn fields(&mut self, node: &Node, fields: &Map<String, Value>, path: &Path<'_>) -> bool {
        let mut sound = true;
        for name in &node.limits.required {
            if !fields.contains_key(name) {
                sound = false;
                self.unread(&path.field(name), &Value::Null, || {
                    ("Required value: the field is missing".to_owned(), format!("add `{name}`"))
                });
            }
        }
        for (name, value) in fields {
            let path = path.field(name);
            match node.field(name) {
                Some(field) => sound &= self.value(field, value, &path),
                None if node.open || self.quiet || node.kind.is_none() => {}
                None if matches!(path, Path::Field(Path::Root, _)) && ENVELOPE.contains(&name.as_str()) => {}
                None => self.unknown(node, name, &path),
            }
        }
        sound
    }

    fn unknown(&mut self, node: &Node, name: &str, path: &Path<'_>) {
        let known: Vec<&str> = node.properties.keys().map(String::as_str).collect();
        let error = Error::unknown_name("field", name, &known);
        self.unread(path, &Value::Null, || {
            let remedy = error.suggestion().map(str::to_owned);
            let remedy = remedy.or_else(|| error.expectation().map(|names| format!("use {names}")));
            (error.message().to_owned(), remedy.unwrap_or_else(|| "remove it".to_owned()))
        });
    }

    fn wrong_type(&mut self, value: &Value, expected: &str, path: &Path<'_>) {
        // The reader takes a null for a field that is absent.
        let sort = if value.is_null() { Sort::Broken } else { Sort::Unread };
        self.write(path, value, sort, || {
            let error = Error::expected(View::Json(value), expected);
            let rule = match value {
                // What cannot be shown is named.
                Value::Null | Value::Array(_) | Value::Object(_) => format!("must be {expected}: {}", error.message()),
                Value::String(_) => format!("must be {expected}, not a string"),
                Value::Number(_) if !expected.contains("number") => format!("must be {expected}, not a number"),
                Value::Bool(_) => format!("must be {expected}, not a boolean"),
                Value::Number(_) => format!("must be {expected}"),
            };
            let remedy = match value {
                Value::Null => Some("set it, or leave the field out".to_owned()),
                _ => error.suggestion().map(str::to_owned),
            };
            (rule, remedy.unwrap_or_else(|| format!("write {expected}")))
        });
    }

    fn choices(&mut self, node: &Node, value: &Value, path: &Path<'_>) {
        for choice in &node.choices {
            match choice {
                Choice::All(branches) => {
                    for branch in branches {
                        self.value(branch, value, path);
                    }
                }
                Choice::Any(branches) if !branches.iter().any(|branch| fits(branch, value)) => self.no_branch(branches, value, path),
                Choice::One(branches) if branches.iter().filter(|branch| fits(branch, value)).count() != 1 => {
                    self.no_branch(branches, value, path);
                }
                Choice::Not(branch) if fits(branch, value) => {
                    self.report(path, value, || ("this combination of fields is not allowed".to_owned(), "remove one of them".to_owned()));
                }
                Choice::Any(_) | Choice::One(_) | Choice::Not(_) => {}
            }
        }
    }

    /// None of the branches, or more than one, where one is allowed: most often two fields of a oneof.
    fn no_branch(&mut self, branches: &[Node], value: &Value, path: &Path<'_>) {
        let names: BTreeSet<&str> = branches.iter().flat_map(|branch| &branch.limits.required).map(String::as_str).collect();
        let set: Vec<&str> = names.iter().copied().filter(|name| value.get(name).is_some()).collect();
        let names: Vec<&str> = names.iter().copied().collect();
        // A choice of values and not of fields: what keeps it from being the first.
        if let ([], Some(first), false) = (names.as_slice(), branches.first(), self.quiet) {
            let mut judge = Self::default();
            judge.value(first, value, path);
            self.broken = true;
            self.violations.append(&mut judge.violations);
            return;
        }
        self.report(path, value, || {
            let rule = match set.as_slice() {
                [] => format!("one of {} must be set", names.join(", ")),
                set => format!("only one of {} can be set, found {}", names.join(", "), set.join(" and ")),
            };
            (rule, "keep one of them".to_owned())
        });
    }

    fn rules(&mut self, node: &Node, value: &Value, path: &Path<'_>) {
        let scope = Scope::new(node, value);
        for rule in &node.rules {
            let (message, sort) = match rule.ask(&scope) {
                Verdict::Holds => continue,
                Verdict::Broken(message) => (message, Sort::Broken),
                Verdict::Failed(message) => (message, Sort::Unclear),
            };
            let path = format!("{path}{}", rule.field_path.as_deref().filter(|path| path.starts_with('.')).unwrap_or_default());
            let value = limits::short(value);
            let finding = Finding { severity: Severity::Error, path, value, rule: message, remedy: rule.remedy() };
            self.violations.push(Violation { finding, sort });
        }
    }

    /// Writes down what is wrong with a value that is of its type: the rule and the remedy.
    fn report(&mut self, path: &Path<'_>, value: &Value, what: impl FnOnce() -> (String, String)) {
        self.write(path, value, Sort::Broken, what);
    }

    /// Writes down that a value is not of its type; null: there is none.
    fn unread(&mut self, path: &Path<'_>, value: &Value, what: impl FnOnce() -> (String, String)) {
        self.write(path, value, Sort::Unread, what);
    }

    fn write(&mut self, path: &Path<'_>, value: &Value, sort: Sort, what: impl FnOnce() -> (String, String)) {
        self.broken = true;
        if !self.quiet {
            let (rule, remedy) = what();
            let finding = Finding { severity: Severity::Error, path: path.to_string(), value: limits::short(value), rule, remedy };
            self.violations.push(Violation { finding, sort });
        }
    }
}

/// Whether a value fits a branch of a choice.
fn fits(branch: &Node, value: &Value) -> bool {
    let mut judge = Judge { quiet: true, ..Judge::default() };
    judge.value(branch, value, &Path::Root);
    !judge.broken
}

/// 80 and 80.0 are whole numbers.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}
