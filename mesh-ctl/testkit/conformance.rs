//! How much of Istio's configuration we read as Istio does: cases with their expected answers, from a folder that is not part of this project, against
//! `mesh-config`. Nothing of the data is known here: any folder of the same shape works, and what it expects is only compared, never used to answer.
//!
//! A difference that is meant has its reason in `conformance-differences.yaml`. It still counts as a disagreement; only a disagreement without a reason fails the run.

mod analyze;
mod case;
mod crd;
mod differences;
mod gateway_api;
mod judge;
mod perturb;
mod report;
mod validation;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args as ClapArgs, ValueEnum};
use serde::de::DeserializeOwned;

use self::{case::Case, differences::Differences, report::Report};

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Folder of cases: `analyze.json`, `crd.json`, `validation.json`, `gateway-api/`
    #[arg(long)]
    data: PathBuf,
    /// Only these areas
    #[arg(long = "area", value_enum, value_delimiter = ',')]
    areas: Vec<Area>,
    /// File of the disagreements that are meant, with their reasons
    #[arg(long)]
    differences: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Change every expected answer and see whether that is noticed
    #[arg(long)]
    self_test: bool,
}

/// What is compared; each has its file or folder in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Area {
    /// Messages of an analysis
    Analyze,
    /// Objects that the API server takes or refuses
    Crd,
    /// Semantic rules, function by function
    Validation,
    /// Objects of the Gateway API
    GatewayApi,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Runs the cases. True if all agree or differ for a written reason; with `--self-test`, if enough of the changes were noticed.
///
/// # Errors
/// If the data or the file of differences cannot be read, or no area has data.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let differences = match &args.differences {
        Some(file) => Differences::load(file)?,
        None => Differences::default(),
    };
    let areas = if args.areas.is_empty() { Area::value_variants() } else { &args.areas };
    let mut answered = Vec::new();
    for area in areas {
        let place = args.data.join(area.place());
        if place.exists() {
            let cases = area.cases(&args.data, &place).with_context(|| place.display().to_string())?;
            answered.push((area.name(), case::name_apart(cases)));
        } else {
            said(&format!("{}: skipped, there is no {}", area.name(), place.display()));
        }
    }
    if answered.is_empty() {
        bail!("{} has no cases of {}", args.data.display(), areas.iter().map(|area| area.name()).collect::<Vec<_>>().join(", "));
    }
    if args.self_test {
        let trial = perturb::Trial::of(&answered);
        print(args.output, &trial, &trial.to_string())?;
        return Ok(trial.passed());
    }
    let report = Report::of(&answered, &differences);
    print(args.output, &report, &report.to_string())?;
    Ok(report.passed())
}

impl Area {
    /// The name in reports and arguments.
    const fn name(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::Crd => "crd",
            Self::Validation => "validation",
            Self::GatewayApi => "gateway-api",
        }
    }

    /// Its file or folder.
    const fn place(self) -> &'static str {
        match self {
            Self::Analyze => "analyze.json",
            Self::Crd => "crd.json",
            Self::Validation => "validation.json",
            Self::GatewayApi => "gateway-api",
        }
    }

    /// Its cases, answered.
    fn cases(self, data: &Path, place: &Path) -> Result<Vec<Case>> {
        match self {
            Self::Analyze => analyze::cases(data, place),
            Self::Crd => crd::cases(place),
            Self::Validation => validation::cases(place),
            Self::GatewayApi => gateway_api::cases(place),
        }
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

fn print(output: Output, json: &impl serde::Serialize, text: &str) -> Result<()> {
    match output {
        Output::Text => println!("{text}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(json)?),
    }
    Ok(())
}

/// A remark: standard output may be JSON.
#[allow(clippy::print_stderr, reason = "the test kit speaks to whoever runs it")]
fn said(remark: &str) {
    eprintln!("{remark}");
}
