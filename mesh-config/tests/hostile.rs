//! Input that means harm, or that something went wrong with on its way: each is answered with a message that says what and where, in bounded time
//! and memory, and what is right in the same file is taken.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use mesh_config::{
    load::{Loaded, documents},
    resource::Kind,
};

const GOOD: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: good}\nspec: {ports: [{port: 80, name: http}]}\n";

fn load(bytes: impl AsRef<[u8]>) -> Loaded {
    documents("hostile.yaml", bytes.as_ref())
}

/// The first error's message, and where it is.
fn error(loaded: &Loaded) -> (String, usize) {
    let error = loaded.diagnostics.iter().find(|diagnostic| diagnostic.is_error()).expect("there is an error");
    (error.message.clone(), error.line)
}

#[test]
fn a_half_written_file_never_passes_for_another() {
    let whole = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: half, namespace: shop}\nspec:\n  hosts: [a.example]\n  http:\n  - route:\n    - destination: {host: b.example}\n";
    for end in 0..whole.len() {
        let loaded = load(&whole[..end]);
        // Cut within the last value it is a whole object that says less; before that it must not be one.
        let within_the_rule = end > whole.find("- destination").unwrap();
        assert!(within_the_rule || loaded.objects.is_empty(), "{end}: {:?}", loaded.objects);
        let silent = loaded.objects.is_empty() && loaded.diagnostics.is_empty();
        assert!(!silent || whole[..end].trim().is_empty(), "{end} is passed over in silence");
    }
}

#[test]
fn what_is_half_written_keeps_what_was_there() {
    // As long as the kind and the name can be read, exactly that object is kept; before that, whatever the file held.
    let named = load("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny, namespace: shop}\nspec: {rul");
    assert!(named.unidentified || named.refused.iter().any(|(kind, key)| *kind == Kind::AuthorizationPolicy && key.name == "deny"));
    assert!(load("apiVersion: security.istio.io/v1\nkind: Autho").unidentified);
}

#[test]
fn anchors_do_not_explode() {
    let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let below = level - 1;
        let aliases = vec![format!("*a{below}"); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let (message, line) = error(&load(format!("{bomb}---\n{GOOD}")));
    assert!(message.contains("alias") || message.contains("anchor"), "{message}");
    assert!(line <= 12, "{line}");
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let deep =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: deep}}\ndata: {}{}\n", open.repeat(20_000), close.repeat(20_000));
        assert!(load(&deep).has_errors());
    }
    let indented: String = (0..5_000).fold(String::new(), |mut text, depth| {
        let _ = writeln!(text, "{}a:", " ".repeat(depth));
        text
    });
    assert!(load(indented).has_errors());
}

#[test]
fn a_key_counts_once() {
    let twice = GOOD.replace("metadata: {name: good}", "metadata: {name: good}\nmetadata: {name: other}");
    let (message, line) = error(&load(twice));
    assert!(message.contains("metadata"), "{message}");
    assert_eq!(line, 4);
}

#[test]
fn json_and_yaml_may_be_mixed() {
    let json =
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "json"}, "spec": {"ports": [{"port": 80, "name": "http"}]}}"#;
    let loaded = load(format!("{GOOD}---\n{json}\n---\n{}", GOOD.replace("good", "yaml")));
    assert_eq!(loaded.objects.len(), 3, "{:?}", loaded.diagnostics);
    // One after the other without `---` is neither.
    assert!(load(format!("{json}\n{GOOD}")).has_errors());
}

#[test]
fn windows_files_are_files() {
    let loaded = load(format!("\u{feff}{}", format!("{GOOD}---\n{}", GOOD.replace("good", "second")).replace('\n', "\r\n")));
    assert_eq!(loaded.objects.len(), 2, "{:?}", loaded.diagnostics);
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(GOOD.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert!(load(utf16).has_errors());
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let mut bytes = GOOD.as_bytes().to_vec();
    let at = GOOD.find("good").unwrap();
    bytes.splice(at..=at, [0xff, 0xfe]);
    let (message, line) = error(&load(&bytes));
    assert!(message.to_lowercase().contains("utf-8"), "{message}");
    assert_eq!(line, 3);
    assert!(load(b"\0\0\0\0").has_errors());
}

#[test]
fn a_wrong_version_or_kind_says_which_is_right() {
    for (from, to, said) in [
        ("apiVersion: v1", "apiVersion: v2", "v1"),
        ("apiVersion: v1", "apiVersion: networking.istio.io/v1", "apiVersion: v1"),
        ("kind: Service", "kind: Servce", "Service"),
        ("apiVersion: v1\n", "", "apiVersion"),
    ] {
        let loaded = load(GOOD.replace(from, to));
        let text = loaded.diagnostics.iter().map(ToString::to_string).collect::<String>();
        assert!(text.contains(said), "{to}: {text}");
        assert!(loaded.objects.is_empty());
    }
}

#[test]
fn long_lines_and_names_do_not_flood_the_terminal() {
    let name = "x".repeat(1 << 20);
    let loaded = load(GOOD.replace("good", &name));
    assert!(loaded.objects.is_empty());
    let printed: usize = loaded.diagnostics.iter().map(|diagnostic| diagnostic.to_string().len()).sum();
    assert!(printed < 4096, "{printed} bytes");
}

#[test]
fn a_thousand_mistakes_are_a_thousand_short_messages() {
    let mut text = String::new();
    for index in 0..1_000 {
        text.push_str(&GOOD.replace("good", &format!("s-{index}")).replace("port: 80", "port: eighty"));
        text.push_str("---\n");
    }
    let loaded = load(text);
    assert_eq!(loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count(), 1_000);
    assert_eq!(loaded.refused.len(), 1_000);
    assert!(loaded.diagnostics.iter().all(|diagnostic| diagnostic.to_string().len() < 1024));
}

#[test]
fn many_objects_are_many_objects() {
    let mut text = String::new();
    for index in 0..5_000 {
        text.push_str(&GOOD.replace("good", &format!("s-{index}")));
        text.push_str("---\n");
    }
    let loaded = load(text);
    assert_eq!(loaded.objects.len(), 5_000);
    assert!(!loaded.has_errors());
}
