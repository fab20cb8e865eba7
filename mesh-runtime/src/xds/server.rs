//! The xDS server: aggregated streams of both variants, each a task round its state machine, fed with snapshots by whoever admitted it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub use super::provider::{Limits, Violation};
use super::{Event, Handler, Observer, Peer, Snapshot, sotw, state};
use crate::drain::DrainWatch;
use crate::task::Spawner;

/// An xDS server, as a tonic service.
pub struct Server<H> {
    handler: Arc<H>,
    tasks: Spawner,
    drain: DrainWatch,
    limits: Limits,
}

impl<H: Handler> Server<H> {
    /// Streams run on `tasks` and end when the drain begins.
    #[must_use]
    pub fn new(handler: Arc<H>, tasks: Spawner, drain: DrainWatch, limits: Limits) -> Self {
        Self { handler, tasks, drain, limits }
    }

    /// To be added to `tonic::service::Routes`.
    #[must_use]
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        let Limits { request, response, .. } = self.limits;
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(request).max_encoding_message_size(response)
    }

    fn start<S: Half>(&self, request: Request<Streaming<S::Request>>) -> Result<Response<Responses<S::Response>>, Status> {
        // Without it nobody knows who is calling: the server was not started by `grpc::serve`.
        let peer = Peer::of(&request).cloned().ok_or_else(|| Status::internal("the connection has no peer information"))?;
        // One response is on its way to the transport, the next is made when there is room: a slow client gets the newest.
        let (responses, queue) = mpsc::channel(1);
        let session =
            Session { half: S::new(self.limits), requests: request.into_inner(), responses: responses.clone(), observer: Observed(None) };
        let (handler, drain) = (self.handler.clone(), self.drain.clone());
        let run = async move {
            if let Err(status) = session.run(&*handler, peer, drain).await {
                tracing::debug!(code = ?status.code(), message = status.message(), "xDS stream ended");
                let _ = responses.send(Err(status)).await;
            }
        };
        self.tasks.spawn("xds stream", run).ok_or_else(|| Status::unavailable("the server is shutting down"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }
}

impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The responses of a stream.
pub type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<H: Handler> AggregatedDiscoveryService for Server<H> {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.start::<sotw::Server>(request)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.start::<state::Server>(request)
    }
}

/// One stream.
struct Session<S: Half> {
    half: S,
    requests: Streaming<S::Request>,
    responses: mpsc::Sender<Result<S::Response, Status>>,
    observer: Observed,
}

impl<S: Half> Session<S> {
    /// Until the client leaves (`Ok`), or the stream must be ended with a status.
    async fn run(mut self, handler: &impl Handler, peer: Peer, drain: DrainWatch) -> Result<(), Status> {
        let responses = self.responses.clone();
        let opened = tokio::select! {
            biased;
            () = drain.draining() => return Err(draining()),
            () = responses.closed() => return Ok(()),
            opened = self.open(handler, peer) => opened?,
        };
        let Some((mut snapshots, first)) = opened else { return Ok(()) };
        self.take(first)?;
        if let Some(snapshot) = snapshots.borrow_and_update().clone() {
            self.half.feed(snapshot);
        }
        let mut outbound = None;
        loop {
            if outbound.is_none() {
                outbound = self.half.poll();
                for event in self.half.take_current() {
                    self.observer.tell(event);
                }
            }
            tokio::select! {
                biased;
                () = drain.draining() => return Err(draining()),
                permit = responses.reserve(), if outbound.is_some() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some((response, event)) = outbound.take() {
                        permit.send(Ok(response));
                        self.observer.tell(event);
                    }
                }
                () = responses.closed() => return Ok(()),
                request = self.requests.message() => match request? {
                    Some(request) => self.take(request)?,
                    None => return Ok(()),
                },
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("the source of this configuration is gone; come back"));
                    }
                    if let Some(snapshot) = snapshots.borrow_and_update().clone() {
                        self.half.feed(snapshot);
                    }
                }
            }
        }
    }

    /// Reads the first request and lets the handler decide.
    async fn open(&mut self, handler: &impl Handler, peer: Peer) -> Result<Option<(Snapshots, S::Request)>, Status> {
        let Some(first) = self.requests.message().await? else { return Ok(None) };
        let node = S::node(&first).cloned().ok_or(Violation::NoNode).and_then(named).map_err(|violation| refused(&violation))?;
        let subscription = handler.open(peer, Arc::new(node)).await?;
        self.observer.0 = subscription.observer;
        if subscription.announce_revisions {
            self.half.announce_revisions();
        }
        Ok(Some((subscription.snapshots, first)))
    }

    fn take(&mut self, request: S::Request) -> Result<(), Status> {
        let events = self.half.request(request).map_err(|violation| refused(&violation))?;
        for event in events {
            self.observer.tell(event);
        }
        Ok(())
    }
}

type Snapshots = tokio::sync::watch::Receiver<Option<Arc<Snapshot>>>;

/// Says `Closed` however the stream ends.
struct Observed(Option<Observer>);

impl Observed {
    fn tell(&mut self, event: Event) {
        if let Some(observer) = &mut self.0 {
            observer(event);
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.tell(Event::Closed);
    }
}

/// A node whose names can be logged and remembered: `workload.namespace` twice and an address fit well.
pub(super) fn named(node: Node) -> Result<Node, Violation> {
    const LIMIT: usize = 1024;
    for (field, text) in [("id", &node.id), ("cluster", &node.cluster)] {
        if text.len() > LIMIT {
            return Err(Violation::Node { field, limit: LIMIT });
        }
    }
    Ok(node)
}

fn draining() -> Status {
    Status::unavailable("the server is shutting down; come back")
}

fn refused(violation: &Violation) -> Status {
    match violation {
        Violation::NoType | Violation::NoNode | Violation::Node { .. } => Status::invalid_argument(violation.to_string()),
        Violation::Types { .. } | Violation::Names { .. } => Status::resource_exhausted(violation.to_string()),
    }
}

/// The server's half of either protocol variant.
pub(super) trait Half: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn new(limits: Limits) -> Self;
    fn node(request: &Self::Request) -> Option<&Node>;
    fn announce_revisions(&mut self);
    fn feed(&mut self, snapshot: Arc<Snapshot>);
    fn request(&mut self, request: Self::Request) -> Result<Vec<Event>, Violation>;
    fn poll(&mut self) -> Option<(Self::Response, Event)>;
    fn take_current(&mut self) -> Vec<Event>;
}

macro_rules! half {
    ($server:ty, $request:ty, $response:ty) => {
        impl Half for $server {
            type Request = $request;
            type Response = $response;

            fn new(limits: Limits) -> Self {
                <$server>::new(limits)
            }

            fn node(request: &Self::Request) -> Option<&Node> {
                request.node.as_ref()
            }

            fn announce_revisions(&mut self) {
                self.announce_revisions();
            }

            fn feed(&mut self, snapshot: Arc<Snapshot>) {
                self.feed(snapshot);
            }

            fn request(&mut self, request: Self::Request) -> Result<Vec<Event>, Violation> {
                self.request(request)
            }

            fn poll(&mut self) -> Option<(Self::Response, Event)> {
                self.poll()
            }

            fn take_current(&mut self) -> Vec<Event> {
                self.take_current()
            }
        }
    };
}

half!(state::Server, DeltaDiscoveryRequest, DeltaDiscoveryResponse);
half!(sotw::Server, DiscoveryRequest, DiscoveryResponse);
