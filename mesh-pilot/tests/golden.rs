//! Golden tests: `golden/NAME.in.yaml` (Istio's YAML, as users write it) and, in its comments, which proxies ask and what is shown of their configuration;
//! `golden/NAME.out.yaml` is what they get. `UPDATE_EXPECT=1 cargo test -p mesh-pilot --test golden` writes the answers anew.
//!
//! ```yaml
//! # proxy {"id": "sidecar~…", "metadata": {…}}
//! # show lds 127
//! # setting access_log_file /dev/stdout
//! ```
#![allow(clippy::unwrap_used)]

mod case;

use std::fs;

use mesh_proto::{json, type_url};
use serde_json::Value;

const TYPES: [(&str, &str); 4] =
    [("cds", type_url::CLUSTER), ("eds", type_url::ENDPOINT), ("lds", type_url::LISTENER), ("rds", type_url::ROUTE)];

#[test]
fn golden() {
    let mut wrong = Vec::new();
    for case in case::files() {
        let input = fs::read_to_string(&case).unwrap();
        let answer = answer(&input, &case.to_string_lossy());
        let expected = case.with_file_name(case.file_name().unwrap().to_string_lossy().replace(".in.yaml", ".out.yaml"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &answer).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != answer {
            wrong.push(format!("{}\n{}", case.display(), first_difference(&fs::read_to_string(&expected).unwrap_or_default(), &answer)));
        }
    }
    assert!(wrong.is_empty(), "answers changed (UPDATE_EXPECT=1 takes them over):\n{}", wrong.join("\n"));
}

/// What the proxies of a case get, as YAML.
fn answer(input: &str, name: &str) -> String {
    let mut text = String::new();
    for proxy in case::proxies(input, name) {
        text.push_str(&format!("---\nproxy: {:?}\n", proxy.id));
        if let Some(secrets) = proxy.snapshot.resources(type_url::SECRET) {
            let names: Vec<String> = secrets.keys().map(ToString::to_string).collect();
            text.push_str(&format!("sds: {}\n", serde_json::to_string(&names).unwrap()));
        }
        for (short, url) in TYPES {
            let Some(resources) = proxy.snapshot.resources(url) else { continue };
            let names: Vec<String> = resources.keys().map(ToString::to_string).collect();
            text.push_str(&format!("{short}: {}\n", serde_json::to_string(&names).unwrap()));
            for resource in resources.values() {
                if proxy.shows.iter().any(|(kind, prefix)| kind == short && resource.name.starts_with(prefix)) {
                    text.push_str(&format!("# {}\n", resource.name));
                    yaml(&Value::Array(vec![json::encode_any(&resource.body)]), 0, &mut text);
                }
            }
        }
    }
    text
}

/// Block style; scalars as JSON writes them.
fn yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            for (key, value) in fields {
                out.push_str(&format!("{pad}{key}:"));
                inline(value, indent + 2, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_leaf(item) {
                    out.push_str(&format!("{pad}- {item}\n"));
                } else {
                    let start = out.len();
                    yaml(item, indent + 2, out);
                    out.replace_range(start + indent..start + indent + 1, "-");
                }
            }
        }
        leaf => out.push_str(&format!("{pad}{leaf}\n")),
    }
}

fn inline(value: &Value, indent: usize, out: &mut String) {
    if is_leaf(value) {
        out.push_str(&format!(" {value}\n"));
    } else {
        out.push('\n');
        yaml(value, indent, out);
    }
}

/// Scalars, empty containers, and short lists of scalars.
fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

fn first_difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let at = expected.iter().zip(&actual).position(|(a, b)| a != b).unwrap_or(expected.len().min(actual.len()));
    let around = |lines: &[&str]| lines.iter().skip(at.saturating_sub(4)).take(10).copied().collect::<Vec<_>>().join("\n");
    format!("line {}\nexpected:\n{}\nactual:\n{}", at + 1, around(&expected), around(&actual))
}
