//! What tests of a kind need: a fragment of YAML in, findings out; and that what is in order survives being written.

use expect_test::Expect;

use super::{Kind, Resource};
use crate::load;

/// Loads one object of `kind` and prints `severity path: message` for each finding.
pub(super) fn check(kind: Kind, spec: &str, expected: &Expect) {
    let head = format!("{{apiVersion: {}, kind: {kind}, metadata: {{name: a}}, ", kind.api_version());
    let yaml = format!("{head}spec: {{{spec}}}}}");
    let loaded = load::documents("a.yaml", yaml.as_bytes());
    let lines = loaded.diagnostics.iter().map(|d| {
        // What is missing is to be written: that needs no saying.
        let mends = d.suggestion.is_some() || d.expected.is_some() || d.message.starts_with("Required value");
        assert!(mends, "it is not said how to mend `{}`", d.message);
        format!("{} {}: {}\n", d.severity, d.field_path, d.message)
    });
    expected.assert_eq(&lines.collect::<String>());
    assert_eq!(loaded.objects.is_empty(), loaded.has_errors(), "an error refuses the object, a warning does not");
    for object in loaded.objects {
        let again = Resource::from_json(kind, &object.resource.to_json());
        assert_eq!(again.ok(), Some(object.resource), "what is written reads back");
    }
}
