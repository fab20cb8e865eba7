//! What the view shows, as data: testable without a terminal, and what `--kill` looks at.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Facts;
use crate::{
    load::Seen,
    mesh::{Mesh, process::State},
};

/// One moment of the mesh.
#[derive(Debug, Clone)]
pub struct Model {
    /// Processes, in start order.
    pub processes: Vec<Row>,
    /// What callers saw so far.
    pub seen: Seen,
    /// Requests a second, over the last look.
    pub rate: f64,
    /// Share of each version over the last look, in percent.
    pub split: BTreeMap<String, f64>,
    /// What proxies and Pilot say of themselves.
    pub facts: Facts,
}

/// One process.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub name: Arc<str>,
    /// What is with it.
    pub state: State,
    /// Since it was started.
    pub age: Duration,
}

/// The look before, to make rates of counts.
#[derive(Debug)]
pub struct Looker {
    last: Seen,
    at: Instant,
    split: BTreeMap<String, f64>,
}

impl Model {
    /// The mesh as it is, without rates and without what only its processes know.
    pub fn of(mesh: &Mesh, seen: &Seen) -> Self {
        let processes = mesh
            .process_names()
            .iter()
            .filter_map(|name| mesh.process(name))
            .map(|process| Row { name: process.name().clone(), state: process.state(), age: process.started().elapsed() })
            .collect();
        Self { processes, seen: seen.clone(), rate: 0.0, split: BTreeMap::new(), facts: Facts::default() }
    }
}

impl Row {
    /// Its state in words.
    pub fn state_text(&self) -> String {
        match &self.state {
            State::Starting => "starting".into(),
            State::Ready(_) => "ready".into(),
            State::Ended(why) => format!("ended: {why}"),
        }
    }
}

impl Looker {
    /// Begins now.
    pub fn new() -> Self {
        Self { last: Seen::default(), at: Instant::now(), split: BTreeMap::new() }
    }

    /// The mesh now, with rates since the look before.
    pub fn look(&mut self, mesh: &Mesh, seen: Seen, facts: Facts) -> Model {
        let mut model = Model::of(mesh, &seen);
        let elapsed = self.at.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let per_second = (seen.requests - self.last.requests) as f64 / elapsed;
        let answered: u64 = seen.split.iter().map(|(version, n)| n - self.last.split.get(version).unwrap_or(&0)).sum();
        if answered > 0 {
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
            let share = |(version, n): (&String, &u64)| {
                let part = (n - self.last.split.get(version).unwrap_or(&0)) as f64 * 100.0 / answered as f64;
                (version.clone(), part)
            };
            self.split = seen.split.iter().map(share).collect();
        }
        model.rate = per_second;
        model.split.clone_from(&self.split);
        model.facts = facts;
        self.last = seen;
        self.at = Instant::now();
        model
    }
}

impl Default for Looker {
    fn default() -> Self {
        Self::new()
    }
}
