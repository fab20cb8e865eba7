//! The xDS client: one aggregated stream, reopened for ever, round the state machine of its protocol variant. What was received stays in force over
//! disconnects and restarts of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{Connection, Interest, Sink, sotw, state};
use crate::backoff::{Backoff, Policy};
use crate::drain::DrainWatch;

/// How a client connects and who it is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sent with the first request of every stream.
    pub node: Node,
    /// The protocol variant.
    pub mode: Mode,
    /// To the server; reconnects by itself (`connect::Connector::channel`).
    pub channel: Channel,
    /// Waits between streams; started over by the first answer.
    pub backoff: Policy,
    /// Bytes of one response; a larger one ends the stream.
    pub max_message: usize,
}

/// A protocol variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Incremental (`DELTA_GRPC`).
    Delta,
    /// State of the world (`GRPC`).
    Sotw,
}

impl Config {
    /// Delta, with the usual backoff, and messages of at most 64 MiB.
    #[must_use]
    pub fn new(node: Node, channel: Channel) -> Self {
        Self { node, mode: Mode::Delta, channel, backoff: Policy::RECONNECT, max_message: 64 << 20 }
    }

    /// Sets the protocol variant.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
}

/// One aggregated subscription to a control plane.
#[derive(Debug)]
pub struct Client {
    config: Config,
    handle: Handle,
}

/// Changes what a [`Client`] asks for. Cheap to clone; may be used before and while it runs, also inside of [`Sink::apply`].
#[derive(Clone, Default)]
pub struct Handle {
    shared: Arc<Wishes>,
}

impl Client {
    /// A client that asks for nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, handle: Handle::default() }
    }

    /// To subscribe with.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Receives until the drain. The stream is opened once something is subscribed to; whatever ends it, it is opened anew after a back-off.
    pub async fn run(self, sink: impl Sink, drain: DrainWatch) {
        let node = self.config.node.clone();
        match self.config.mode {
            Mode::Delta => self.drive(state::Client::new(node), sink, drain).await,
            Mode::Sotw => self.drive(sotw::Client::new(node), sink, drain).await,
        }
    }

    async fn drive<H: Half>(self, mut half: H, mut sink: impl Sink, drain: DrainWatch) {
        let mut backoff = Backoff::new(self.config.backoff);
        loop {
            let ended = tokio::select! {
                biased;
                () = drain.draining() => return,
                ended = self.stream(&mut half, &mut sink, &mut backoff) => ended,
            };
            let reason = format!("{:?}: {}", ended.code(), ended.message());
            let delay = backoff.next_delay();
            tracing::info!(%reason, ?delay, "xDS stream ended; keeping what is held");
            sink.connection(Connection::Disconnected { reason });
            tokio::select! {
                biased;
                () = drain.draining() => return,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// One stream, from its first request to whatever ends it.
    async fn stream<H: Half>(&self, half: &mut H, sink: &mut impl Sink, backoff: &mut Backoff) -> Status {
        half.connected();
        let wishes = &self.handle.shared;
        let mut outbound = loop {
            wishes.tell(half);
            if let Some(request) = half.poll() {
                break Some(request);
            }
            wishes.changed.notified().await;
        };
        let (requests, queue) = mpsc::channel(16);
        let client = AggregatedDiscoveryServiceClient::new(self.config.channel.clone()).max_decoding_message_size(self.config.max_message);
        // Some servers send headers with the first response only, so requests must flow while the stream is opening.
        let opening = H::open(client, ReceiverStream::new(queue));
        tokio::pin!(opening);
        let mut responses: Option<Streaming<H::Response>> = None;
        let mut connected = false;
        loop {
            if outbound.is_none() {
                outbound = half.poll();
            }
            tokio::select! {
                biased;
                permit = requests.reserve(), if outbound.is_some() => match (permit, outbound.take()) {
                    (Ok(permit), Some(request)) => permit.send(request),
                    // The transport is gone; the response side knows why.
                    (_, request) => match &mut responses {
                        Some(responses) => return last_words(responses).await,
                        None => match (&mut opening).await {
                            Ok(_) => { drop(request); return Status::unavailable("the server closed the stream"); }
                            Err(status) => return status,
                        },
                    },
                },
                opened = &mut opening, if responses.is_none() => match opened {
                    Ok(stream) => responses = Some(stream),
                    Err(status) => return status,
                },
                () = wishes.changed.notified() => wishes.tell(half),
                received = next(&mut responses), if outbound.is_none() => match received {
                    Ok(Some(response)) => {
                        if !std::mem::replace(&mut connected, true) {
                            backoff.reset();
                            sink.connection(Connection::Connected);
                        }
                        half.response(response, sink);
                    }
                    Ok(None) => return Status::unavailable("the server closed the stream"),
                    Err(status) => return status,
                },
            }
        }
    }
}

impl Handle {
    /// Replaces what is asked for of a type. A name given up and asked for again is sent anew by the server. Giving up delivers no removal: the caller knows.
    pub fn subscribe(&self, type_url: impl Into<Arc<str>>, interest: Interest) {
        self.change(&type_url.into(), |_| Some(interest));
    }

    /// Adds a name to what is asked for of a type.
    pub fn add(&self, type_url: &str, name: impl Into<Arc<str>>) {
        self.change(&type_url.into(), |now| match now {
            Interest::All => None,
            Interest::Names(names) => {
                let mut names = names.clone();
                names.insert(name.into()).then_some(Interest::Names(names))
            }
        });
    }

    /// Gives up a name of a type.
    pub fn remove(&self, type_url: &str, name: &str) {
        self.change(&type_url.into(), |now| match now {
            Interest::All => None,
            Interest::Names(names) => {
                let mut names = names.clone();
                names.remove(name).then_some(Interest::Names(names))
            }
        });
    }

    fn change(&self, type_url: &Arc<str>, edit: impl FnOnce(&Interest) -> Option<Interest>) {
        let mut types = self.shared.types.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = Interest::Names(BTreeSet::new());
        let Some(interest) = edit(types.get(type_url).map_or(&nothing, |wish| &wish.interest)) else { return };
        match types.get_mut(type_url) {
            Some(wish) => {
                wish.kept = wish.kept.intersection(&interest);
                wish.interest = interest;
                wish.told = false;
            }
            None => {
                types.insert(type_url.clone(), Wish { kept: interest.clone(), interest, told: false });
            }
        }
        drop(types);
        self.shared.changed.notify_one();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// What is asked for, shared by handles and client.
#[derive(Default)]
struct Wishes {
    types: Mutex<BTreeMap<Arc<str>, Wish>>,
    changed: Notify,
}

struct Wish {
    interest: Interest,
    /// What was wanted all the time since the client was last told.
    kept: Interest,
    told: bool,
}

impl Wishes {
    fn tell(&self, half: &mut impl Half) {
        let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        for (type_url, wish) in types.iter_mut().filter(|(_, wish)| !wish.told) {
            half.subscribe(type_url, wish.kept.clone());
            half.subscribe(type_url, wish.interest.clone());
            wish.kept = wish.interest.clone();
            wish.told = true;
        }
    }
}

/// The client's half of either protocol variant.
pub(super) trait Half: Send {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn open(
        client: AggregatedDiscoveryServiceClient<Channel>,
        requests: ReceiverStream<Self::Request>,
    ) -> impl Future<Output = Result<Streaming<Self::Response>, Status>> + Send;
    fn connected(&mut self);
    fn subscribe(&mut self, type_url: &Arc<str>, interest: Interest);
    fn poll(&mut self) -> Option<Self::Request>;
    fn response(&mut self, response: Self::Response, sink: &mut dyn Sink);
}

macro_rules! half {
    ($client:ty, $request:ty, $response:ty, $method:ident) => {
        impl Half for $client {
            type Request = $request;
            type Response = $response;

            async fn open(
                mut client: AggregatedDiscoveryServiceClient<Channel>,
                requests: ReceiverStream<Self::Request>,
            ) -> Result<Streaming<Self::Response>, Status> {
                Ok(client.$method(requests).await?.into_inner())
            }

            fn connected(&mut self) {
                self.connected();
            }

            fn subscribe(&mut self, type_url: &Arc<str>, interest: Interest) {
                self.subscribe(type_url, interest);
            }

            fn poll(&mut self) -> Option<Self::Request> {
                self.poll()
            }

            fn response(&mut self, response: Self::Response, sink: &mut dyn Sink) {
                self.response(response, sink);
            }
        }
    };
}

half!(state::Client, DeltaDiscoveryRequest, DeltaDiscoveryResponse, delta_aggregated_resources);
half!(sotw::Client, DiscoveryRequest, DiscoveryResponse, stream_aggregated_resources);

async fn next<T>(responses: &mut Option<Streaming<T>>) -> Result<Option<T>, Status> {
    match responses {
        Some(responses) => responses.message().await,
        None => std::future::pending().await,
    }
}

/// Why a stream that takes no more requests ended.
async fn last_words<T>(responses: &mut Streaming<T>) -> Status {
    loop {
        match responses.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::unavailable("the server closed the stream"),
            Err(status) => return status,
        }
    }
}
