//! `--kill NAME`: one process dies; it shows, and the rest serves.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;

use super::{Check, Found, Subject, named, traffic::window};
use crate::{
    demo::{GATEWAY, HOST, view::Model},
    load::Caller,
    mesh::{layout::HTTP_PROXY_PORT, process::State, sidecar},
};

/// How long detection may take: pools notice, replicas are ejected.
const SETTLE: Duration = Duration::from_millis(1500);
const PROBES: usize = 200;

/// Kills `name`, checks, starts it again, checks.
pub(super) async fn run(subject: &mut Subject, name: &str, progress: &mut (dyn FnMut(&str) + Send)) -> Vec<Check> {
    let mut checks = Vec::new();
    progress("warming up");
    checks.push(named("before", before(subject).await));
    progress(&format!("killing {name}"));
    if let Err(error) = subject.mesh.kill(name).await {
        checks.push(named("kill", Err(error.to_string())));
        return checks;
    }
    tokio::time::sleep(SETTLE).await;
    checks.push(named("shown", shown(subject, name)));
    checks.push(named("rest-serves", rest_serves(subject, name).await));
    progress(&format!("starting {name} again"));
    checks.push(named("healed", healed(subject, name).await));
    checks
}

async fn before(subject: &Subject) -> Found {
    let seen = window(subject, 1_000).await?;
    match subject.failures() {
        0 => Ok(format!("{} requests, 0 failed", seen.requests)),
        n => Err(format!("{n} requests failed: {:?}", subject.load.tally().examples())),
    }
}

/// The live view's model names it as ended, and nothing else.
fn shown(subject: &Subject, name: &str) -> Found {
    let model = Model::of(&subject.mesh, &subject.load.tally().seen());
    let ended: Vec<_> = model.processes.iter().filter(|row| matches!(row.state, State::Ended(_))).collect();
    match ended.as_slice() {
        [row] if &*row.name == name => Ok(format!("the view shows {name}: {}", row.state_text())),
        rows => Err(format!("the view shows as ended: {:?}", rows.iter().map(|row| &row.name).collect::<Vec<_>>())),
    }
}

/// Calls everything that does not need the victim.
async fn rest_serves(subject: &Subject, victim: &str) -> Found {
    let mut tried = Vec::new();
    for (what, needs, caller, path, header) in paths(subject)? {
        if needs.iter().any(|need| need == victim) {
            continue;
        }
        let mut caller = caller;
        for n in 0..PROBES {
            let answer = caller.get(path, header).await.map_err(|error| format!("{what}, request {n}: {error}"))?;
            if answer.status != StatusCode::OK {
                return Err(format!("{what}, request {n}: {} {}", answer.status, answer.text));
            }
        }
        tried.push(what);
    }
    if tried.is_empty() {
        return Err(format!("nothing can be called without {victim}"));
    }
    Ok(format!("{PROBES} of {PROBES} answered 200 on: {}", tried.join("; ")))
}

type Path = (&'static str, Vec<String>, Caller, &'static str, &'static [(&'static str, &'static str)]);

/// Ways through the mesh, and who they need. One of two replicas of the inventory is never needed.
fn paths(subject: &Subject) -> Result<Vec<Path>, String> {
    let tester: &[(&str, &str)] = &[("x-user", "tester")];
    let both = |name: &str| [name.to_string(), sidecar(name)];
    let advertisement: Vec<String> = [sidecar("frontend-v1")].into_iter().chain(both("advertisement-v2")).collect();
    let all: Vec<String> = [GATEWAY.to_string(), "frontend-v1".into()].into_iter().chain(advertisement.clone()).collect();
    let sidecar_of = |name: &str, host: &str| {
        let place = subject.mesh.place(name).ok_or_else(|| format!("there is no {name}"))?;
        Caller::new(SocketAddr::from((place.address, HTTP_PROXY_PORT)), host).map_err(|error| error.to_string())
    };
    let entrance = crate::demo::entrance(&subject.mesh).ok_or("the mesh has no gateway")?;
    let gateway = Caller::new(entrance, HOST).map_err(|error| error.to_string())?;
    let to_inventory = |name: &'static str| sidecar_of(name, "inventory").map(|caller| (vec![sidecar(name)], caller));
    let (needs_v1, from_v1) = to_inventory("advertisement-v1")?;
    let (needs_v2, from_v2) = to_inventory("advertisement-v2")?;
    Ok(vec![
        ("gateway → frontend → advertisement v2 → inventory", all, gateway, "/", tester),
        ("frontend's sidecar → advertisement v2 → inventory", advertisement, sidecar_of("frontend-v1", "advertisement")?, "/", tester),
        ("advertisement v1's sidecar → inventory", needs_v1, from_v1, "/", &[]),
        ("advertisement v2's sidecar → inventory", needs_v2, from_v2, "/", &[]),
    ])
}

/// Started again, everything is as before: no failure over a thousand requests.
async fn healed(subject: &mut Subject, name: &str) -> Found {
    subject.mesh.launch(name).await.map_err(|error| error.to_string())?;
    subject.mesh.wait_ready(name).await.map_err(|error| error.to_string())?;
    let begun = std::time::Instant::now();
    // An ejected endpoint comes back after its time; until then nothing is lost, but not all of the split is there.
    loop {
        let failed = subject.failures();
        window(subject, 1_000).await?;
        if subject.failures() == failed {
            return Ok(format!("1000 requests without a failure, {:.1?} after it was ready again", begun.elapsed()));
        }
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(format!("requests still fail: {:?}", subject.load.tally().examples().last()));
        }
    }
}
