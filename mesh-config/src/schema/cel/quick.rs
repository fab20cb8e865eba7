//! A short way to a rule's verdict: what most rules are made of, asked of the JSON itself.
//!
//! The interpreter copies whatever part of the object an expression passes through, which is most of the time that a
//! schema takes. Here nothing is copied. Whatever is not plain (an error, a function of Kubernetes', a number with a
//! fraction) has no answer here, and the interpreter is asked; where there is an answer, it is the interpreter's.

use std::rc::Rc;

use kube_cel::cel::{
    common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators},
    parser::Expression,
};
use serde_json::{Map, Value};

use super::{
    pattern,
    value::{is_reserved, unreserved},
};
use crate::schema::tree::{Node, Type};

/// Whether a rule holds of a value; none: ask the interpreter.
pub(super) fn holds(rule: &Expression, node: &Node, value: &Value) -> Option<bool> {
    truth(&Scope { name: "self", value: seen(Some(node), value)?, outer: None }.of(rule)?)
}

/// A value on its way through an expression. No schema: none is known below an open object.
#[derive(Clone)]
enum Seen<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// A duration in nanoseconds.
    Nanos(i64),
    List(Option<&'a Node>, &'a [Value]),
    Map(Option<&'a Node>, &'a Map<String, Value>),
    /// A list that an expression made.
    Made(Rc<[Seen<'a>]>),
    /// `{}`
    Nothing,
}

/// A variable, and those around it.
struct Scope<'a, 's> {
    name: &'a str,
    value: Seen<'a>,
    outer: Option<&'s Scope<'a, 's>>,
}

/// JSON as `value::typed` makes CEL of it.
fn seen<'a>(node: Option<&'a Node>, value: &'a Value) -> Option<Seen<'a>> {
    Some(match value {
        Value::Null => Seen::Null,
        Value::Bool(value) => Seen::Bool(*value),
        Value::Number(_) if node.is_some_and(|node| node.kind == Some(Type::Number)) => return None,
        Value::Number(number) => Seen::Int(number.as_i64()?),
        Value::String(_) if node.is_some_and(|node| node.limits.format.as_deref() == Some("byte")) => return None,
        Value::String(text) => Seen::Text(text),
        Value::Array(items) => Seen::List(node.and_then(|node| node.items.as_deref()), items),
        Value::Object(fields) => Seen::Map(node, fields),
    })
}

impl<'a> Scope<'a, '_> {
    /// What an expression gives.
    fn of(&self, expression: &'a Expression) -> Option<Seen<'a>> {
        match &expression.expr {
            Expr::Literal(literal) => Some(match literal {
                LiteralValue::Boolean(value) => Seen::Bool(*value.inner()),
                LiteralValue::Int(value) => Seen::Int(*value.inner()),
                LiteralValue::String(text) => Seen::Text(text.inner()),
                LiteralValue::Null => Seen::Null,
                LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::UInt(_) => return None,
            }),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let below = field(&self.of(&select.operand)?, &select.field)?;
                if select.test { Some(Seen::Bool(below.is_some())) } else { below.and_then(|(node, value)| seen(node, value)) }
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) if list.optional_indices.is_empty() => {
                Some(Seen::Made(list.elements.iter().map(|element| self.of(element)).collect::<Option<_>>()?))
            }
            Expr::Map(map) if map.entries.is_empty() => Some(Seen::Nothing),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => None,
        }
    }

    fn variable(&self, name: &str) -> Option<Seen<'a>> {
        if self.name == name { Some(self.value.clone()) } else { self.outer?.variable(name) }
    }

    fn with<'s>(&'s self, name: &'a str, value: Seen<'a>) -> Scope<'a, 's> {
        Scope { name, value, outer: Some(self) }
    }

    fn call(&self, call: &'a CallExpr) -> Option<Seen<'a>> {
        match (&call.target, call.args.as_slice()) {
            (None, [condition, yes, no]) if call.func_name == operators::CONDITIONAL => {
                self.of(if truth(&self.of(condition)?)? { yes } else { no })
            }
            (None, [left, right]) => self.binary(&call.func_name, left, right),
            (None, [only]) => self.unary(&call.func_name, &self.of(only)?),
            (Some(target), []) if call.func_name == "size" => size(&self.of(target)?),
            (Some(target), [argument]) => {
                let (Seen::Text(text), Seen::Text(argument)) = (self.of(target)?, self.of(argument)?) else { return None };
                Some(Seen::Bool(match call.func_name.as_str() {
                    "matches" => pattern::is_match(text, argument).ok()?,
                    "startsWith" => text.starts_with(argument),
                    "endsWith" => text.ends_with(argument),
                    "contains" => text.contains(argument),
                    _ => return None,
                }))
            }
            _ => None,
        }
    }

    fn unary(&self, function: &str, value: &Seen<'a>) -> Option<Seen<'a>> {
        match (function, value) {
            (operators::LOGICAL_NOT, Seen::Bool(value)) => Some(Seen::Bool(!value)),
            (operators::NOT_STRICTLY_FALSE, Seen::Bool(value)) => Some(Seen::Bool(*value)),
            ("size", value) => size(value),
            ("int", Seen::Text(text)) if text.len() < 19 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().map(Seen::Int)
            }
            ("duration", Seen::Text(text)) => nanos(text).map(Seen::Nanos),
            _ => None,
        }
    }

    fn binary(&self, function: &str, left: &'a Expression, right: &'a Expression) -> Option<Seen<'a>> {
        let left = self.of(left)?;
        let decided = match function {
            operators::LOGICAL_OR => truth(&left)?.then_some(true),
            operators::LOGICAL_AND => (!truth(&left)?).then_some(false),
            _ => None,
        };
        if let Some(decided) = decided {
            return Some(Seen::Bool(decided));
        }
        let right = self.of(right)?;
        Some(Seen::Bool(match function {
            operators::LOGICAL_OR | operators::LOGICAL_AND => truth(&right)?,
            operators::EQUALS => same(&left, &right)?,
            operators::NOT_EQUALS => !same(&left, &right)?,
            operators::LESS => order(&left, &right)?.is_lt(),
            operators::LESS_EQUALS => order(&left, &right)?.is_le(),
            operators::GREATER => order(&left, &right)?.is_gt(),
            operators::GREATER_EQUALS => order(&left, &right)?.is_ge(),
            operators::IN => contains(&right, &left)?,
            operators::INDEX => return element(&left, &right),
            operators::ADD => return sum(&left, &right),
            _ => return None,
        }))
    }

    /// `all`, `exists`, `exists_one`, `filter` and `map` as the parser spells them out.
    fn comprehension(&self, it: &'a ComprehensionExpr) -> Option<Seen<'a>> {
        if it.iter_var2.is_some() {
            return None;
        }
        let mut so_far = self.of(&it.accu_init)?;
        for item in items(self.of(&it.iter_range)?)? {
            let before = self.with(&it.accu_var, so_far);
            if !truth(&before.of(&it.loop_cond)?)? {
                so_far = before.value;
                break;
            }
            so_far = before.with(&it.iter_var, item?).of(&it.loop_step)?;
        }
        self.with(&it.accu_var, so_far).of(&it.result)
    }
}

fn truth(value: &Seen<'_>) -> Option<bool> {
    match value {
        Seen::Bool(value) => Some(*value),
        _ => None,
    }
}

/// A field with its schema, none if it is not there; no answer if `value` has no fields, or none that can be told by the name.
#[allow(clippy::option_option, reason = "no answer, and no field, are different things")]
fn field<'a>(value: &Seen<'a>, name: &str) -> Option<Option<(Option<&'a Node>, &'a Value)>> {
    let Seen::Map(node, fields) = value else { return None };
    let name = match name {
        name if keys_are_data(*node) => name,
        name if name.bytes().any(|byte| byte == b'_') && name.contains("__") => unreserved(name)?,
        name if is_reserved(name) => return None,
        name => name,
    };
    Some(fields.get(name).map(|value| (node.and_then(|node| node.field(name)), value)))
}

fn keys_are_data(node: Option<&Node>) -> bool {
    node.is_none_or(Node::is_map)
}

/// Lengths of text in the interpreter's way and in the specification's are the same only in ASCII.
fn size<'a>(value: &Seen<'_>) -> Option<Seen<'a>> {
    let size = match value {
        Seen::Text(text) if text.is_ascii() => text.len(),
        Seen::List(_, items) => items.len(),
        Seen::Map(_, fields) => fields.len(),
        Seen::Made(items) => items.len(),
        Seen::Nothing => 0,
        _ => return None,
    };
    i64::try_from(size).ok().map(Seen::Int)
}

fn same(left: &Seen<'_>, right: &Seen<'_>) -> Option<bool> {
    match (left, right) {
        (Seen::Null, Seen::Null) => Some(true),
        (Seen::Bool(left), Seen::Bool(right)) => Some(left == right),
        _ => order(left, right).map(std::cmp::Ordering::is_eq),
    }
}

fn order(left: &Seen<'_>, right: &Seen<'_>) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Seen::Int(left), Seen::Int(right)) | (Seen::Nanos(left), Seen::Nanos(right)) => Some(left.cmp(right)),
        (Seen::Text(left), Seen::Text(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn contains(container: &Seen<'_>, value: &Seen<'_>) -> Option<bool> {
    if let (Seen::Map(node, fields), Seen::Text(key)) = (container, value) {
        return keys_are_data(*node).then(|| fields.contains_key(*key));
    }
    if !matches!(container, Seen::List(..) | Seen::Made(_)) {
        return None;
    }
    for item in items(container.clone())? {
        if same(&item?, value)? {
            return Some(true);
        }
    }
    Some(false)
}

fn element<'a>(container: &Seen<'a>, at: &Seen<'a>) -> Option<Seen<'a>> {
    match (container, at) {
        (Seen::List(node, items), Seen::Int(at)) => seen(*node, items.get(usize::try_from(*at).ok()?)?),
        (Seen::Made(items), Seen::Int(at)) => items.get(usize::try_from(*at).ok()?).cloned(),
        (Seen::Map(node, fields), Seen::Text(key)) if keys_are_data(*node) => {
            seen(node.and_then(|node| node.field(key)), fields.get(*key)?)
        }
        _ => None,
    }
}

fn sum<'a>(left: &Seen<'a>, right: &Seen<'a>) -> Option<Seen<'a>> {
    match (left, right) {
        (Seen::Int(left), Seen::Int(right)) => left.checked_add(*right).map(Seen::Int),
        (Seen::Made(left), Seen::Made(right)) => Some(Seen::Made(left.iter().chain(right.iter()).cloned().collect())),
        _ => None,
    }
}

/// The items of a list, the keys of a map.
fn items<'a>(value: Seen<'a>) -> Option<Box<dyn Iterator<Item = Option<Seen<'a>>> + 'a>> {
    match value {
        Seen::List(node, items) => Some(Box::new(items.iter().map(move |item| seen(node, item)))),
        Seen::Made(items) => Some(Box::new((0..items.len()).map(move |at| items.get(at).cloned()))),
        Seen::Map(node, fields) if keys_are_data(node) => Some(Box::new(fields.keys().map(|key| Some(Seen::Text(key))))),
        _ => None,
    }
}

/// `1h30m`, `10s`, `250ms`: whole numbers with a unit each.
fn nanos(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        // More digits might not be exact in the interpreter, which counts in floating point.
        let number: i64 = (digits <= 6).then(|| number.parse().ok())??;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests;
