//! A structural schema made ready: what is not needed left out, patterns and CEL rules to be compiled when they are first
//! asked. One for each kind, made when the first object of the kind is seen.

use std::{collections::BTreeMap, sync::OnceLock};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::cel::Rule;
use crate::resource::Kind;

/// One place of a schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) kind: Option<Type>,
    pub(super) nullable: bool,
    pub(super) int_or_string: bool,
    /// Fields that are not listed are kept.
    pub(super) open: bool,
    pub(super) properties: BTreeMap<String, Self>,
    pub(super) additional: Option<Box<Self>>,
    pub(super) items: Option<Box<Self>>,
    pub(super) limits: Limits,
    pub(super) pattern: Option<Pattern>,
    pub(super) choices: Vec<Choice>,
    pub(super) default: Option<Value>,
    pub(super) rules: Vec<Rule>,
    /// Whether there is a default here or below.
    pub(super) defaults: bool,
}

/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// A pattern, made ready when a text is held against it for the first time.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    regex: OnceLock<Option<Regex>>,
}

/// Conditions on top of the structure.
#[derive(Debug)]
pub(super) enum Choice {
    All(Vec<Node>),
    Any(Vec<Node>),
    One(Vec<Node>),
    Not(Box<Node>),
}

/// Bounds and the like.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Limits {
    pub(super) required: Vec<String>,
    #[serde(rename = "enum")]
    pub(super) values: Vec<Value>,
    pub(super) format: Option<String>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_minimum: Option<Value>,
    pub(super) exclusive_maximum: Option<Value>,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) min_items: Option<usize>,
    pub(super) max_items: Option<usize>,
    pub(super) unique_items: bool,
    pub(super) min_properties: Option<usize>,
    pub(super) max_properties: Option<usize>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(super) list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(super) list_map_keys: Vec<String>,
}

/// A schema as it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Written {
    r#type: Option<Type>,
    nullable: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    open: bool,
    properties: BTreeMap<String, Self>,
    additional_properties: Option<Box<Self>>,
    items: Option<Box<Self>>,
    pattern: Option<String>,
    all_of: Vec<Self>,
    any_of: Vec<Self>,
    one_of: Vec<Self>,
    not: Option<Box<Self>>,
    default: Option<Value>,
    #[serde(rename = "x-kubernetes-validations")]
    rules: Vec<super::cel::Written>,
    #[serde(flatten)]
    limits: Limits,
}

/// The schema of a kind in a version, if it has one.
pub(super) fn of(kind: Kind, version: &str) -> Option<&'static Node> {
    /// The schema of most versions, under no name, and then those of the others.
    type Trees = Vec<(&'static str, Node)>;
    static TREES: [OnceLock<Trees>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
    let compile = || {
        let Some(crd) = kind.crd() else { return Trees::new() };
        // What `structural` makes is what `Written` reads; the tests go through every kind.
        let tree = |version| Node::from(serde_json::from_value::<Written>(crd.schema(kind, version)).expect("a structural schema"));
        std::iter::once("").chain(crd.own_schemas()).map(|version| (version, tree(version))).collect()
    };
    let trees = TREES[kind as usize].get_or_init(compile);
    trees.iter().find(|(own, _)| *own == version).or(trees.first()).map(|(_, node)| node)
}

impl From<Written> for Node {
    fn from(written: Written) -> Self {
        let nodes = |list: Vec<Written>| list.into_iter().map(Self::from).collect::<Vec<_>>();
        let child = |schema: Option<Box<Written>>| schema.map(|schema| Box::new(Self::from(*schema)));
        let mut choices = Vec::new();
        // The two types that "int or string" consists of are said by the keyword.
        let any = if written.int_or_string { Vec::new() } else { nodes(written.any_of) };
        choices.extend(Some(nodes(written.all_of)).filter(|list| !list.is_empty()).map(Choice::All));
        choices.extend(Some(any).filter(|list| !list.is_empty()).map(Choice::Any));
        choices.extend(Some(nodes(written.one_of)).filter(|list| !list.is_empty()).map(Choice::One));
        choices.extend(child(written.not).map(Choice::Not));
        let mut node = Self {
            kind: written.r#type,
            nullable: written.nullable,
            int_or_string: written.int_or_string,
            open: written.open,
            properties: written.properties.into_iter().map(|(name, schema)| (name, Self::from(schema))).collect(),
            additional: child(written.additional_properties),
            items: child(written.items),
            limits: written.limits,
            pattern: written.pattern.map(|text| Pattern { text, regex: OnceLock::new() }),
            choices,
            default: written.default,
            rules: written.rules.into_iter().map(Rule::from).collect(),
            defaults: false,
        };
        node.defaults = node.default.is_some() || node.children().any(|child| child.defaults);
        node
    }
}

impl Pattern {
    /// Whether it is a pattern at all.
    #[cfg(test)]
    pub(super) fn is_one(&self) -> bool {
        Regex::new(&self.text).is_ok()
    }

    /// Whether it fits a text. What is no pattern fits none.
    pub(super) fn fits(&self, text: &str) -> bool {
        self.regex.get_or_init(|| Regex::new(&self.text).ok()).as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl Node {
    /// The schemas of what is inside.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        self.properties.values().chain(self.additional.as_deref()).chain(self.items.as_deref())
    }

    /// The schema of the field `name`.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Whether its keys are data and not names of fields.
    pub(super) fn is_map(&self) -> bool {
        self.additional.is_some() || self.open && self.properties.is_empty()
    }
}
