//! The checks of the audit.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::curl::{Answer, certificate, control, get, plaintext, without_certificate};
use crate::{demo::Demo, process::wait_for};

const CALLEE: &str = "advertisement-v1";
const SPIFFE: &str = "URI:spiffe://cluster.local/ns/shop/sa/advertisement";

type Found = (&'static str, Result<String>);

pub(super) fn all(demo: &Demo) -> Vec<Found> {
    let begun = Instant::now();
    let mut serials = BTreeSet::new();
    let first = look(demo, &mut serials);
    let mut found = vec![
        ("split", split(demo, 3_000, 20.0)),
        ("ab", tester(demo)),
        ("fault", fault(demo)),
        ("retry", retry(demo)),
        ("no-certificate", strangers(demo)),
        ("authorization", denied(demo)),
    ];
    found.push(("edit", edit(demo)));
    found.push(("outlier", outlier(demo)));
    found.push(("rotation", first.and_then(|()| rotation(demo, &mut serials, begun))));
    found
}

/// Every answer is 200, and v2's share is `want` ± 3.
fn split(demo: &Demo, requests: usize, want: f64) -> Result<String> {
    let answers = get(&demo.shop, "/", requests, &[])?;
    all_good(&answers)?;
    let share = share(&answers);
    ensure!((share - want).abs() <= 3.0, "{share:.1} % v2 of {requests}, wanted {want:.0} ± 3");
    Ok(format!("{requests} of {requests} answered 200, {share:.1} % v2"))
}

fn tester(demo: &Demo) -> Result<String> {
    let answers = get(&demo.shop, "/", 100, &["x-user: tester"])?;
    all_good(&answers)?;
    ensure!(answers.iter().all(|answer| answer.version().as_deref() == Some("v2")), "a tester got {:?}", versions(&answers));
    Ok("100 of 100 testers got v2".into())
}

fn fault(demo: &Demo) -> Result<String> {
    let requests = 1_500;
    let answers = get(&demo.shop, "/flaky", requests, &[])?;
    let aborted = answers.iter().filter(|answer| answer.status == 503).count();
    ensure!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)), "neither 200 nor 503 came back");
    let share = percent(aborted, requests);
    ensure!((share - 20.0).abs() <= 4.2, "{share:.1} % aborted, wanted 20 %");
    Ok(format!("{aborted} of {requests} aborted with 503 ({share:.1} %)"))
}

fn retry(demo: &Demo) -> Result<String> {
    let answers = get(&demo.shop, "/healed", 300, &[])?;
    all_good(&answers)?;
    Ok("300 of 300 answered 200 over the same fault".into())
}

fn strangers(demo: &Demo) -> Result<String> {
    let address = demo.fact(CALLEE, "inbound")?;
    let (code, status) = plaintext(address)?;
    ensure!(code != Some(0), "plaintext was answered {status}");
    let (printed, errors) = without_certificate(address, None)?;
    ensure!(!printed.contains("HTTP/1.1 "), "TLS without a client certificate was answered");
    let why = errors.lines().chain(printed.lines()).find(|line| line.contains("alert")).unwrap_or("closed").trim();
    let (_, names) = certificate(&printed)?;
    ensure!(names.contains(SPIFFE), "its certificate is not {SPIFFE}: {names}");
    Ok(format!("plaintext: curl exit {}; no client certificate: {why}", code.unwrap_or(-1)))
}

fn denied(demo: &Demo) -> Result<String> {
    let answers = get(&demo.shop, "/direct", 1, &[])?;
    let answer = answers.first().context("no answer")?;
    ensure!(answer.status == 403 && answer.body.contains("RBAC: access denied"), "frontend → inventory: {} {}", answer.status, answer.body);
    Ok("frontend → inventory: 403 RBAC: access denied".into())
}

fn edit(demo: &Demo) -> Result<String> {
    let path = demo.config.join("traffic.yaml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(text.contains("weight: 80") && text.contains("weight: 20"), "{} has other weights than the sample", path.display());
    fs::write(&path, text.replace("weight: 80", "weight: 50").replace("weight: 20", "weight: 50"))?;
    let edited = Instant::now();
    wait_for("callers do not see the edited weights", Duration::from_secs(10), || {
        let answers = get(&demo.shop, "/", 200, &[])?;
        all_good(&answers)?;
        Ok((share(&answers) > 38.0).then_some(()))
    })?;
    let took = edited.elapsed();
    Ok(format!("{}; seen {took:.1?} after the edit at the latest", split(demo, 3_000, 50.0)?))
}

fn outlier(demo: &Demo) -> Result<String> {
    let socket = demo.fact("inventory-2", "app")?.trim_start_matches("unix://").to_owned();
    control(&socket, "break")?;
    let found = ejected(demo, &socket);
    control(&socket, "mend")?;
    found
}

/// By the app's own count: it gets requests, then none of a thousand.
fn ejected(demo: &Demo, socket: &str) -> Result<String> {
    let broken = Instant::now();
    let mut served = control(socket, "served")?;
    while broken.elapsed() < Duration::from_secs(8) {
        all_good(&get(&demo.shop, "/", 1_000, &[])?)?;
        let now = control(socket, "served")?;
        if now == served {
            return Ok("no caller noticed; 0 of the next 1000 calls reached the broken replica".into());
        }
        served = now;
    }
    bail!("the broken replica still gets requests after {:?}", broken.elapsed())
}

fn rotation(demo: &Demo, serials: &mut BTreeSet<String>, begun: Instant) -> Result<String> {
    let deadline = Duration::from_secs(60).saturating_sub(begun.elapsed()).max(Duration::from_secs(20));
    wait_for("three rotations", deadline, || {
        look(demo, serials)?;
        all_good(&get(&demo.shop, "/", 50, &[])?)?;
        Ok((serials.len() > 3).then_some(()))
    })?;
    Ok(format!("{} serial numbers seen, every answer 200", serials.len()))
}

fn look(demo: &Demo, serials: &mut BTreeSet<String>) -> Result<()> {
    // As a mesh client's hello, so that the sidecar itself answers even where it lets others through to the app.
    let (printed, _) = without_certificate(demo.fact(CALLEE, "inbound")?, Some("istio"))?;
    serials.insert(certificate(&printed)?.0);
    Ok(())
}

fn all_good(answers: &[Answer]) -> Result<()> {
    let bad: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200 || answer.version().is_none()).collect();
    match bad.first() {
        None => Ok(()),
        Some(first) => bail!("{} of {} failed, the first: {} {}", bad.len(), answers.len(), first.status, first.body),
    }
}

fn versions(answers: &[Answer]) -> BTreeSet<Option<String>> {
    answers.iter().map(Answer::version).collect()
}

fn share(answers: &[Answer]) -> f64 {
    percent(answers.iter().filter(|answer| answer.version().as_deref() == Some("v2")).count(), answers.len())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
