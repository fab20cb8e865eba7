//! `connection_balance_config.exact_balance`: connections that live long skew by hash, so each new one goes to the worker that has the fewest, even if
//! another worker accepted it. Without the setting nothing here is touched.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};

use crate::{listener::accept::Open, snapshot::ListenerSlot, worker::Command};

/// How many balanced connections each worker has, and how to reach it.
#[derive(Default)]
pub(crate) struct Balance {
    workers: OnceLock<Vec<Seats>>,
}

struct Seats {
    taken: Arc<AtomicU64>,
    // Weak: a worker ends when its data plane drops the senders.
    commands: WeakUnboundedSender<Command>,
}

/// A connection's place at one worker; given back when dropped.
pub(crate) struct Seat(Arc<AtomicU64>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection on its way to the worker that is to serve it.
pub(crate) struct Adopted {
    /// Its listener.
    pub(crate) slot: ListenerSlot,
    /// The connection.
    pub(crate) stream: std::net::TcpStream,
    /// Its place among the open connections of its address.
    pub(crate) place: Open,
    /// Its place at the worker.
    pub(crate) seat: Seat,
}

impl Balance {
    /// Tells of all workers, once, in the order of their indexes.
    pub(crate) fn know<'a>(&self, workers: impl Iterator<Item = &'a UnboundedSender<Command>>) {
        let seats = workers.map(|commands| Seats { taken: Arc::default(), commands: commands.downgrade() });
        // Only the first call counts, and there is only one.
        let _ = self.workers.set(seats.collect());
    }

    /// The worker with the fewest balanced connections, `here` if it is one of them, and a seat there.
    pub(crate) fn choose(&self, here: usize) -> Option<(usize, Seat)> {
        let workers = self.workers.get()?;
        loop {
            let count = |index: &usize| workers[*index].taken.load(Ordering::Relaxed);
            let (fewest, index) = (0..workers.len()).map(|index| (count(&index), index)).min_by_key(|(n, index)| (*n, *index != here))?;
            let taken = &workers[index].taken;
            // Another worker may have chosen the same at this moment: look again.
            if taken.compare_exchange(fewest, fewest + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Some((index, Seat(taken.clone())));
            }
        }
    }

    /// Hands a connection over; gives it back if that worker is gone.
    pub(crate) fn hand_over(&self, to: usize, adopted: Adopted) -> Result<(), Adopted> {
        let commands = self.workers.get().and_then(|workers| workers.get(to)).and_then(|seats| seats.commands.upgrade());
        let Some(commands) = commands else { return Err(adopted) };
        commands.send(Command::Adopt(adopted)).map_err(|unsent| match unsent.0 {
            Command::Adopt(adopted) => adopted,
            _ => unreachable!("only an adoption was sent"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seats_are_spread_exactly_and_given_back() {
        let channels: Vec<_> = (0..3).map(|_| tokio::sync::mpsc::unbounded_channel()).collect();
        let balance = Balance::default();
        balance.know(channels.iter().map(|(commands, _)| commands));
        let mut seats: Vec<(usize, Seat)> = (0..9).map(|_| balance.choose(1).unwrap()).collect();
        for worker in 0..3 {
            assert_eq!(seats.iter().filter(|(index, _)| *index == worker).count(), 3);
        }
        assert_eq!(seats[0].0, 1, "where it was accepted, if that is as good");
        seats.retain(|(index, _)| *index != 2);
        for _ in 0..3 {
            let seat = balance.choose(0).unwrap();
            assert_eq!(seat.0, 2);
            seats.push(seat);
        }
    }
}
