//! Benchmarks that answer a question. `analyze`: are ten thousand objects analysed in less than a second and 200 MB?

mod objects;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Subcommand};
use mesh_config::analyze::{self, Level, Options, Set};

/// Arguments of `bench`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reads and analyses generated objects: wall time, CPU time, peak memory
    Analyze(Analyze),
}

#[derive(Debug, ClapArgs)]
struct Analyze {
    /// How many objects
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Write the objects here, as files, for `meshctl analyze`
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Fail beyond so many milliseconds
    #[arg(long)]
    most_milliseconds: Option<u64>,
    /// Fail beyond so many megabytes
    #[arg(long)]
    most_megabytes: Option<u64>,
}

/// Runs it. False: a bound does not hold.
pub(crate) fn run(args: &Args) -> Result<bool> {
    match &args.what {
        What::Analyze(args) => run_analyze(args),
    }
}

fn run_analyze(args: &Analyze) -> Result<bool> {
    let files: Vec<String> = objects::files(args.objects).collect();
    let bytes: usize = files.iter().map(String::len).sum();
    if let Some(folder) = &args.folder {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for (number, file) in files.iter().enumerate() {
            fs::write(folder.join(format!("{number:05}.yaml")), file)?;
        }
    }
    let resident = memory("VmRSS")?;
    let (begun, cpu) = (Instant::now(), cpu_time()?);
    let mut set = Set::default();
    for (number, file) in files.into_iter().enumerate() {
        set.read(&format!("{number:05}.yaml"), file.as_bytes());
    }
    let read = begun.elapsed();
    let options = Options::default();
    set.add_default_resources(&options.root_namespace);
    let messages = analyze::run(&set, &options);
    let (wall, cpu) = (begun.elapsed(), cpu_time()?.saturating_sub(cpu));
    let peak = memory("VmHWM")?;
    println!("{} objects, {} kB of YAML in files of {}", set.len(), bytes / 1000, objects::IN_A_FILE);
    println!("wall      {} ms (reading {} ms, analysing {} ms)", wall.as_millis(), read.as_millis(), (wall - read).as_millis());
    println!("cpu       {} ms", cpu.as_millis());
    println!("peak      {peak} MB resident ({resident} MB before, the YAML included)");
    for level in Level::ALL {
        println!("{:<9} {}", level.as_str().to_lowercase(), messages.iter().filter(|message| message.level() == level).count());
    }
    let slow = args.most_milliseconds.is_some_and(|most| wall > Duration::from_millis(most));
    let large = args.most_megabytes.is_some_and(|most| peak > most);
    anyhow::ensure!(set.unread().is_empty(), "the generated objects do not parse: {:?}", set.unread().first());
    Ok(!slow && !large)
}

/// A line of /proc/self/status, in megabytes.
fn memory(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).with_context(|| format!("no {name}"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024)
}

/// What this thread has used; it is the only one that works here.
fn cpu_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text.split_whitespace().next().context("schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}
