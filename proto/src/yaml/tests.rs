//! The reader against tables of what Kubernetes makes of a text, and against generated text.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn json_of(text: &str) -> serde_json::Value {
    parse_one(text).unwrap().root.to_json()
}

fn error_of(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn scalars_are_read_as_kubernetes_reads_them() {
    let cases = [
        ("yes", json!(true)),
        ("Yes", json!(true)),
        ("YES", json!(true)),
        ("yEs", json!("yEs")),
        ("y", json!(true)),
        ("N", json!(false)),
        ("on", json!(true)),
        ("Off", json!(false)),
        ("true", json!(true)),
        ("TRUE", json!(true)),
        ("tRue", json!("tRue")),
        ("no", json!(false)),
        ("'yes'", json!("yes")),
        ("\"on\"", json!("on")),
        ("!!str yes", json!("yes")),
        ("! 12", json!("12")),
        ("~", json!(null)),
        ("null", json!(null)),
        ("NULL", json!(null)),
        ("nULL", json!("nULL")),
        ("''", json!("")),
        ("0", json!(0)),
        ("10", json!(10)),
        ("-10", json!(-10)),
        ("+10", json!(10)),
        ("0777", json!(511)),
        ("0o777", json!(511)),
        ("-0o17", json!(-15)),
        ("0x1F", json!(31)),
        ("-0x1f", json!(-31)),
        ("0b101", json!(5)),
        ("1_000", json!(1000)),
        ("0x_1", json!(1)),
        ("08", json!(8)),
        ("0_7", json!(7)),
        ("9223372036854775807", json!(i64::MAX)),
        ("9223372036854775808", json!(9_223_372_036_854_775_808_u64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("+.5", json!(0.5)),
        ("1.", json!(1)),
        ("1.0", json!(1)),
        ("1e3", json!(1000)),
        ("1E-2", json!(0.01)),
        ("1_0.5", json!(10.5)),
        (".5_0", json!(".5_0")),
        ("1e400", json!("1e400")),
        ("1e", json!("1e")),
        (".", json!(".")),
        ("+-5", json!("+-5")),
        ("0x", json!("0x")),
        ("0x-1", json!("0x-1")),
        ("-", json!([null])),
        ("--5", json!("--5")),
        ("_1", json!("_1")),
        ("0o8", json!("0o8")),
        ("1.2.3", json!("1.2.3")),
        ("60:30", json!("60:30")),
        ("190:20:30", json!("190:20:30")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("5s", json!("5s")),
        (".inf", json!("Infinity")),
        ("-.INF", json!("-Infinity")),
        (".NaN", json!("NaN")),
        ("+.inf", json!("Infinity")),
        ("2001-12-14", json!("2001-12-14")),
        ("2001-12-14T21:59:43Z", json!("2001-12-14T21:59:43Z")),
        ("!!float 3", json!(3)),
        ("!!int 0x10", json!(16)),
        ("!!bool on", json!(true)),
        ("!!null ~", json!(null)),
        ("!!timestamp 2001-01-01", json!("2001-01-01")),
        ("|\n  a\n  b\n", json!("a\nb\n")),
        (">-\n  a\n  b\n", json!("a b")),
    ];
    for (text, expected) in cases {
        assert_eq!(json_of(text), expected, "{text}");
        if !text.starts_with(['!', '|', '>', '-']) {
            assert_eq!(json_of(&format!("[{text}]")), json!([expected]), "[{text}]");
        }
    }
}

#[test]
fn keys_are_text() {
    assert_eq!(json_of("8080: a\nyes: b\n1.50: c\n'2': d\n0x10: e"), json!({"8080": "a", "true": "b", "1.5": "c", "2": "d", "16": "e"}));
    for text in ["~: a", "[a]: b", "{a: b}: c", ".nan: a", "? \n: a"] {
        assert!(matches!(parse(text).unwrap_err().kind, ErrorKind::Key { .. }), "{text}");
    }
}

#[test]
fn positions_are_the_users() {
    let text = "a: 1\nbé:\n  - x: ü\n    w: {p: 1,\n      q: 2}\nc:\nd: |\n  t\n";
    let document = parse_one(text).unwrap();
    let slice = |span: Span| text.get(span.offset..span.end()).unwrap();
    let list = document.root.as_mapping().unwrap().entry("bé").unwrap();
    assert_eq!((list.key_span.line, list.key_span.column, slice(list.key_span)), (2, 1, "bé"));
    let item = &list.value.as_sequence().unwrap()[0];
    assert_eq!(item.get("x").map(|x| (x.span.line, x.span.column, slice(x.span))), Some((3, 8, "ü")));
    assert_eq!(slice(item.get("w").unwrap().span), "{p: 1,\n      q: 2}");
    assert!(slice(item.span).starts_with("x: ü") && slice(item.span).ends_with("q: 2}"));
    let empty = document.root.as_mapping().unwrap().entry("c").unwrap();
    assert_eq!((empty.value.is_null(), empty.value.span), (true, empty.key_span));
    let block = document.root.as_mapping().unwrap().entry("d").unwrap();
    assert_eq!(block.key_span.line, 7);
    assert_eq!(block.value.as_str(), Some("t\n"));
}

#[test]
fn several_documents_and_empty_ones() {
    let documents = parse("# comment\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
    let values: Vec<_> = documents.iter().map(|document| document.root.to_json()).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(documents[1].root.span.line, 8);
    assert_eq!(parse("").unwrap(), []);
    assert!(error_of_one("a: 1\n---\nb: 2").contains("found 2"));
}

fn error_of_one(text: &str) -> String {
    parse_one(text).unwrap_err().to_string()
}

#[test]
fn merges() {
    let text = "base: &b {x: 1, w: 1}\nother: &o {w: 2, z: 2}\none: {<<: *b, w: 9}\ntwo:\n  <<: [*b, *o]\n  z: 7\ntext: {'<<': 1}\n";
    let value = json_of(text);
    assert_eq!(value["one"], json!({"x": 1, "w": 9}));
    assert_eq!(value["two"], json!({"x": 1, "w": 1, "z": 7}));
    assert_eq!(value["text"], json!({"<<": 1}));
    assert!(error_of("a: {<<: 5}").contains("merges a mapping"));
    assert!(error_of("b: &b {}\na: {<<: *b, <<: *b}").contains("\"<<\" is set twice"));
}

#[test]
fn aliases_are_bounded() {
    assert_eq!(json_of("a: &x [1, *y]\n".replace(", *y", "").as_str()), json!({"a": [1]}));
    assert_eq!(json_of("a: &x {b: 1}\nc: *x\n"), json!({"a": {"b": 1}, "c": {"b": 1}}));
    assert!(error_of("a: *nope").contains("line 1, column 4"));
    assert!(matches!(parse("&a [*a]").unwrap_err().kind, ErrorKind::RecursiveAlias));
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 9].join(", ")));
    }
    assert!(matches!(parse(&laughs).unwrap_err().kind, ErrorKind::TooLarge));
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(matches!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().kind, ErrorKind::TooDeep));
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&"- ".repeat(100_000)).is_err());
    let by_alias = format!("a: &a {}\nb: {}*a{}", nested(100), "[".repeat(100), "]".repeat(100));
    assert!(matches!(parse(&by_alias).unwrap_err().kind, ErrorKind::TooDeep));
}

#[test]
fn mistakes_say_where_and_how_to_mend() {
    assert_eq!(error_of("a: 1\nb: 2\na: 3\n"), "line 3, column 1: key \"a\" is set twice, first on line 1, column 1; remove one of them");
    assert_eq!(error_of("1: a\n'1': b"), "line 2, column 1: key \"1\" is set twice, first on line 1, column 1; remove one of them");
    assert_eq!(error_of("a: !custom 1"), "line 1, column 4: tag !custom is not supported; remove it");
    assert_eq!(error_of("a: !!binary aGk="), "line 1, column 4: tag !!binary is not supported; remove it");
    assert_eq!(error_of("a: !!int x"), "line 1, column 4: \"x\" is not of type !!int");
    assert!(error_of("a: !!set {b}").contains("tag !!set"));
    assert!(error_of("a: b\0c: d").starts_with("line 1, column 5: control character"));
    assert!(error_of("a: [1, 2\nb: 3").starts_with("line 2"));
    assert!(error_of("a:\n\t- b").starts_with("line 2"));
    let error = parse_bytes(b"a: 1\nb: \xff").unwrap_err();
    assert_eq!((error.span.line, error.span.column, error.span.offset), (2, 4, 8));
}

#[test]
fn byte_order_marks_and_windows_line_ends() {
    let text = "\u{feff}a: 1\r\nb:\r\n  - x\r\n  - \"y\r\n    z\"\r\n";
    let document = parse_one(text).unwrap();
    assert_eq!(document.root.to_json(), json!({"a": 1, "b": ["x", "y z"]}));
    let list = document.root.get("b").unwrap().as_sequence().unwrap();
    assert_eq!((list[0].span.line, list[0].span.column), (3, 5));
    assert_eq!(&text[list[0].span.offset..list[0].span.end()], "x");
    assert_eq!(document.root.as_mapping().unwrap().entry("a").unwrap().key_span.column, 1);
}

#[test]
fn json_is_read() {
    let text = r#"{"a\/b": "\ud83d\ude00\\ud83d\ude00 \u00e9\n", "list": [1, -2.5, 1e2, true, null, {}, []], "x": "y"}"#;
    assert_eq!(
        json_of(&text.replace("\\\\ud83d\\ude00", "")),
        serde_json::from_str::<serde_json::Value>(&text.replace("\\\\ud83d\\ude00", "").replace("1e2", "100")).unwrap()
    );
    let document = parse_one(r#"{"a": "\ud83d\ude00", "b": 1}"#).unwrap();
    let b = document.root.as_mapping().unwrap().entry("b").unwrap();
    assert_eq!((b.key_span.column, b.key_span.offset, b.key_span.len), (23, 22, 3));
    assert_eq!(json_of("{\n\t\"a\": 1,\n\t\"b\": [\n\t\t2\n\t]\n}"), json!({"a": 1, "b": [2]}));
    let long = "k".repeat(3000);
    assert_eq!(json_of(&format!("{{\"{long}\": 1}}")), json!({ long: 1 }));
    // Not JSON, so a backslash in single quotes stays as it is.
    assert_eq!(json_of(r"{a: '\ud83d\ude00'}"), json!({"a": r"\ud83d\ude00"}));
}

fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(|value: f64| scalar::float_to_json(value)),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..8)
                .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn json_round_trips(value in arbitrary_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(json_of(&text), value);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_yaml_like_text_panics(text in "([-:?,\\[\\]{}&*!|>'\"%@`#~<a0 \n\r\t]|---|\\.\\.\\.|<<|: |- |&a |\\*a|!!int |é|\u{feff}){0,60}") {
        if let Ok(documents) = parse(&text) {
            for document in documents {
                check_spans(&document.root, &text);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse_bytes(&bytes);
    }
}

/// Every span is a stretch of the text.
fn check_spans(node: &Node, text: &str) {
    assert!(text.get(node.span.offset..node.span.end()).is_some(), "{:?}", node.span);
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| check_spans(item, text)),
        Value::Mapping(mapping) => mapping.iter().for_each(|entry| {
            assert!(text.get(entry.key_span.offset..entry.key_span.end()).is_some());
            check_spans(&entry.value, text);
        }),
        _ => {}
    }
}

#[test]
fn flow_collections_may_stand_to_the_left() {
    let text = "kind: ConfigMap\ndata: {\n\"é\": [\n  1,\n2\n],\n\"b\": x\n}\nlast: 1\n";
    let document = parse_one(text).unwrap();
    assert_eq!(document.root.to_json(), serde_json::json!({"kind": "ConfigMap", "data": {"é": [1, 2], "b": "x"}, "last": 1}));
    let data = document.root.get("data").unwrap();
    let two = &data.get("é").unwrap().as_sequence().unwrap()[1];
    assert_eq!((two.span.line, two.span.column, &text[two.span.offset..two.span.end()]), (5, 1, "2"));
    let x = data.get("b").unwrap();
    assert_eq!((x.span.line, x.span.column), (7, 6));
    assert_eq!(document.root.get("last").unwrap().span.line, 9);
    // What is wrong after that is still shown where it stands.
    let error = parse_one("data: {\n}\na: b\na: c\n").unwrap_err();
    assert_eq!((error.span.line, error.span.column), (4, 1));
}

#[test]
fn moving_lines_is_bounded() {
    let text = format!("a: [\n{}]\n", "1,\n".repeat(100_000));
    assert!(parse(&text).is_err());
}
