//! The queue, and when one more connection is opened.

#![allow(clippy::unwrap_used)]

use futures_util::FutureExt as _;

use super::*;

fn pool() -> Rc<Pool> {
    Rc::new(Pool {
        cluster: ClusterSlot(0),
        pool_hash: 0,
        endpoint: Weak::new(),
        idle: RefCell::default(),
        shared: RefCell::default(),
        open: Rc::default(),
        opening: Cell::new(0),
        queue: Queue::default(),
        chose_http1: Cell::new(false),
        closed: Cell::new(false),
    })
}

fn looks(ticket: &mut Ticket) -> bool {
    matches!(ticket.called().now_or_never(), Some(Woken::Look))
}

#[test]
fn first_in_first_out_and_what_comes_too_late_is_passed_on() {
    let pool = pool();
    let [mut first, second, mut third] = [0; 3].map(|_| Ticket::last(&pool));
    pool.wake_one();
    assert!(looks(&mut first));
    assert_eq!(pool.queue.len(), 2);
    drop(first);
    let mut again = Ticket::first(&pool);
    pool.wake_one();
    assert!(looks(&mut again), "it keeps its turn");
    pool.wake_one();
    assert!(!looks(&mut third), "it is the second's turn");
    drop(second);
    assert!(looks(&mut third), "the second had given up");
    assert_eq!(pool.queue.len(), 0);
}

#[test]
fn who_gives_up_is_forgotten() {
    let pool = pool();
    let mut stays = Ticket::last(&pool);
    for _ in 0..1000 {
        drop(Ticket::last(&pool));
        assert_eq!(pool.queue.len(), 1);
    }
    pool.queue.wake_all(|| Woken::Failed(Failure::ConnectTimeout));
    assert!(matches!(stays.called().now_or_never(), Some(Woken::Failed(Failure::ConnectTimeout))));
    drop(stays);
    assert_eq!(pool.queue.len(), 0);
}

#[test]
fn only_what_may_be_shared_is_opened_one_at_a_time() {
    let pool = pool();
    let waiting = [0; 3].map(|_| Ticket::last(&pool));
    pool.opening.set(1);
    assert!(pool.needs_another(Protocol::Http1));
    assert!(!pool.needs_another(Protocol::Http2));
    assert!(!pool.needs_another(Protocol::Auto), "it may turn out to be HTTP/2");
    pool.chose_http1.set(true);
    assert!(pool.needs_another(Protocol::Auto), "it did not");
    pool.opening.set(3);
    assert!(!pool.needs_another(Protocol::Http1), "one each");
    drop(waiting);
}
