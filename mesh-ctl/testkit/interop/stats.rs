//! Envoy's own counters, from its admin interface.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mesh_ctl::load::{Answer, Caller};
use tokio::time::sleep;

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Counters and gauges at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Reads all.
    pub(crate) async fn of(admin: SocketAddr) -> Result<Self, String> {
        Ok(Self::parse(&page(admin, "/stats").await?.text))
    }

    /// Lines of `name: value`; histograms and texts are left out.
    fn parse(text: &str) -> Self {
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(number).collect())
    }

    /// One of them; 0 if there is none of that name.
    pub(crate) fn one(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The sum of all that begin and end so.
    pub(crate) fn sum(&self, begin: &str, end: &str) -> u64 {
        self.matching(begin, end).map(|(_, value)| value).sum()
    }

    /// What was refused of all that was ever sent, by whatever name it is counted.
    pub(crate) fn rejected(&self) -> Vec<String> {
        self.matching("", ".update_rejected").filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect()
    }

    /// All that begin and end so.
    pub(crate) fn matching(&self, begin: &str, end: &str) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter(move |(name, _)| name.starts_with(begin) && name.ends_with(end)).map(|(name, value)| (name.as_str(), *value))
    }
}

async fn page(admin: SocketAddr, path: &str) -> Result<Answer, String> {
    let mut caller = Caller::new(admin, "admin").map_err(|error| error.to_string())?;
    let answer = caller.get(path, &[]).await.map_err(|error| format!("Envoy's {path}: {error}"))?;
    if answer.status.is_success() { Ok(answer) } else { Err(format!("Envoy's {path}: {}", answer.status)) }
}

/// The serial number of the certificate that Envoy presents.
pub(crate) async fn serial(admin: SocketAddr) -> Result<String, String> {
    let certificates = page(admin, "/certs").await?.body;
    let chains = certificates["certificates"].as_array().into_iter().flatten();
    let serial = chains.filter_map(|entry| entry.pointer("/cert_chain/0/serial_number")?.as_str()).next();
    serial.map(str::to_owned).ok_or_else(|| "Envoy's /certs: no certificate".into())
}

/// Waits until Envoy presents another certificate than `before`.
pub(crate) async fn wait_for_another(admin: SocketAddr, before: &str) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        match serial(admin).await {
            Ok(now) if now != before => return Ok(now),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Ok(_) if begun.elapsed() > PATIENCE => return Err(format!("still the certificate {before} after {PATIENCE:?}")),
            _ => sleep(POLL).await,
        }
    }
}

/// Waits until `holds`; gives the counters with which it did.
pub(crate) async fn wait_for(admin: SocketAddr, what: &str, holds: impl Fn(&Stats) -> bool) -> Result<Stats, String> {
    let begun = Instant::now();
    loop {
        let seen = Stats::of(admin).await;
        match seen {
            Ok(stats) if holds(&stats) => return Ok(stats),
            Err(error) if begun.elapsed() > PATIENCE => return Err(format!("{what}: {error}")),
            Ok(_) if begun.elapsed() > PATIENCE => return Err(format!("{what}: not within {PATIENCE:?}")),
            _ => sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbers_by_name() {
        let stats = Stats::parse(
            "cluster.outbound|80||a.update_rejected: 0\ncluster.b.update_rejected: 2\nversion: \"x\"\ncluster.b.ms: P0(1,2)\n",
        );
        assert_eq!(stats.one("cluster.b.update_rejected"), 2);
        assert_eq!(stats.sum("cluster.", ".update_rejected"), 2);
        assert_eq!(stats.matching("cluster.", "").count(), 2);
    }
}
