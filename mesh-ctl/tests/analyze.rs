//! `meshctl analyze` and `validate` as people call them: what they print, where they point, how they exit.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn meshctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshctl")).args(arguments).current_dir(repository()).output().expect("meshctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `CODE Kind ns/name field` of each message.
fn told(output: &Output) -> Vec<String> {
    let records: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let field = |record: &Value, name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut told: Vec<String> = records
        .iter()
        .map(|record| format!("{} {} {}", field(record, "code"), field(record, "origin"), field(record, "fieldPath")))
        .collect();
    told.sort();
    told
}

#[test]
fn the_samples_are_clean() {
    let output = meshctl(&["analyze", "deploy/samples"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("\u{2714} No validation issues found"));
    assert_eq!(meshctl(&["validate", "-f", "deploy/samples/shop"]).status.code(), Some(0));
}

#[test]
fn each_broken_file_gets_exactly_the_messages_that_it_says() {
    assert_eq!(mesh_deploy::BROKEN.len(), 20);
    let mut all = Vec::new();
    for file in mesh_deploy::BROKEN {
        let mut expected: Vec<String> = file.text.lines().filter_map(|line| line.strip_prefix("# expect: ")).map(str::to_owned).collect();
        expected.sort();
        assert!(!expected.is_empty(), "{} does not say what is expected", file.name);
        let path = format!("deploy/broken/{}", file.name);
        let output = meshctl(&["analyze", "-o", "json", "--failure-threshold", "info", &path]);
        if let [unread] = expected.as_slice()
            && let Some(reason) = unread.strip_prefix("unread ")
        {
            assert_eq!(output.status.code(), Some(65), "{path}");
            assert!(text(&output.stderr).contains(reason), "{path}");
            continue;
        }
        assert_eq!(told(&output), expected, "{path}");
        assert_eq!(output.status.code(), Some(79), "{path}");
        all.extend(expected);
    }
    // One file's mistake hides nothing of another's.
    all.sort();
    assert_eq!(told(&meshctl(&["analyze", "-o", "json", "deploy/broken"])), all);
}

#[test]
fn text_points_into_the_file_and_ends_with_a_summary() {
    let output = meshctl(&["analyze", "deploy/broken/05-field-misspelt.yaml"]);
    let text = text(&output.stdout);
    for part in [
        "Error [IST0106] (VirtualService broken-05/reviews) ",
        "--> deploy/broken/05-field-misspelt.yaml:9:7",
        "9 |     - timeOut: 5s",
        "  |       ^^^^^^^",
        "did you mean `timeout`?",
        "1 error in 1 file",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn exit_codes_are_istioctls() {
    let warning = "deploy/broken/10-wide-before-narrow.yaml";
    for (arguments, code) in [
        (&["analyze", warning][..], 0),
        (&["analyze", "--failure-threshold=Warning", warning], 79),
        (&["analyze", "--failure-threshold=Warning", "-S", "MESH0002=VirtualService reviews.broken-10", warning], 0),
        (&["analyze", "--failure-threshold=Warning", "-n", "elsewhere", warning], 0),
        (&["analyze", "-A", "-R", "--use-kube=false", warning], 0),
        (&["analyze", "-L"], 0),
        (&["analyze", "deploy/broken/07-tab.yaml"], 65),
        (&["analyze", "--ignore-unknown", "deploy/broken/07-tab.yaml"], 0),
        (&["analyze"], 64),
        (&["analyze", "--wrong", warning], 64),
        (&["analyze", "--analyzer", "none.Such", warning], 64),
        (&["analyze", "-S", "nonsense", warning], 64),
        (&["analyze", "no/such/file.yaml"], 1),
        (&["validate", "-f", warning], 0),
        (&["validate", "-f", "deploy/broken/05-field-misspelt.yaml"], 1),
        (&["validate", "-f", "deploy/broken/07-tab.yaml"], 65),
        (&["validate"], 64),
    ] {
        let output = meshctl(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn standard_input_and_the_thresholds() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(["analyze", "-o", "log", "--output-threshold", "error", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("meshctl runs");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{name: web, port: 80}]}\n";
    let other = service.replace("web", "http").replace("name: a", "name: A");
    child.stdin.take().expect("a pipe").write_all(format!("{service}---\n{other}").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.starts_with("Error [IST0106] (Service default/A -:"), "{lines}");
}
