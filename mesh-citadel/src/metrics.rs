//! Citadel's metrics under the names that Istio's users alert on (`security/pkg/server/ca/monitoring.go`), in Prometheus'
//! text format 0.0.4. Written by hand: Istio's counters do not end in `_total`, which client libraries would add.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Its value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What Citadel counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests received.
    pub csr: Counter,
    /// Requests whose caller was nobody.
    pub authentication_failure: Counter,
    /// Requests that could not be read, or ask for what is not given.
    pub csr_parsing_error: Counter,
    /// Requests that failed for a reason of ours.
    pub csr_sign_error: Counter,
    /// Certificates signed.
    pub success: Counter,
    /// Requests turned away because too many came at once. Ours, not Istio's.
    pub overload: Counter,
    root_expiry: AtomicU64,
    chain_expiry: AtomicU64,
}

impl Metrics {
    pub(crate) fn set_expiries(&self, roots: SystemTime, signer: SystemTime) {
        self.root_expiry.store(seconds(roots), Ordering::Relaxed);
        self.chain_expiry.store(seconds(signer), Ordering::Relaxed);
    }

    /// The exposition at `now`.
    pub fn render(&self, now: SystemTime) -> String {
        let counters = [
            ("csr_count", "Certificate signing requests received.", &self.csr),
            ("authentication_failure_count", "Callers that could not be authenticated.", &self.authentication_failure),
            ("csr_parsing_err_count", "Requests that could not be accepted as they are.", &self.csr_parsing_error),
            ("csr_sign_err_count", "Requests that could not be signed.", &self.csr_sign_error),
            ("success_cert_issuance_count", "Certificates signed.", &self.success),
            ("overload_count", "Requests turned away because too many came at once.", &self.overload),
        ];
        let mut text = String::new();
        for (name, help, counter) in counters {
            write(&mut text, name, help, "counter", counter.value());
        }
        let now = seconds(now);
        for (name, what, expiry) in [
            ("root_cert", "root certificate that expires first", &self.root_expiry),
            ("cert_chain", "signing certificate", &self.chain_expiry),
        ] {
            let expiry = expiry.load(Ordering::Relaxed);
            let timestamp = format!("When the {what} expires, in seconds since 1970.");
            write(&mut text, &format!("{name}_expiry_timestamp"), &timestamp, "gauge", expiry);
            let left = format!("How long until the {what} expires, in seconds.");
            write(&mut text, &format!("{name}_expiry_seconds"), &left, "gauge", expiry.saturating_sub(now));
        }
        text
    }
}

fn write(text: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let name = format!("citadel_server_{name}");
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
