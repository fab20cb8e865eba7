//! The client in front of the proxies: connects as a request says (plaintext or TLS), speaks HTTP/1.0, 1.1, 2 or plain bytes, and tells what it got.

mod http1;
mod http2;
mod tcp;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use mesh_runtime::task::Tasks;
use tokio::net::TcpSocket;

use super::{
    certificates::Certificates,
    observe::{Outcome, Response, Session},
    scenario::{Request, Version},
    wire::{Io, Wire},
};

/// Nothing here takes longer unless it hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// Makes requests.
pub(super) struct Client {
    certificates: Arc<Certificates>,
    tasks: Tasks,
    /// The last HTTP/1 connection, for `reuse`.
    kept: Option<(Wire, Option<Session>)>,
}

impl Client {
    pub(super) fn new(certificates: Arc<Certificates>) -> Self {
        Self { certificates, tasks: Tasks::new("client"), kept: None }
    }

    /// Makes one request.
    pub(super) async fn exchange(&mut self, request: &Request, port: u16) -> Result<Outcome> {
        let kept = self.kept.take().filter(|_| request.reuse);
        match tokio::time::timeout(DEADLINE, self.attempt(request, port, kept)).await {
            Ok(Ok((outcome, kept))) => {
                self.kept = kept;
                Ok(outcome)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Outcome::TimedOut),
        }
    }

    /// Makes the request `times` at once, each on its own connection; the answers sorted by status.
    pub(super) async fn at_once(&self, request: &Request, port: u16, times: usize) -> Result<Vec<Outcome>> {
        let attempts = (0..times).map(|_| tokio::time::timeout(DEADLINE, self.attempt(request, port, None)));
        let mut outcomes = Vec::new();
        for ended in futures_util::future::join_all(attempts).await {
            outcomes.push(ended.map_or(Ok(Outcome::TimedOut), |ended| ended.map(|(outcome, _)| outcome))?);
        }
        outcomes.sort_by_key(|outcome| if let Outcome::Response(response) = outcome { response.status } else { 0 });
        Ok(outcomes)
    }

    async fn attempt(
        &self,
        request: &Request,
        port: u16,
        kept: Option<(Wire, Option<Session>)>,
    ) -> Result<(Outcome, Option<(Wire, Option<Session>)>)> {
        let (wire, session) = match kept {
            Some(kept) => kept,
            None => match self.connect(request, port).await? {
                Ok(connected) => connected,
                Err(outcome) => return Ok((outcome, None)),
            },
        };
        if let Some(tcp) = &request.tcp {
            return Ok((tcp::exchange(wire, tcp, session.is_some()).await, None));
        }
        if request.version == Version::Http2 && request.raw.is_none() {
            let outcome = http2::exchange(wire, request, session.is_some(), self.tasks.spawner()).await?;
            return Ok((with_session(outcome, session), None));
        }
        let (outcome, wire) = http1::exchange(wire, request, session.is_some()).await;
        Ok((with_session(outcome, session.clone()), wire.map(|wire| (wire, session))))
    }

    async fn connect(&self, request: &Request, port: u16) -> Result<Result<(Wire, Option<Session>), Outcome>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = request.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let Ok(stream) = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await else { return Ok(Err(Outcome::Closed)) };
        stream.set_nodelay(true)?;
        let Some(tls) = &request.tls else { return Ok(Ok((Wire::new(Box::new(stream)), None))) };
        let Some((stream, session)) = tls::connect(stream, tls, &self.certificates).await? else { return Ok(Err(Outcome::TlsRefused)) };
        let io: Box<dyn Io> = Box::new(stream);
        Ok(Ok((Wire::new(io), Some(session))))
    }
}

/// An answer is told together with the session it came over.
fn with_session(outcome: Outcome, session: Option<Session>) -> Outcome {
    match outcome {
        Outcome::Response(response) => Outcome::Response(Box::new(Response { tls: session, ..*response })),
        other => other,
    }
}

/// What a connection that broke before an answer means.
fn broken(tls: bool) -> Outcome {
    if tls { Outcome::TlsRefused } else { Outcome::Closed }
}
