//! Comparing what two proxies did with the same requests, and both with what the scenario says must have happened.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    observe::{Exchange, Outcome},
    scenario::{Expect, Request, Scenario, Upstream},
};

/// What came of one request of the scenario, in one proxy.
#[derive(Debug)]
pub(super) struct Turn {
    /// One for each repetition.
    pub(super) exchanges: Vec<Exchange>,
    /// How many requests reached backends.
    pub(super) reached: usize,
}

/// One fact that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) request: String,
    pub(super) field: String,
    pub(super) envoy: String,
    pub(super) mesh_proxy: String,
}

const ABSENT: &str = "(absent)";

/// All differences, each once.
pub(super) fn differences(scenario: &Scenario, envoy: &[Turn], mesh_proxy: &[Turn]) -> Vec<Difference> {
    let mut found = BTreeSet::new();
    for ((request, envoy), mesh_proxy) in scenario.requests.iter().zip(envoy).zip(mesh_proxy) {
        let label = request.label();
        let mut note = |field: &str, envoy: &str, mesh_proxy: &str| {
            let ignored = scenario.compare.ignore.iter().any(|pattern| matches(pattern, field));
            if envoy != mesh_proxy && !ignored {
                found.insert(Difference {
                    request: label.clone(),
                    field: field.to_owned(),
                    envoy: envoy.to_owned(),
                    mesh_proxy: mesh_proxy.to_owned(),
                });
            }
        };
        let random = scenario.compare.upstream != Upstream::Exact;
        let compared = if random { 1 } else { envoy.exchanges.len() };
        for (envoy, mesh_proxy) in envoy.exchanges.iter().zip(&mesh_proxy.exchanges).take(compared) {
            let (envoy, mesh_proxy) = (envoy.facts(), mesh_proxy.facts());
            let fields: BTreeSet<&String> = envoy.keys().chain(mesh_proxy.keys()).collect();
            for field in fields.into_iter().filter(|field| !(random && matches!(field.as_str(), "upstream" | "response.body"))) {
                let text = |facts: &BTreeMap<String, String>| facts.get(field).cloned().unwrap_or_else(|| ABSENT.to_owned());
                note(field, &text(&envoy), &text(&mesh_proxy));
            }
        }
        if scenario.compare.upstream == Upstream::Rotation {
            let (envoy, mesh_proxy) = (sequence(envoy), sequence(mesh_proxy));
            if !rotates(&envoy, &mesh_proxy) {
                note("upstream", &envoy.join(" "), &mesh_proxy.join(" "));
            }
        }
        note("requests that reached backends", &envoy.reached.to_string(), &mesh_proxy.reached.to_string());
    }
    found.into_iter().collect()
}

/// Expectations that do not hold, in words.
pub(super) fn unmet(scenario: &Scenario, turns: &[Turn]) -> Vec<String> {
    let mut unmet = Vec::new();
    for (request, turn) in scenario.requests.iter().zip(turns) {
        let mut complain = |what: String| {
            let text = format!("{}: {what}", request.label());
            if !unmet.contains(&text) {
                unmet.push(text);
            }
        };
        for exchange in &turn.exchanges {
            check(&request.expect, exchange, &mut complain);
        }
        if let Some(reached) = request.expect.backend_requests.filter(|expected| *expected != turn.reached) {
            complain(format!("expected {reached} requests to reach backends, found {}", turn.reached));
        }
        shares(request, turn, &mut complain);
    }
    unmet
}

fn check(expect: &Expect, exchange: &Exchange, complain: &mut impl FnMut(String)) {
    let facts = exchange.facts();
    let mut want = |field: &str, expected: Option<&str>| {
        let found = facts.get(field).map(String::as_str);
        if found != expected {
            complain(format!("expected {field} to be {:?}, found {:?}", expected.unwrap_or(ABSENT), found.unwrap_or(ABSENT)));
        }
    };
    if let Some(status) = expect.status {
        want("response.status", Some(&status.to_string()));
    }
    if let Some(body) = &expect.body {
        let field = if matches!(exchange.outcome, Outcome::Bytes { .. }) { "response.bytes" } else { "response.body" };
        want(field, Some(body));
    }
    for (name, value) in &expect.headers {
        want(&format!("response.header.{name}"), value.as_deref());
    }
    let last = exchange.seen.len().saturating_sub(1);
    let seen = if last == 0 { "seen".to_owned() } else { format!("seen[{last}]") };
    for (name, value) in &expect.seen_headers {
        want(&format!("{seen}.header.{name}"), value.as_deref());
    }
    if let Some(path) = &expect.seen_path {
        want(&format!("{seen}.target"), Some(path));
    }
    if let Some(upstream) = &expect.upstream {
        let found = exchange.seen.last().map_or("none", |seen| seen.backend.as_str());
        if found != upstream {
            complain(format!("expected upstream {upstream}, found {found}"));
        }
    }
    if let Some(part) = &expect.body_contains
        && !facts.get("response.body").is_some_and(|body| body.contains(part))
    {
        complain(format!("expected a body with {part:?}, found {:?}", facts.get("response.body")));
    }
    if expect.closed != matches!(exchange.outcome, Outcome::Closed | Outcome::TlsRefused) {
        complain(format!("expected {} answer, found {:?}", if expect.closed { "no" } else { "an" }, facts.get("response")));
    }
    let elapsed = exchange.elapsed.as_millis();
    if expect.at_least_ms.is_some_and(|least| elapsed < u128::from(least))
        || expect.at_most_ms.is_some_and(|most| elapsed > u128::from(most))
    {
        complain(format!("took {elapsed} ms"));
    }
}

fn shares(request: &Request, turn: &Turn, complain: &mut impl FnMut(String)) {
    let Some(tolerance) = request.expect.tolerance else { return };
    let upstreams = sequence(turn);
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for upstream in &upstreams {
        *counts.entry(upstream).or_default() += 100.0 / turn.exchanges.len().max(1).to_string().parse::<f64>().unwrap_or(1.0);
    }
    for (backend, expected) in &request.expect.shares {
        let share = counts.remove(backend.as_str()).unwrap_or(0.0);
        if (share - expected).abs() > tolerance {
            complain(format!("expected {expected} % ± {tolerance} at {backend}, found {share:.1} %"));
        }
    }
    if let Some((backend, share)) = counts.into_iter().next() {
        complain(format!("expected nothing at {backend}, found {share:.1} %"));
    }
}

fn sequence(turn: &Turn) -> Vec<String> {
    turn.exchanges.iter().map(Exchange::upstreams).collect()
}

/// Whether one is the other, begun elsewhere in the cycle.
fn rotates(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && (one.is_empty() || (0..one.len()).any(|by| one.iter().cycle().skip(by).zip(other).all(|(a, b)| a == b)))
}

/// Exact, or a prefix followed by `*`.
pub(super) fn matches(pattern: &str, field: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == field, |prefix| field.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_may_begin_anywhere_but_not_run_backwards() {
        let of = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(rotates(&of("a b c a b c"), &of("b c a b c a")));
        assert!(!rotates(&of("a b c a b c"), &of("a c b a c b")));
        assert!(!rotates(&of("a b"), &of("a b a")));
    }

    #[test]
    fn a_pattern_is_exact_or_a_prefix() {
        assert!(matches("seen.header.*", "seen.header.x-a"));
        assert!(matches("upstream", "upstream"));
        assert!(!matches("upstream", "upstreams"));
    }
}
