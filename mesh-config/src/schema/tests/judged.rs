//! What is said of objects that break a schema.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::{
    resource::Kind,
    schema::{self, cel::Written, defaults, tree::Node, verdict},
};

fn says(kind: Kind, spec: &Value, expected: Expect) {
    let object = json!({ "apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": { "name": "a" }, "spec": spec });
    let lines: Vec<String> = schema::check(kind, &object)
        .into_iter()
        .map(|finding| format!("{}: {} [{}]", finding.path, finding.rule, finding.remedy))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn everything_is_said_at_once() {
    says(
        Kind::ServiceEntry,
        &json!({
            "hosts": ["*", 5], "addresses": ["10.0.0.0/8"], "resolution": "DNS", "locaton": "MESH_INTERNAL",
            "ports": [{ "number": 80, "name": "a" }, { "number": 0, "name": "a" }, { "number": 70000 }],
            "endpoints": [{ "address": "unix://rel", "ports": { "-": 99999 } }], "workloadSelector": { "labels": { "a": "*" } },
        }),
        expect![[r#"
            spec.endpoints[0].address: UDS must be an absolute path or abstract socket [write unix:///path or unix://@name]
            spec.endpoints[0].ports.-: port must be between 1-65535 [set the number of a port]
            spec.endpoints[0].ports: port name must be valid [use letters, digits and inner dashes, less than 63]
            spec.endpoints[0]: UDS may not include ports [leave ports out, or give an IP address]
            spec.hosts[0]: hostname cannot be wildcard [name a host, or a domain as *.example.com]
            spec.hosts[1]: must be a string (type string), not a number [put it in quotes: "5"]
            spec.locaton: unknown field `locaton` [did you mean `location`?]
            spec.ports[1]: Duplicate value: {name: "a"} [remove it, or rename it]
            spec.ports[1].number: port must be between 1-65535 [set the number of a port]
            spec.ports[2].name: Required value: the field is missing [add `name`]
            spec.ports[2].number: port must be between 1-65535 [set the number of a port]
            spec.workloadSelector.labels.a: wildcard is not supported in selector [give the whole value]"#]],
    );
}

#[test]
fn a_rule_over_what_is_not_of_its_type_is_not_asked() {
    says(
        Kind::PeerAuthentication,
        &json!({ "selector": { "matchLabels": { "a": 1, "*": "" } }, "portLevelMtls": { "x": {} } }),
        expect![[r#"
            spec.portLevelMtls: port must be between 1-65535 (type conversion error from a text to int: string parse error: invalid digit found in string) [name each port by its number]
            spec.selector.matchLabels.a: must be a string (type string), not a number [put it in quotes: "1"]"#]],
    );
}

#[test]
fn one_of_several_fields() {
    says(
        Kind::DestinationRule,
        &json!({ "host": "a", "trafficPolicy": { "loadBalancer": { "simple": "RANDOM", "consistentHash": { "ringHash": {}, "maglev": {}, "useSourceIp": true } } } }),
        expect![[r#"
            spec.trafficPolicy.loadBalancer.consistentHash: only one of maglev, ringHash can be set, found maglev and ringHash [keep one of them]
            spec.trafficPolicy.loadBalancer: only one of consistentHash, simple can be set, found consistentHash and simple [keep one of them]"#]],
    );
}

#[test]
fn null_is_a_value_unless_it_is_allowed() {
    says(
        Kind::DestinationRule,
        &json!({ "host": null, "trafficPolicy": { "tls": { "insecureSkipVerify": null } } }),
        expect!["spec.host: must be a string (type string): found null [set it, or leave the field out]"],
    );
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    says(Kind::WorkloadEntry, &Value::Null, expect!["spec: must be a mapping (type object): found null [set it, or leave the field out]"]);
    assert_eq!(schema::check(Kind::WorkloadEntry, &json!([1])).len(), 1);
    assert_eq!(schema::check(Kind::WorkloadEntry, &json!({})).len(), 1);
    assert_eq!(schema::check(Kind::VirtualService, &json!({})), []);
}

/// A schema with what Istio's kinds have no use for.
fn node(schema: Value) -> Node {
    serde_json::from_value::<schema::tree::Written>(schema).unwrap().into()
}

fn of(schema: &Value, value: &Value) -> Vec<String> {
    let node = node(json!({ "type": "object", "properties": { "spec": schema } }));
    let object = json!({ "spec": value });
    let (object, _) = defaults::applied(&node, std::borrow::Cow::Borrowed(&object));
    verdict::violations(&node, &object)
        .into_iter()
        .map(|violation| format!("{}: {}", violation.finding.path, violation.finding.rule))
        .collect()
}

#[test]
fn bounds() {
    for (schema, good, bad) in [
        (json!({ "type": "integer", "format": "int32" }), json!(5.0), json!(3_000_000_000u64)),
        (json!({ "type": "integer" }), json!(5), json!(5.5)),
        (json!({ "type": "number", "minimum": 1, "exclusiveMinimum": true }), json!(1.5), json!(1)),
        (json!({ "type": "number", "multipleOf": 2 }), json!(4), json!(5)),
        (json!({ "type": "string", "maxLength": 2 }), json!("éé"), json!("abc")),
        (json!({ "type": "string", "pattern": "b$" }), json!("ab"), json!("ba")),
        (json!({ "type": "string", "pattern": "(" }), json!(null), json!("a pattern that is none matches nothing")),
        (json!({ "type": "string", "format": "byte" }), json!("YQ=="), json!("!")),
        (json!({ "type": "string", "format": "date-time" }), json!("2026-01-31T12:00:00Z"), json!("today")),
        (json!({ "type": "string", "format": "ipv4" }), json!("10.0.0.1"), json!("::1")),
        (json!({ "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" }), json!(["a", "b"]), json!(["a", "a"])),
        (json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }), json!(["a"]), json!(["a", "a"])),
        (
            json!({ "type": "object", "maxProperties": 1, "additionalProperties": { "type": "string" } }),
            json!({ "a": "" }),
            json!({ "a": "", "b": "" }),
        ),
        (json!({ "type": "string", "not": { "enum": ["a"] } }), json!("b"), json!("a")),
        (json!({ "type": "string", "anyOf": [{ "maxLength": 1 }, { "pattern": "^x" }] }), json!("xyz"), json!("abc")),
        (json!({ "x-kubernetes-int-or-string": true }), json!("5"), json!(true)),
        (json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }), json!({ "a": { "b": 1 } }), json!([])),
    ] {
        if !good.is_null() {
            assert_eq!(of(&schema, &good), Vec::<String>::new(), "{schema}");
        }
        assert_eq!(of(&schema, &bad).len(), 1, "{schema}: {bad}");
    }
}

#[test]
fn a_default_is_there_before_rules_are_asked() {
    let schema = json!({
        "type": "object",
        "properties": {
            "mode": { "type": "string", "default": "A" },
            "inner": { "type": "object", "default": {}, "properties": { "n": { "type": "integer", "default": 1 } } },
        },
        "x-kubernetes-validations": [{ "rule": "self.mode == 'A' && self.inner.n == 1" }],
    });
    assert_eq!(of(&schema, &json!({})), Vec::<String>::new());
    assert_eq!(of(&schema, &json!({ "mode": null, "inner": { "n": 1 } })), Vec::<String>::new());
    assert_eq!(of(&schema, &json!({ "mode": "B" })), ["spec: failed rule: self.mode == 'A' && self.inner.n == 1"]);
}

#[test]
fn rules_speak_for_themselves() {
    let rule = |fields: Value| {
        let mut rule = json!({ "rule": "self.a == 'x'", "message": "a must be x" });
        rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let _: Written = serde_json::from_value(rule.clone()).unwrap();
        let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "x-kubernetes-validations": [rule] });
        of(&schema, &json!({ "a": "y" }))
    };
    assert_eq!(rule(json!({})), ["spec: a must be x"]);
    assert_eq!(rule(json!({ "fieldPath": ".a" })), ["spec.a: a must be x"]);
    assert_eq!(rule(json!({ "messageExpression": "'not ' + self.a" })), ["spec: not y"]);
    assert_eq!(rule(json!({ "messageExpression": "self.b" })), ["spec: a must be x"]);
    assert_eq!(rule(json!({ "rule": "self.a == oldSelf.a" })), Vec::<String>::new(), "only on update");
    assert_eq!(rule(json!({ "rule": "((" })), ["spec: a must be x (it is no CEL)"]);
    assert_eq!(rule(json!({ "rule": "self.a" })), ["spec: a must be x (it gives a string)"]);
    assert_eq!(rule(json!({ "rule": "int(self.a) > 1" })).len(), 1);
}

/// Names that are CEL's own words, and names with an underscore, as Kubernetes spells them.
#[test]
fn fields_with_odd_names() {
    let schema = json!({
        "type": "object",
        "properties": { "namespace": { "type": "string" }, "a_b": { "type": "string" }, "c-d": { "type": "string" } },
        "x-kubernetes-validations": [{ "rule": "self.__namespace__ == 'x' && has(self.a_b) && self.c__dash__d == 'y'" }],
    });
    assert_eq!(of(&schema, &json!({ "namespace": "x", "a_b": "", "c-d": "y" })), Vec::<String>::new());
}
