//! The same bootstrap in Envoy and in mesh-proxy, the same requests, the same backends: status, headers, body and chosen upstream must agree, or the
//! difference has a written reason. What is right is what Envoy does; a scenario's own expectations only make sure that something happened at all.

mod backend;
mod bootstrap;
mod certificates;
mod client;
mod compare;
mod observe;
mod proxy;
mod report;
mod scenario;
mod wire;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Args as ClapArgs, ValueEnum};

use self::{
    backend::Backends,
    bootstrap::Ports,
    certificates::Certificates,
    client::Client,
    compare::{Difference, Turn},
    observe::Exchange,
    proxy::{Proxy, Running},
    report::{Reasons, Verdict},
    scenario::{Request, Scenario},
};

/// How often a scenario is begun anew when a port it had found free is taken by somebody else.
const PORT_ATTEMPTS: usize = 3;

/// Arguments.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Envoy's binary
    #[arg(long)]
    envoy: PathBuf,
    /// mesh-proxy's binary; without it the scenarios are only checked against Envoy
    #[arg(long)]
    mesh_proxy: Option<PathBuf>,
    /// Folder of scenario files
    #[arg(long)]
    scenarios: PathBuf,
    /// File of known differences and their reasons
    #[arg(long)]
    differences: Option<PathBuf>,
    /// Only scenarios whose names begin so
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Keep bootstraps, certificates and logs in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Runs the scenarios; says whether all agree, or differ for a reason.
pub(crate) fn run(args: &Args) -> Result<bool> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(all(args))
}

async fn all(args: &Args) -> Result<bool> {
    let scenarios: Vec<Scenario> = scenario::load(&args.scenarios)?;
    let chosen: Vec<&Scenario> =
        scenarios.iter().filter(|s| args.only.is_empty() || args.only.iter().any(|only| s.name.starts_with(only.as_str()))).collect();
    if chosen.is_empty() {
        bail!("no scenario of that name; there are: {}", scenarios.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", "));
    }
    let mut reasons = match &args.differences {
        Some(file) => Reasons::load(file)?,
        None => Reasons::load(&args.scenarios.join("../differences.yaml"))?,
    };
    let temporary = tempfile::tempdir()?;
    let folder = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let stage = Stage {
        certificates: Certificates::create(&folder.join("certificates"))?,
        folder,
        envoy: Proxy::Envoy(args.envoy.clone()),
        mesh_proxy: args.mesh_proxy.clone().map(Proxy::MeshProxy),
    };
    let begun = Instant::now();
    let mut verdicts = Vec::new();
    for scenario in chosen {
        let verdict = Box::pin(stage.play(scenario, &mut reasons)).await.with_context(|| format!("scenario {}", scenario.name))?;
        if args.output == Output::Text {
            println!("{}", verdict.text());
        }
        verdicts.push(verdict);
    }
    let (ok, text, json) = report::summary(&verdicts, &reasons, args.only.is_empty() && args.mesh_proxy.is_some());
    match args.output {
        Output::Text => println!("{text} ({:.1} s)", begun.elapsed().as_secs_f64()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&json)?),
    }
    Ok(ok)
}

/// What all scenarios share.
struct Stage {
    certificates: Arc<Certificates>,
    folder: PathBuf,
    envoy: Proxy,
    mesh_proxy: Option<Proxy>,
}

impl Stage {
    async fn play(&self, scenario: &Scenario, reasons: &mut Reasons) -> Result<Verdict> {
        let mut verdict = Verdict { name: scenario.name.clone(), about: scenario.about.clone(), ..Verdict::default() };
        let folder = self.folder.join(&scenario.name);
        std::fs::create_dir_all(&folder)?;
        let (backends, ports, envoy) = match self.in_envoy(scenario, &folder).await {
            Ok(played) => played,
            Err(error) => {
                verdict.invalid.push(format!("{error:#}"));
                return Ok(verdict);
            }
        };
        verdict.invalid = compare::unmet(scenario, &envoy);
        let Some(mesh_proxy) = &self.mesh_proxy else { return Ok(verdict) };
        verdict.compared = true;
        let differences = match self.turn(mesh_proxy, scenario, &backends, &ports, &folder).await {
            Ok(turns) => {
                let mut differences = compare::differences(scenario, &envoy, &turns);
                if differences.is_empty() {
                    differences.extend(compare::unmet(scenario, &turns).into_iter().map(|what| whole("expectation", "met", &what)));
                }
                differences
            }
            Err(error) => vec![whole("process", "serves", &format!("{error:#}"))],
        };
        verdict.differences = differences.into_iter().map(|found| (found.clone(), reasons.of(&scenario.name, &found))).collect();
        Ok(verdict)
    }

    async fn in_envoy(&self, scenario: &Scenario, folder: &Path) -> Result<(Backends, Ports, Vec<Turn>)> {
        for attempt in 1.. {
            let mut ports = Ports::new();
            let backends = Backends::start(&scenario.backends, &self.certificates, &mut ports).await?;
            free_ports(bootstrap::listener_names(scenario).into_iter().chain(["admin".to_owned()]), &mut ports)?;
            let json = bootstrap::expand(scenario, &ports, &self.folder.join("certificates"))?;
            std::fs::write(folder.join("bootstrap.yaml"), serde_json::to_vec_pretty(&json)?)?;
            match self.turn(&self.envoy, scenario, &backends, &ports, folder).await {
                Ok(turns) => return Ok((backends, ports, turns)),
                Err(error) if attempt < PORT_ATTEMPTS && format!("{error:#}").contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
        bail!("no free port")
    }

    /// All requests of the scenario through one proxy.
    async fn turn(&self, proxy: &Proxy, scenario: &Scenario, backends: &Backends, ports: &Ports, folder: &Path) -> Result<Vec<Turn>> {
        backends.rewind();
        let admin = *ports.get("admin").context("no admin port")?;
        let mut running = proxy.start(&folder.join("bootstrap.yaml"), folder, admin).await?;
        let mut player = Player { client: Client::new(self.certificates.clone()), scenario, backends, ports };
        let mut turns = Vec::new();
        for request in &scenario.requests {
            turns.push(player.play(request).await.with_context(|| format!("request {}", request.label()))?);
            alive(&mut running, request)?;
        }
        running.stop().await?;
        Ok(turns)
    }
}

/// Makes the requests of a scenario.
struct Player<'a> {
    client: Client,
    scenario: &'a Scenario,
    backends: &'a Backends,
    ports: &'a Ports,
}

impl Player<'_> {
    async fn play(&mut self, request: &Request) -> Result<Turn> {
        tokio::time::sleep(Duration::from_millis(request.pause_ms)).await;
        let listener = request.listener.as_deref().unwrap_or("main");
        let port = *self.ports.get(listener).with_context(|| format!("no listener {listener}"))?;
        let mut turn = Turn { exchanges: Vec::new(), reached: 0 };
        if let Some(times) = request.at_once {
            let begun = Instant::now();
            for outcome in self.client.at_once(request, port, times).await? {
                turn.exchanges.push(Exchange { outcome, seen: Vec::new(), elapsed: begun.elapsed() });
            }
            turn.reached = self.backends.take().len();
            return Ok(turn);
        }
        for _ in 0..request.repeat.unwrap_or(1) {
            let begun = Instant::now();
            let outcome = self.client.exchange(request, port).await?;
            let elapsed = begun.elapsed();
            self.settle(request).await;
            let mut seen = self.backends.take();
            if self.scenario.compare.unordered {
                seen.sort_by(|a, b| a.backend.cmp(&b.backend));
            }
            turn.reached += seen.len();
            turn.exchanges.push(Exchange { outcome, seen, elapsed });
        }
        Ok(turn)
    }

    /// Waits for what the scenario says must reach the backends: a mirrored request may come after the answer.
    async fn settle(&self, request: &Request) {
        let expected = if request.repeat.is_some() { 0 } else { request.expect.backend_requests.unwrap_or(0) };
        let until = Instant::now() + Duration::from_secs(2);
        while self.backends.count() < expected && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn alive(running: &mut Running, request: &Request) -> Result<()> {
    if running.alive() {
        return Ok(());
    }
    bail!("it died of request {}:\n{}", request.label(), running.log_tail())
}

/// A difference of the scenario as a whole.
fn whole(field: &str, envoy: &str, mesh_proxy: &str) -> Difference {
    Difference { request: "*".to_owned(), field: field.to_owned(), envoy: envoy.to_owned(), mesh_proxy: mesh_proxy.to_owned() }
}

/// A free port for each name; all are held until each has one.
fn free_ports(names: impl Iterator<Item = String>, ports: &mut Ports) -> Result<()> {
    let mut held = Vec::new();
    for name in names {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        ports.insert(name, listener.local_addr()?.port());
        held.push(listener);
    }
    Ok(())
}
