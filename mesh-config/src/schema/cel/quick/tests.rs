//! The quick answer against the interpreter's. Beside these rules, every rule that any test of this crate asks is
//! asked both ways: see `Rule::ask`.

#![allow(clippy::unwrap_used)]

use kube_cel::cel::{Program, Value as Cel};
use serde_json::json;

use super::*;
use crate::schema::cel::Scope;

/// Rules over a map from names to anything: each has a quick answer, and it is the interpreter's.
#[test]
fn the_quick_answer_is_the_interpreters() {
    let node = Node { open: true, ..Node::default() };
    let value = json!({
        "a": 1, "b": "text", "c": ["x", "y"], "d": [{ "n": 1 }, { "n": 2 }, { "n": 2 }], "m": { "k": "v" }, "t": "1h30m", "no": null, "yes": true,
    });
    for rule in [
        "has(self.a) && !has(self.z)",
        "has(self.z) ? self.z.y == 1 : self.a == 1",
        "(has(self.a) ? 1 : 0) + (has(self.z) ? 1 : 0) <= 1",
        "self.b in ['text', 'other'] && !('z' in self) && 'a' in self",
        "self.b.matches('^t.*t$') && self.b.startsWith('te') && self.b.endsWith('xt') && self.b.contains('ex')",
        "self.c.size() == 2 && size(self.b) == 4 && {}.size() == 0 && size(self.m) > 0",
        "self.c.all(i, i in ['x', 'y'])",
        "self.d.exists(i, i.n == 2) && self.d.exists_one(i, i.n == 1)",
        "self.d.all(i, self.d.exists_one(j, i.n == j.n))",
        "self.d.filter(i, i.n == 2).size() == 2",
        "self.d.map(i, i.n)[1] == 2 && self.c[0] == 'x' && self.m['k'] == 'v'",
        "duration(self.t) == duration('90m') && duration('1500ms') > duration('1s')",
        "self.m.all(k, k != 'k')",
        "self.no == null && self.yes != false",
        "int('42') >= 42 && 'a' < 'b'",
    ] {
        let program = Program::compile(rule).unwrap();
        let quick = holds(program.expression(), &node, &value);
        assert_eq!(quick.map(Cel::Bool), program.execute(Scope::new(&node, &value).context()).ok(), "{rule}");
    }
}

#[test]
fn what_is_not_plain_has_no_quick_answer() {
    let node = Node { open: true, ..Node::default() };
    let value = json!({ "a": 1.5, "b": "é", "c": [] });
    for rule in [
        "self.z == 1",
        "self.a > 1.0",
        "size(self.b) == 1",
        "self.c[0] == 1",
        "isURL(self.b)",
        "self.b == 1",
        "self.b + 'x' == 'éx'",
        "self.c == []",
        "self.b.z == 1",
    ] {
        assert_eq!(holds(Program::compile(rule).unwrap().expression(), &node, &value), None, "{rule}");
    }
}
