//! Requests that wait for a connection, first in, first out. A connection is handed over to one of them, so that a request
//! that has just come cannot snatch it, and comes back if that one has given up in the meantime.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use tokio::sync::oneshot;

use super::{Pool, Ready};
use crate::error::Failure;

/// What a waiting request is told.
pub(super) enum Woken {
    /// Take this connection. True: it is new.
    Ready(Ready, bool),
    /// The endpoint could not be connected to.
    Failed(Failure),
    /// Something has changed: look again.
    Look,
}

/// Those who wait for a connection of one pool.
#[derive(Default)]
pub(super) struct Queue {
    /// Some may have given up.
    tickets: RefCell<VecDeque<oneshot::Sender<Woken>>>,
    /// How many have not.
    waiting: Cell<u32>,
}

/// A request's place in the queue. Dropped, it passes on what it was given too late.
pub(super) struct Ticket {
    pool: Rc<Pool>,
    woken: oneshot::Receiver<Woken>,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> u32 {
        self.waiting.get()
    }

    /// Wakes who has waited longest. `Err`: nobody waits.
    pub(super) fn wake(&self, mut woken: Woken) -> Result<(), Woken> {
        loop {
            let Some(next) = self.tickets.borrow_mut().pop_front() else { return Err(woken) };
            match next.send(woken) {
                Ok(()) => {
                    self.waiting.set(self.waiting.get() - 1);
                    return Ok(());
                }
                Err(unsent) => woken = unsent,
            }
        }
    }

    /// Wakes all who wait now.
    pub(super) fn wake_all(&self, woken: impl Fn() -> Woken) {
        for ticket in std::mem::take(&mut *self.tickets.borrow_mut()) {
            if ticket.send(woken()).is_ok() {
                self.waiting.set(self.waiting.get() - 1);
            }
        }
    }

    /// One of them has given up. Its sender is thrown away when there are too many such.
    fn forsake(&self) {
        self.waiting.set(self.waiting.get() - 1);
        let mut tickets = self.tickets.borrow_mut();
        if tickets.len() > 2 * self.waiting.get() as usize + 16 {
            tickets.retain(|ticket| !ticket.is_closed());
        }
    }
}

impl Ticket {
    /// Behind all others.
    pub(super) fn last(pool: &Rc<Pool>) -> Self {
        Self::draw(pool, VecDeque::push_back)
    }

    /// Before all others: for who was called and found nothing.
    pub(super) fn first(pool: &Rc<Pool>) -> Self {
        Self::draw(pool, VecDeque::push_front)
    }

    fn draw(pool: &Rc<Pool>, push: fn(&mut VecDeque<oneshot::Sender<Woken>>, oneshot::Sender<Woken>)) -> Self {
        let (wake, woken) = oneshot::channel();
        push(&mut pool.queue.tickets.borrow_mut(), wake);
        pool.queue.waiting.set(pool.queue.waiting.get() + 1);
        Self { pool: pool.clone(), woken }
    }

    /// Waits to be called.
    pub(super) async fn called(&mut self) -> Woken {
        (&mut self.woken).await.unwrap_or(Woken::Look)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.woken.is_terminated() {
            return;
        }
        self.woken.close();
        match self.woken.try_recv() {
            Ok(Woken::Ready(Ready::Http1(idle), _)) => self.pool.give_back(idle),
            Ok(Woken::Ready(Ready::Http2(_), _) | Woken::Look) => self.pool.wake_one(),
            Ok(Woken::Failed(_)) => {}
            Err(_) => self.pool.queue.forsake(),
        }
    }
}
