//! For tests: files in, lines out.

#![cfg(test)]

use super::{Options, Set};

/// Runs one analyzer over files (with the default ingress gateway) and compares `CODE Kind ns/name:line field` of what it says, in order.
pub(super) fn check(analyzer: &str, files: &[&str], expected: &[&str]) {
    assert_eq!(run(analyzer, files), expected);
}

/// What [`check`] compares.
pub(super) fn run(analyzer: &str, files: &[&str]) -> Vec<String> {
    let options = Options { analyzers: vec![analyzer.to_owned()], ..Options::default() };
    let mut set = Set::default();
    for (number, file) in files.iter().enumerate() {
        set.read(&format!("{number}.yaml"), file.as_bytes());
    }
    assert!(set.unread().is_empty(), "the input does not parse: {:?}", set.unread());
    set.add_default_resources(&options.root_namespace);
    assert!(super::ALL.iter().chain(super::ON_REQUEST).any(|known| known.name == analyzer), "no analyzer is named {analyzer}");
    let mut places = super::Places::new(&set);
    let line = |message: &super::Message| {
        let diagnostic = places.diagnostic(message);
        let line = diagnostic.as_ref().map_or_else(String::new, |diagnostic| format!(":{}", diagnostic.line));
        let subject = message.subject.as_ref().map(|subject| format!(" {subject}{line}")).unwrap_or_default();
        format!("{}{subject} {}", message.code.id, message.field_path()).trim_end().to_owned()
    };
    super::run(&set, &options).iter().map(line).collect()
}
