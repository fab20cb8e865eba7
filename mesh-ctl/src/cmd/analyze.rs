//! `meshctl analyze`: Istio's analyzers and ours over files, without a cluster.

mod output;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use clap::{Args as ClapArgs, ValueEnum};
use mesh_config::{
    analyze::{self, Analyzer, Level, Message, Options, Set, Suppression},
    resource::{DEFAULT_NAMESPACE, MeshConfig},
};
use mesh_proto::yaml;
use serde_json::Value;

use self::output::Report;
use super::{exit, input, say};
use crate::{mesh::layout, up};

/// Arguments of `meshctl analyze`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit codes: 0 nothing at or above the threshold; 64 usage; 65 something could not be parsed; 79 something was found.
To leave out what is meant so: the annotation galley.istio.io/analyze-suppress: IST0101,MESH0003 (or \"*\") on the object, or -S."
)]
pub struct Args {
    /// Files (.json, .yaml, .yml), folders, or - for standard input
    #[arg(value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// The namespace of objects that name none; report only about this namespace
    #[arg(short, long, conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// Report about all namespaces (as without -n)
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// The control plane's namespace
    #[arg(
        short = 'i',
        long = "istioNamespace",
        visible_alias = "istio-namespace",
        default_value = "istio-system",
        value_name = "NAMESPACE"
    )]
    istio_namespace: String,
    /// text: with the place in the file; log: one line a message, as istioctl prints it
    #[arg(short, long, value_enum, default_value_t = Output::Text, ignore_case = true)]
    output: Output,
    /// The mildest level that fails
    #[arg(long, value_enum, default_value_t = Threshold::Error, ignore_case = true, value_name = "LEVEL")]
    failure_threshold: Threshold,
    /// The mildest level that is shown
    #[arg(long, value_enum, default_value_t = Threshold::Info, ignore_case = true, value_name = "LEVEL")]
    output_threshold: Threshold,
    /// Leave out a message about an object: CODE="Kind name.namespace", where * stands for any text
    #[arg(short = 'S', long = "suppress", value_name = "CODE=RESOURCE")]
    suppress: Vec<String>,
    /// Folders are always read with all below them; kept for scripts
    #[arg(short = 'R', long, hide = true)]
    recursive: bool,
    /// List the analyzers and stop
    #[arg(short = 'L', long)]
    list_analyzers: bool,
    /// Run only this analyzer
    #[arg(long = "analyzer", value_name = "NAME")]
    analyzers: Vec<String>,
    /// What cannot be parsed is shown and does not fail
    #[arg(long)]
    ignore_unknown: bool,
    /// The mesh's settings, as the `mesh` key of Istio's ConfigMap has them
    #[arg(long = "meshConfigFile", visible_alias = "mesh-config-file", value_name = "FILE")]
    mesh_config_file: Option<PathBuf>,
    /// The control plane's revision
    #[arg(short, long, default_value = "default")]
    revision: String,
    /// Colours; by default on a terminal
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    color: Option<bool>,
    /// No colours
    #[arg(long, conflicts_with = "color")]
    no_color: bool,
    /// Say what was analysed and by whom
    #[arg(short, long)]
    verbose: bool,
    /// For scripts: only `false` is possible, clusters are not read
    #[arg(short = 'k', long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    use_kube: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Log,
    Json,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Threshold {
    Info,
    Warning,
    Error,
}

impl Threshold {
    fn level(self) -> Level {
        match self {
            Self::Info => Level::Info,
            Self::Warning => Level::Warning,
            Self::Error => Level::Error,
        }
    }
}

/// Analyses, prints, and says how it went.
///
/// # Errors
/// When a file cannot be read or the output not be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.list_analyzers {
        return list().map(|()| ExitCode::SUCCESS);
    }
    let options = match options(args) {
        Ok(options) => options,
        Err(why) => {
            say(&format!("meshctl analyze: {why}"));
            return Ok(exit::USAGE.into());
        }
    };
    let mut set = Set::with_default_namespace(args.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE));
    if let Some(path) = &args.mesh_config_file {
        set.set_mesh_config(mesh_config_file(path)?);
    }
    let files = input::read(&args.paths, |name, bytes| read(&mut set, name, bytes))?;
    set.add_default_resources(&options.root_namespace);
    let messages = analyze::run(&set, &options);
    if args.verbose {
        tell(&set, &options, &files);
    }
    let shown: Vec<&Message> = messages.iter().filter(|message| message.level() >= args.output_threshold.level()).collect();
    let report = Report { set: &set, messages: &shown, files: &files, color: color(args) };
    report.print(args.output)?;
    if !args.verbose && matches!(args.output, Output::Text | Output::Log) {
        tell_skipped(&set, &options);
    }
    let fails = messages.iter().any(|message| message.level() >= args.failure_threshold.level());
    Ok(match fails {
        true => exit::FOUND.into(),
        false if !set.unread().is_empty() && !args.ignore_unknown => exit::DATA.into(),
        false => ExitCode::SUCCESS,
    })
}

/// Reads a file of objects; of a `mesh.yaml`, the Services that `meshctl up` makes of it.
fn read(set: &mut Set, name: &str, bytes: &[u8]) {
    set.read(name, bytes);
    let meshes = set.skipped().iter().filter(|skipped| *skipped.file == *name).count();
    if meshes == 0 {
        return;
    }
    let Ok(file) = up::read(Path::new(name)) else { return };
    let spec = file.spec(Duration::ZERO, 1);
    for document in yaml::parse(&layout::generated_yaml(&spec, &[])).unwrap_or_default() {
        set.assume(&document.root.to_json());
    }
}

/// What the arguments ask for, or why they make no sense.
fn options(args: &Args) -> Result<Options, String> {
    if args.use_kube == Some(true) {
        return Err("a cluster cannot be analysed yet: give files, such as the output of `kubectl get … -o yaml`".to_owned());
    }
    if args.paths.is_empty() {
        return Err("give files or folders to analyse, or - for standard input".to_owned());
    }
    let known = |name: &String| {
        analyze::ALL.iter().chain(analyze::ON_REQUEST).any(|analyzer| analyzer.name == name)
            || analyze::schema_analyzers().any(|schema| schema == *name)
    };
    if let Some(unknown) = args.analyzers.iter().find(|name| !known(name)) {
        return Err(format!("no analyzer is named `{unknown}`; -L lists them"));
    }
    let suppressions: Vec<Suppression> = args
        .suppress
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|error: analyze::InvalidSuppression| error.to_string())?;
    for suppression in suppressions.iter().filter(|suppression| analyze::code::find(&suppression.code).is_none()) {
        say(&format!("Warning: Supplied message code '{}' is an unknown message code and will not have any effect.", suppression.code));
    }
    Ok(Options {
        namespace: args.namespace.clone(),
        root_namespace: args.istio_namespace.clone(),
        revision: if args.revision == "default" { String::new() } else { args.revision.clone() },
        now: Some(SystemTime::now()),
        cluster: None,
        analyzers: args.analyzers.clone(),
        suppressions,
        files_only: true,
    })
}

fn mesh_config_file(path: &Path) -> Result<Value> {
    let mut config = Err(anyhow::anyhow!("it is empty"));
    input::read(&[path.to_owned()], |name, bytes| {
        let read = MeshConfig::parse(name, &String::from_utf8_lossy(bytes));
        config = read
            .map_err(|diagnostics| anyhow::anyhow!("{}", diagnostics.first().map(ToString::to_string).unwrap_or_default()))
            .and_then(|read| Ok(serde_json::to_value(&read.value)?));
    })?;
    config.with_context(|| format!("the mesh config {}", path.display()))
}

fn list() -> Result<()> {
    let mut names: Vec<(String, &str)> = analyze::ALL.iter().map(|analyzer| (analyzer.name.to_owned(), analyzer.about)).collect();
    names.extend(analyze::ON_REQUEST.iter().map(|analyzer| (analyzer.name.to_owned(), analyzer.about)));
    names.extend(analyze::schema_analyzers().map(|name| (name, "Checks a kind's schema and rules")));
    names.sort();
    names.dedup_by(|later, earlier| later.0 == earlier.0);
    let mut out = std::io::stdout().lock();
    for (name, about) in names {
        writeln!(out, "* {name}:\n    {about}")?;
    }
    Ok(())
}

fn tell(set: &Set, options: &Options, files: &[String]) {
    say(&format!("Analyzed {} objects of {} files", set.len(), files.len()));
    for skipped in set.skipped() {
        say(&format!("Skipped: {}:{} {}", skipped.file, skipped.line, skipped.message));
    }
    let (skipped, executed): (Vec<&Analyzer>, Vec<&Analyzer>) = asked(options).partition(|analyzer| analyze::skips(set, options, analyzer));
    for (what, analyzers) in [("Skipped analyzers (they look at pods, and no file has any):", skipped), ("Executed analyzers:", executed)] {
        say(what);
        analyzers.iter().for_each(|analyzer| say(&format!("\t{}", analyzer.name)));
    }
}

/// The analyzers that the options ask for.
fn asked(options: &Options) -> impl Iterator<Item = &'static Analyzer> {
    let names = &options.analyzers;
    analyze::ALL.iter().copied().filter(move |analyzer| names.is_empty() || names.iter().any(|name| name == analyzer.name))
}

/// What was not looked at must not pass for being in order.
fn tell_skipped(set: &Set, options: &Options) {
    let skipped = asked(options).filter(|analyzer| analyze::skips(set, options, analyzer)).count();
    if skipped > 0 && !set.is_empty() {
        say(&format!(
            "{skipped} analyzers look at pods and did not run, for no file has any: add what `kubectl get pods -A -o yaml` prints (-v lists them)."
        ));
    }
}

fn color(args: &Args) -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term.eq_ignore_ascii_case("dumb"))
        || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match args.color {
        _ if args.no_color => false,
        Some(color) => color,
        None => std::io::stdout().is_terminal() && !dumb,
    }
}
