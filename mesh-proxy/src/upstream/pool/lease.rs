//! What a request holds while it travels on a pooled connection.

use std::rc::Rc;

use http::Response;
use hyper::body::Incoming;

use super::{Pool, http1, http2};
use crate::upstream::{breaker, connect::Facts};

/// An answer whose headers have come, and the connection it comes on.
pub(crate) struct Sent {
    pub(crate) response: Response<Incoming>,
    pub(crate) facts: Rc<Facts>,
    pub(crate) hold: Hold,
}

/// A connection in use. Dropped, it is given up (HTTP/1 closes, HTTP/2 resets the stream); finished, it may serve again.
pub(crate) struct Hold {
    kind: Kind,
    in_flight: Option<breaker::Guard>,
}

enum Kind {
    Http1(Rc<Pool>, http1::Idle),
    Http2(#[expect(dead_code, reason = "held for its drop: it frees a place")] http2::Place),
}

impl Hold {
    pub(super) fn http1(pool: Rc<Pool>, idle: http1::Idle) -> Self {
        Self { kind: Kind::Http1(pool, idle), in_flight: None }
    }

    pub(super) fn http2(place: http2::Place) -> Self {
        Self { kind: Kind::Http2(place), in_flight: None }
    }

    pub(super) fn count(&mut self, guard: breaker::Guard) {
        self.in_flight = Some(guard);
    }

    /// The exchange is complete both ways: the connection is free.
    pub(crate) fn finish(self) {
        let Self { kind, in_flight } = self;
        drop(in_flight);
        if let Kind::Http1(pool, idle) = kind
            && idle.may_serve_again()
        {
            pool.give_back(idle.rested());
        }
    }
}
