//! What the data path tells whoever counts, logs and traces: facts at the end of requests and connections.
//!
//! Each worker makes its own [`Observer`] on its own thread, so counters can be worker-local and need no lock.

use std::{rc::Rc, sync::Arc};

use crate::{
    info::{ConnectionInfo, Flags, RequestInfo},
    snapshot::{Hcm, Listener, TcpProxy},
};

/// Hears of everything that ends on one worker. Called on the request path: it must not block.
pub trait Observer {
    /// A request ended, or its connection went away first ([`Flags::DOWNSTREAM_CONNECTION_TERMINATION`]).
    fn request(&self, info: &RequestInfo, hcm: &Hcm);

    /// A connection found its filter chain and passed its handshake.
    fn connection_opened(&self, connection: &ConnectionInfo, listener: &Listener);

    /// A connection that was opened ended.
    fn connection_closed(&self, connection: &ConnectionInfo, listener: &Listener);

    /// A connection was given up before it was opened: no chain, no handshake, a limit.
    fn connection_refused(&self, refused: &Refused<'_>, listener: &Listener);

    /// A relayed TCP connection ended. `info` is in the form of [`RequestInfo::for_tcp`].
    fn tcp(&self, info: &RequestInfo, proxy: &TcpProxy);
}

/// A connection that was never opened.
#[derive(Debug)]
pub struct Refused<'a> {
    /// What is known of it.
    pub connection: &'a ConnectionInfo,
    /// Response flags as Envoy sets them.
    pub flags: Flags,
    /// Why, in Envoy's words where it has some.
    pub reason: &'a str,
}

/// Makes one observer per worker, on the worker's thread.
pub trait ObserverFactory: Send + Sync + 'static {
    /// The observer of worker `index`.
    fn worker(&self, index: usize) -> Rc<dyn Observer>;
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn request(&self, _info: &RequestInfo, _hcm: &Hcm) {}
    fn connection_opened(&self, _connection: &ConnectionInfo, _listener: &Listener) {}
    fn connection_closed(&self, _connection: &ConnectionInfo, _listener: &Listener) {}
    fn connection_refused(&self, _refused: &Refused<'_>, _listener: &Listener) {}
    fn tcp(&self, _info: &RequestInfo, _proxy: &TcpProxy) {}
}

impl ObserverFactory for Silent {
    fn worker(&self, _index: usize) -> Rc<dyn Observer> {
        Rc::new(Self)
    }
}

impl<F: ObserverFactory> ObserverFactory for Arc<F> {
    fn worker(&self, index: usize) -> Rc<dyn Observer> {
        (**self).worker(index)
    }
}
