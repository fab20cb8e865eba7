//! Who hears of everything that ends: metrics, access logs and spans, per worker.

use std::{rc::Rc, sync::Arc};

use crate::{
    access_log::{Logger, Sinks},
    info::{ConnectionInfo, RequestInfo},
    metrics::{Metrics, WorkerMetrics},
    observe::{Observer, ObserverFactory, Refused},
    snapshot::{Hcm, Listener, TcpProxy},
    trace::Spans,
};

/// Makes each worker its observer.
#[derive(Debug)]
pub struct Telemetry {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Access logs.
    pub logs: Arc<Sinks>,
    /// Spans on their way out.
    pub spans: Spans,
}

impl ObserverFactory for Telemetry {
    fn worker(&self, _index: usize) -> Rc<dyn Observer> {
        let logger = Logger::new(self.logs.clone());
        Rc::new(Worker { metrics: self.metrics.worker(), logger, spans: self.spans.clone() })
    }
}

struct Worker {
    metrics: WorkerMetrics,
    logger: Logger,
    spans: Spans,
}

impl Observer for Worker {
    fn request(&self, info: &RequestInfo, hcm: &Hcm) {
        self.metrics.request(info, hcm);
        if !hcm.access_logs.is_empty() {
            self.logger.log(info, &hcm.access_logs);
        }
        if let Some(tracing) = &hcm.tracing {
            self.spans.record(info, tracing);
        }
    }

    fn connection_opened(&self, connection: &ConnectionInfo, listener: &Listener) {
        self.metrics.opened(connection, listener);
    }

    fn connection_closed(&self, connection: &ConnectionInfo, listener: &Listener) {
        self.metrics.closed(connection, listener);
    }

    fn connection_refused(&self, refused: &Refused<'_>, listener: &Listener) {
        self.metrics.refused(refused, listener);
    }

    fn tcp(&self, info: &RequestInfo, proxy: &TcpProxy) {
        self.metrics.relayed(info, proxy);
        if !proxy.access_logs.is_empty() {
            self.logger.log(info, &proxy.access_logs);
        }
    }
}
