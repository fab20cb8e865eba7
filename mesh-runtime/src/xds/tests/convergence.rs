//! Whatever happens on the way, once things are quiet a client has what a fresh one would get.

use proptest::prelude::*;

use super::super::Interest;
use super::super::server::Half as _;
use super::simulation::{BAD, Content, Delta, NAMES, Pair, Simulation, Sotw, TYPES, snapshot};

#[derive(Debug, Clone)]
enum Step {
    Set(usize, usize, Option<u8>),
    Subscribe(usize, Option<Vec<usize>>),
    /// Gives a name up and asks for it again, perhaps before the server hears of it.
    Waver(usize, usize, bool),
    ClientSpeaks,
    ServerSpeaks,
    Up {
        pick: usize,
        twice: bool,
    },
    Down {
        pick: usize,
        twice: bool,
    },
    Reconnect,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let names = proptest::collection::vec(0..NAMES.len(), 0..4);
    prop_oneof![
        4 => (0..TYPES.len(), 0..NAMES.len(), proptest::option::weighted(0.75, 0u8..5)).prop_map(|(kind, name, version)| Step::Set(kind, name, version)),
        3 => (0..TYPES.len(), proptest::option::weighted(0.8, names)).prop_map(|(kind, names)| Step::Subscribe(kind, names)),
        2 => (0..TYPES.len(), 0..NAMES.len(), proptest::bool::weighted(0.3)).prop_map(|(kind, name, told)| Step::Waver(kind, name, told)),
        6 => Just(Step::ClientSpeaks),
        6 => Just(Step::ServerSpeaks),
        6 => (0..4usize, proptest::bool::weighted(0.1)).prop_map(|(pick, twice)| Step::Up { pick, twice }),
        6 => (0..4usize, proptest::bool::weighted(0.1)).prop_map(|(pick, twice)| Step::Down { pick, twice }),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Settle),
    ]
}

fn play<P: Pair>(simulation: &mut Simulation<P>, steps: &[Step], mut after: impl FnMut(&Simulation<P>)) {
    for step in steps {
        match step {
            Step::Set(kind, name, version) => simulation.set(TYPES[*kind], NAMES[*name], *version),
            Step::Subscribe(kind, names) => {
                let interest = match names {
                    Some(names) => Interest::names(names.iter().map(|name| NAMES[*name])),
                    None => Interest::All,
                };
                simulation.subscribe(TYPES[*kind], interest);
            }
            Step::Waver(kind, name, told) => {
                let type_url = TYPES[*kind];
                let Some(Interest::Names(before)) = simulation.interests.get(type_url).cloned() else { continue };
                let mut without = before.clone();
                without.remove(NAMES[*name]);
                simulation.subscribe(type_url, Interest::Names(without));
                if *told {
                    simulation.client_speaks();
                }
                simulation.subscribe(type_url, Interest::Names(before));
            }
            Step::ClientSpeaks => drop(simulation.client_speaks()),
            Step::ServerSpeaks => drop(simulation.server_speaks()),
            Step::Up { pick, twice } => drop(simulation.deliver_up(*pick, *twice)),
            Step::Down { pick, twice } => drop(simulation.deliver_down(*pick, *twice)),
            Step::Reconnect => simulation.reconnect(),
            Step::Settle => simulation.settle(),
        }
        after(simulation);
    }
}

/// How a client refuses.
#[derive(Debug, Clone)]
struct Refusing {
    names: Vec<usize>,
    anonymous: bool,
    gives_up: bool,
}

fn refusing() -> impl Strategy<Value = Refusing> {
    let manner = prop_oneof![Just((false, false)), Just((true, false)), Just((true, true))];
    (proptest::collection::vec(0..NAMES.len(), 0..3), manner).prop_map(|(names, (anonymous, gives_up))| Refusing {
        names,
        anonymous,
        gives_up,
    })
}

fn converges<P: Pair>(steps: &[Step], refusing: &Refusing) -> Result<(), TestCaseError> {
    let mut simulation = Simulation::<P>::new();
    simulation.anonymous = refusing.anonymous;
    simulation.consumer.gives_up = refusing.gives_up;
    simulation.consumer.refuses = refusing.names.iter().map(|name| NAMES[*name]).collect();
    play(&mut simulation, steps, |_| ());
    // Even a server that only now becomes ready.
    simulation.server.feed(snapshot(&simulation.content));
    simulation.settle();
    simulation.check().map_err(TestCaseError::fail)?;
    let responses = simulation.responses;
    simulation.settle();
    prop_assert_eq!(responses, simulation.responses);
    // Once what was refused is mended, nothing is missing.
    for type_url in TYPES {
        for name in NAMES {
            if simulation.content.get(&(type_url, name)) == Some(&BAD) {
                simulation.set(type_url, name, Some(BAD + 1));
            }
        }
    }
    simulation.settle();
    simulation.check().map_err(TestCaseError::fail)
}

fn restarts_remove_nothing<P: Pair>(versions: &[Option<u8>], restarts: &[Vec<Step>]) -> Result<(), TestCaseError> {
    let mut simulation = Simulation::<P>::new();
    for (index, version) in versions.iter().enumerate() {
        simulation.set(TYPES[index / NAMES.len()], NAMES[index % NAMES.len()], *version);
    }
    for type_url in TYPES {
        simulation.subscribe(type_url, Interest::All);
    }
    simulation.settle();
    simulation.consumer.removals.clear();
    simulation.consumer.upserts = 0;
    for steps in restarts {
        let traffic: Vec<Step> =
            steps.iter().filter(|step| !matches!(step, Step::Set(..) | Step::Subscribe(..) | Step::Waver(..))).cloned().collect();
        simulation.reconnect();
        play(&mut simulation, &traffic, |_| ());
    }
    simulation.settle();
    prop_assert_eq!(&simulation.consumer.removals, &Vec::<String>::new());
    prop_assert_eq!(simulation.consumer.upserts, 0, "what is held is not sent to the consumer again");
    simulation.check().map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_delta_client_converges(steps in proptest::collection::vec(step(), 0..120), refusing in refusing()) {
        converges::<Delta>(&steps, &refusing)?;
    }

    #[test]
    fn a_sotw_client_converges(steps in proptest::collection::vec(step(), 0..120), refusing in refusing()) {
        converges::<Sotw>(&steps, &refusing)?;
    }

    #[test]
    fn a_restart_with_the_same_content_changes_nothing(
        versions in proptest::collection::vec(proptest::option::of(0u8..3), TYPES.len() * NAMES.len()),
        restarts in proptest::collection::vec(proptest::collection::vec(step(), 0..30), 1..4),
    ) {
        restarts_remove_nothing::<Delta>(&versions, &restarts)?;
        restarts_remove_nothing::<Sotw>(&versions, &restarts)?;
    }

    /// MCP: whenever all types show one revision, together they are exactly the snapshot of that revision.
    #[test]
    fn one_revision_over_all_types_is_one_snapshot(steps in proptest::collection::vec(step(), 0..160)) {
        let mut simulation = Simulation::<Delta>::new();
        simulation.announce = true;
        simulation.reconnect();
        for type_url in TYPES {
            simulation.subscribe(type_url, Interest::All);
        }
        let mut contents = std::collections::BTreeMap::from([(snapshot(&Content::new()).revision.to_string(), Content::new())]);
        let mut failed = None;
        let steps: Vec<Step> = steps.into_iter().filter(|step| !matches!(step, Step::Subscribe(..) | Step::Waver(..))).collect();
        play(&mut simulation, &steps, |simulation| {
            contents.insert(snapshot(&simulation.content).revision.to_string(), simulation.content.clone());
            if let Some(revision) = common_revision(simulation) {
                let expected = snapshot(&contents[&revision]);
                let size: usize = expected.types.values().map(|resources| resources.len()).sum();
                let same = simulation.consumer.held.iter().all(|((type_url, name), body)| expected.resource(type_url, name).is_some_and(|resource| *resource.body == *body));
                if !same || size != simulation.consumer.held.len() {
                    failed = Some(revision);
                }
            }
        });
        prop_assert_eq!(failed, None);
        simulation.settle();
        prop_assert_eq!(common_revision(&simulation), Some(snapshot(&simulation.content).revision.to_string()));
        simulation.check().map_err(TestCaseError::fail)?;
    }
}

/// A server that changes faster than its client acknowledges must still show it whole snapshots.
#[test]
fn common_revisions_are_reached_under_constant_change() {
    let mut simulation = Simulation::<Delta>::new();
    simulation.announce = true;
    simulation.reconnect();
    for type_url in TYPES {
        simulation.subscribe(type_url, Interest::All);
    }
    simulation.settle();
    let mut reached = std::collections::BTreeSet::new();
    for round in 0..200u8 {
        simulation.set(TYPES[usize::from(round) % TYPES.len()], "a", Some(round));
        simulation.server_speaks();
        simulation.deliver_down(0, false);
        simulation.client_speaks();
        simulation.deliver_up(0, false);
        reached.extend(common_revision(&simulation));
    }
    assert!(reached.len() > 10, "only {} of 200", reached.len());
}

fn common_revision(simulation: &Simulation<Delta>) -> Option<String> {
    let revisions = &simulation.consumer.revisions;
    let first = revisions.values().next()?;
    (revisions.len() == TYPES.len() && revisions.values().all(|revision| revision == first)).then(|| first.clone())
}
