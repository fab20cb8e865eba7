//! `exact_balance`: whoever accepts a connection, the worker with the fewest serves it.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mesh_runtime::task::Tasks;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::fixture::*;
use crate::{
    info::{ConnectionInfo, RequestInfo},
    observe::{Observer, ObserverFactory, Refused},
    server::{DataPlane, Options},
    snapshot::{Address, Hcm, Listener, TcpProxy},
};

/// Open connections of each worker.
#[derive(Clone, Default)]
struct Counts(Arc<[AtomicUsize; 2]>);

struct Count(Counts, usize);

impl ObserverFactory for Counts {
    fn worker(&self, index: usize) -> Rc<dyn Observer> {
        Rc::new(Count(self.clone(), index))
    }
}

impl Observer for Count {
    fn request(&self, _: &RequestInfo, _: &Hcm) {}
    fn connection_opened(&self, _: &ConnectionInfo, _: &Listener) {
        self.0.0[self.1].fetch_add(1, Ordering::SeqCst);
    }
    fn connection_closed(&self, _: &ConnectionInfo, _: &Listener) {
        self.0.0[self.1].fetch_sub(1, Ordering::SeqCst);
    }
    fn connection_refused(&self, _: &Refused<'_>, _: &Listener) {}
    fn tcp(&self, _: &RequestInfo, _: &TcpProxy) {}
}

impl Counts {
    fn now(&self) -> [usize; 2] {
        [0, 1].map(|index| self.0[index].load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn open_connections_are_spread_exactly() {
    mesh_runtime::tls::install_provider();
    let tasks = Tasks::new("backend");
    let (counts, options) = (Counts::default(), Options { workers: 2, ..Options::default() });
    let plane = DataPlane::start(options, Arc::new(counts.clone())).unwrap();
    let mut config = config(http_chain(hcm(vec![route("/", |_| {})])), vec![cluster(&[echo(&tasks).await])]);
    config.edit = Box::new(|listener| listener.exact_balance = true);
    assert!(plane.apply(Arc::new(snapshot(config))).is_empty());
    let Address::Socket(address) = plane.listeners()[0].local else { panic!("listens on TCP") };

    let mut open = Vec::new();
    for n in 1..=20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It serves, wherever it is.
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        open.push(stream);
        let [a, b] = counts.now();
        assert_eq!((a + b, a.abs_diff(b) <= 1), (n, true), "{a} and {b}");
    }
    drop(open);
    until(|| (counts.now() == [0, 0]).then_some(())).await;
}
