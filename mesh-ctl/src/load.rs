//! Traffic for the demo: a closed loop of GETs to the gateway, counted by who answered.
//!
//! It judges from outside: a request failed if the caller saw it fail.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_runtime::task::Tasks;
use serde_json::Value;
use tokio::net::TcpStream;

const MAX_BODY: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);
/// Failures whose text is kept.
const KEPT_FAILURES: usize = 20;

/// A caller: one connection at a time to one address.
pub struct Caller {
    address: SocketAddr,
    host: HeaderValue,
    connection: Option<SendRequest<Empty<Bytes>>>,
    tasks: Tasks,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Body as JSON, or null.
    pub body: Value,
    /// Body as text.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    /// The connection broke or spoke no HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The body broke off.
    #[error("the body broke off: {0}")]
    Body(String),
    /// Too slow.
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    /// The request was no request.
    #[error("{0}")]
    Request(#[from] http::Error),
}

impl Caller {
    /// A caller of `host` at `address`.
    ///
    /// # Errors
    /// When `host` is no header value.
    pub fn new(address: SocketAddr, host: &str) -> Result<Self, Error> {
        let host = HeaderValue::try_from(host).map_err(http::Error::from)?;
        Ok(Self { address, host, connection: None, tasks: Tasks::new("caller") })
    }

    /// GETs `path`.
    ///
    /// # Errors
    /// When there was no complete answer.
    pub async fn get(&mut self, path: &str, headers: &[(&'static str, &'static str)]) -> Result<Answer, Error> {
        let answer = tokio::time::timeout(TIMEOUT, self.try_get(path, headers)).await.unwrap_or(Err(Error::Timeout));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn try_get(&mut self, path: &str, headers: &[(&'static str, &'static str)]) -> Result<Answer, Error> {
        let begun = Instant::now();
        let mut request = Request::get(path).body(Empty::new())?;
        request.headers_mut().insert(HOST, self.host.clone());
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let response = loop {
            let mut connection = match self.connection.take() {
                Some(connection) if !connection.is_closed() => connection,
                _ => self.connect().await?,
            };
            // The server may close an idle connection just now; what it did not take is sent on a new one, as every HTTP client does.
            match connection.try_send_request(request).await {
                Ok(response) => {
                    self.connection = Some(connection);
                    break response;
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        };
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| Error::Body(error.to_string()))?.to_bytes();
        let body_json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status, body: body_json, text: String::from_utf8_lossy(&body).into_owned(), took: begun.elapsed() })
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Error> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| Error::Connect(self.address, error))?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn("connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection");
            }
        });
        Ok(sender)
    }
}

impl Answer {
    /// The version of the advertisement that took part, by the answers' own word.
    pub fn advertisement(&self) -> Option<&str> {
        self.body.pointer("/from/version")?.as_str()
    }
}

/// What the callers saw so far.
#[derive(Debug, Default)]
pub struct Tally {
    requests: AtomicU64,
    failures: AtomicU64,
    split: Mutex<BTreeMap<String, u64>>,
    latencies: Mutex<Latencies>,
    examples: Mutex<Vec<String>>,
}

/// A moment of a [`Tally`].
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests that ended.
    pub requests: u64,
    /// Of which failed.
    pub failures: u64,
    /// Answers by version of the advertisement.
    pub split: BTreeMap<String, u64>,
    /// Median.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
}

impl Tally {
    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        let (p50, p99) = self.latencies.lock().map(|l| (l.quantile(0.50), l.quantile(0.99))).unwrap_or_default();
        Seen {
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            split: self.split.lock().map(|split| split.clone()).unwrap_or_default(),
            p50,
            p99,
        }
    }

    /// The first failures, in words.
    pub fn examples(&self) -> Vec<String> {
        self.examples.lock().map(|examples| examples.clone()).unwrap_or_default()
    }

    /// Forgets latencies, so that percentiles are of what comes next.
    pub fn reset_latencies(&self) {
        if let Ok(mut latencies) = self.latencies.lock() {
            *latencies = Latencies::default();
        }
    }

    fn count(&self, answer: &Result<Answer, Error>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let failure = match answer {
            Ok(answer) if answer.status == StatusCode::OK => match answer.advertisement() {
                Some(version) => {
                    if let Ok(mut split) = self.split.lock() {
                        *split.entry(version.to_owned()).or_default() += 1;
                    }
                    if let Ok(mut latencies) = self.latencies.lock() {
                        latencies.add(answer.took);
                    }
                    None
                }
                None => Some(format!("an answer that is not the shop's: {}", answer.text)),
            },
            Ok(answer) => Some(format!("{} {}", answer.status, answer.text)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut examples) = self.examples.lock()
                && examples.len() < KEPT_FAILURES
            {
                examples.push(failure);
            }
        }
    }
}

/// Callers in a closed loop.
pub struct Load {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Load {
    /// Starts `callers` that each send one request after the other, with `pause` between them.
    ///
    /// # Errors
    /// When `host` is no header value.
    pub fn start(address: SocketAddr, host: &str, callers: usize, pause: Duration) -> Result<Self, Error> {
        let tally = Arc::new(Tally::default());
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = Tasks::new("load");
        for _ in 0..callers {
            let mut caller = Caller::new(address, host)?;
            let (tally, stop) = (tally.clone(), stop.clone());
            tasks.spawn("caller", async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = caller.get("/", &[]).await;
                    tally.count(&answer);
                    if answer.is_err() || !pause.is_zero() {
                        tokio::time::sleep(pause.max(Duration::from_millis(1))).await;
                    }
                }
            });
        }
        Ok(Self { tally, stop, tasks })
    }

    /// What the callers see.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Lets requests in flight end, and says what was seen in all.
    pub async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown(TIMEOUT).await;
        self.tally.seen()
    }
}

/// A histogram with buckets 4 % wide, from 10 µs to over a minute.
#[derive(Debug)]
struct Latencies {
    buckets: Vec<u64>,
    total: u64,
}

const BASE: f64 = 1.04;
const FIRST: f64 = 10e-6;

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: vec![0; 420], total: 0 }
    }
}

impl Latencies {
    fn add(&mut self, took: Duration) {
        let exponent = (took.as_secs_f64().max(FIRST) / FIRST).log(BASE);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "non-negative, and bounded by the next line")]
        let bucket = (exponent as usize).min(self.buckets.len() - 1);
        self.buckets[bucket] += 1;
        self.total += 1;
    }

    fn quantile(&self, q: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let rank = q * self.total as f64;
        let mut seen = 0_u64;
        for (n, count) in self.buckets.iter().enumerate() {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
            if *count > 0 && seen as f64 >= rank {
                let exponent = i32::try_from(n).unwrap_or(i32::MAX).saturating_add(1);
                return Duration::from_secs_f64(FIRST * BASE.powi(exponent));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let mut latencies = Latencies::default();
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        let p50 = latencies.quantile(0.5).as_secs_f64();
        let p99 = latencies.quantile(0.99).as_secs_f64();
        assert!((0.48..0.54).contains(&p50), "{p50}");
        assert!((0.95..1.06).contains(&p99), "{p99}");
    }
}
