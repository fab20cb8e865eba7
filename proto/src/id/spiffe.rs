//! SPIFFE identities: the names that certificates carry and that policies speak of.
//!
//! Source: the SPIFFE-ID standard, §2 (syntax and length limits).

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::text::{check_text, text_formats, text_id};
use super::{InvalidId, Namespace, Reason, ServiceAccount};

/// The SPIFFE-ID standard §2.3: an ID has at most 2048 bytes.
const MAX_ID: usize = 2048;
/// The SPIFFE-ID standard §2.3: a trust domain has at most 255 bytes.
const MAX_TRUST_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// The authority of a SPIFFE ID: `cluster.local` in `spiffe://cluster.local/ns/a/sa/b`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

text_id!(TrustDomain);

impl TrustDomain {
    const WHAT: &'static str = "trust domain";

    fn check(text: &str) -> Result<Cow<'_, str>, Reason> {
        check_text(text, MAX_TRUST_DOMAIN, "a-z, 0-9, '-', '.', '_'", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_')
        })?;
        Ok(Cow::Borrowed(text))
    }
}

/// A SPIFFE ID. Workloads of the mesh have the form `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`; any other
/// valid path is accepted too, and then [`namespace`](Self::namespace) and
/// [`service_account`](Self::service_account) are `None`.
#[derive(Clone)]
pub struct SpiffeId(Arc<Parsed>);

struct Parsed {
    uri: Box<str>,
    trust_domain: TrustDomain,
    workload: Option<(Namespace, ServiceAccount)>,
}

impl SpiffeId {
    const WHAT: &'static str = "SPIFFE ID";

    /// The identity of a service account.
    #[must_use]
    pub fn new(trust_domain: &TrustDomain, namespace: &Namespace, service_account: &ServiceAccount) -> Self {
        // 255 + 63 + 253 bytes and the fixed parts: always below the limit.
        let mut uri = String::with_capacity(64);
        let _ = write!(uri, "{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}");
        Self(Arc::new(Parsed {
            uri: uri.into(),
            trust_domain: trust_domain.clone(),
            workload: Some((namespace.clone(), service_account.clone())),
        }))
    }

    /// The whole URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.uri
    }

    /// Who vouches for it.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.0.trust_domain
    }

    /// The namespace, if the path is `/ns/NAMESPACE/sa/SERVICE-ACCOUNT`.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.0.workload.as_ref().map(|(namespace, _)| namespace)
    }

    /// The service account, if the path is `/ns/NAMESPACE/sa/SERVICE-ACCOUNT`.
    #[must_use]
    pub fn service_account(&self) -> Option<&ServiceAccount> {
        self.0.workload.as_ref().map(|(_, account)| account)
    }

    /// The path with its leading slash, or the empty text.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.uri[SCHEME.len() + self.0.trust_domain.as_str().len()..]
    }

    /// The identity as Istio's policies write principals: without the scheme.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.0.uri[SCHEME.len()..]
    }

    fn parse(text: &str) -> Result<Parsed, Reason> {
        if text.len() > MAX_ID {
            return Err(Reason::TooLong { length: text.len(), limit: MAX_ID });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(Reason::Form("it does not start with spiffe://"))?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let trust_domain: TrustDomain = authority.parse().map_err(|error: InvalidId| shifted(error.reason))?;
        check_path(path, text.len() - path.len())?;
        Ok(Parsed { uri: text.into(), trust_domain, workload: workload(path) })
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match Self::parse(text) {
            Ok(parsed) => Ok(Self(Arc::new(parsed))),
            Err(reason) => Err(InvalidId::new(Self::WHAT, text, reason)),
        }
    }
}

text_formats!(SpiffeId);

impl AsRef<str> for SpiffeId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for SpiffeId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for SpiffeId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SpiffeId {}

impl Hash for SpiffeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for SpiffeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SpiffeId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Positions in a trust domain, told as positions in the URI.
fn shifted(reason: Reason) -> Reason {
    match reason {
        Reason::Empty => Reason::Form("it has no trust domain"),
        Reason::Character { found, at, allowed } => Reason::Character { found, at: at + SCHEME.len(), allowed },
        Reason::TooLong { .. } => Reason::Form("its trust domain has more than 255 bytes"),
        form @ Reason::Form(_) => form,
    }
}

/// §2.2: segments of `[A-Za-z0-9._-]`, none empty, none `.` or `..`, no trailing slash.
fn check_path(path: &str, offset: usize) -> Result<(), Reason> {
    let Some(segments) = path.strip_prefix('/') else { return Ok(()) };
    for segment in segments.split('/') {
        match segment {
            "" => return Err(Reason::Form("its path has an empty segment or a trailing slash")),
            "." | ".." => return Err(Reason::Form("its path has a relative segment ('.' or '..')")),
            _ => {}
        }
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    match path.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, found)) => Err(Reason::Character { found, at: at + offset, allowed: "A-Z, a-z, 0-9, '-', '.', '_' in path segments" }),
        None => Ok(()),
    }
}

fn workload(path: &str) -> Option<(Namespace, ServiceAccount)> {
    let (namespace, account) = path.strip_prefix("/ns/")?.split_once("/sa/")?;
    Some((namespace.parse().ok()?, account.parse().ok()?))
}
