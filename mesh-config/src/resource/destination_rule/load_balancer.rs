//! How an endpoint is picked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    resource::{
        duration::Duration,
        spec::{names, spec},
    },
    schema::{nullable, oneof, positive_duration},
};

/// How an endpoint is picked, and which localities come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LoadBalancerFields", into = "LoadBalancerFields")]
pub struct LoadBalancer {
    /// The algorithm; absent: Istio's default, least request.
    pub policy: Option<LoadBalancerPolicy>,
    /// Locality by weights or failover; excludes `zone_aware`.
    pub locality: Option<LocalityLbSetting>,
    /// Envoy's zone-aware routing.
    pub zone_aware: Option<ZoneAwareLbSetting>,
    /// A new endpoint gets its share gradually.
    pub warmup: Option<Warmup>,
    /// Deprecated: `warmup.duration`.
    pub warmup_duration: Option<Duration>,
}

/// The algorithm.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadBalancerPolicy {
    /// Without affinity.
    Simple(SimpleLb),
    /// By the hash of a request's property.
    ConsistentHash(ConsistentHash),
}

/// By the hash of a request's property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ConsistentHashFields", into = "ConsistentHashFields")]
pub struct ConsistentHash {
    /// What is hashed.
    pub key: HashKey,
    /// The table; absent: a ring.
    pub table: Option<HashTable>,
    /// Deprecated: `table` with a ring of this size.
    pub minimum_ring_size: Option<u64>,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq)]
pub enum HashKey {
    /// A header's value.
    Header(String),
    /// A cookie's value; it is set if the client has none.
    Cookie(HttpCookie),
    /// The client's address.
    SourceIp,
    /// A query parameter's value.
    QueryParameter(String),
}

/// The table.
#[derive(Clone, Debug, PartialEq)]
pub enum HashTable {
    /// Ketama ring.
    Ring(RingHash),
    /// Maglev.
    Maglev(Maglev),
}

spec! {
    /// The JSON form of `LoadBalancer`.
    #[schemars(transform = oneof(&["simple", "consistentHash"]))]
    struct LoadBalancerFields {
        simple: Option<SimpleLb>,
        consistent_hash: Option<ConsistentHash>,
        locality_lb_setting: Option<LocalityLbSetting>,
        zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
        warmup: Option<Warmup>,
        #[schemars(transform = positive_duration())]
        warmup_duration_secs: Option<Duration>,
    }

    /// The JSON form of `ConsistentHash`.
    #[schemars(transform = oneof(&["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"]))]
    #[schemars(transform = oneof(&["ringHash", "maglev"]))]
    struct ConsistentHashFields {
        http_header_name: Option<String>,
        http_cookie: Option<HttpCookie>,
        use_source_ip: Option<bool>,
        http_query_parameter_name: Option<String>,
        ring_hash: Option<RingHash>,
        maglev: Option<Maglev>,
        minimum_ring_size: Option<u64>,
    }

    /// A cookie for affinity.
    pub struct HttpCookie {
        required name: String,
        path: String,
        /// Absent: a session cookie that the proxy does not set; 0s: set, for the session.
        ttl: Option<Duration>,
        attributes: Vec<CookieAttribute>,
    }

    /// An attribute of the cookie, such as `SameSite`.
    pub struct CookieAttribute {
        required name: String,
        value: String,
    }

    /// Ketama ring.
    pub struct RingHash {
        /// 1024 if 0 or absent.
        minimum_ring_size: u64,
    }

    /// Maglev.
    pub struct Maglev {
        /// A prime below 5 000 011; 65 537 if absent.
        table_size: Option<u64>,
    }

    /// Which localities get the traffic; `distribute`, `failover` and `failover_priority` exclude each other.
    pub struct LocalityLbSetting {
        distribute: Vec<Distribute>,
        failover: Vec<Failover>,
        /// Labels (`key` or `key=value`) compared in order to sort endpoints into priorities.
        failover_priority: Vec<String>,
        /// true if absent (where outlier detection is set).
        #[schemars(transform = nullable)]
        enabled: Option<bool>,
    }

    /// From one locality to others, by weight.
    pub struct Distribute {
        from: String,
        /// Locality → percent; the sum is 100.
        to: BTreeMap<String, u32>,
    }

    /// From one region to another.
    pub struct Failover {
        from: String,
        to: String,
    }

    /// Envoy's zone-aware routing.
    pub struct ZoneAwareLbSetting {
        #[schemars(transform = nullable)]
        enabled: Option<bool>,
        failover: Vec<Failover>,
        failover_priority: Vec<String>,
        #[schemars(range(min = 1))]
        #[schemars(transform = nullable)]
        min_cluster_size: Option<u64>,
    }

    /// A gradual start.
    pub struct Warmup {
        #[schemars(transform = positive_duration())]
        required duration: Duration,
        /// The share at the start, 0 to 100; 10 if absent.
        #[schemars(range(min = 0, max = 100))]
        #[schemars(transform = nullable)]
        minimum_percent: Option<f64>,
        /// 1 (linear) if absent.
        #[schemars(range(min = 0))]
        #[schemars(transform = nullable)]
        aggression: Option<f64>,
    }
}

names! {
    /// Algorithms without affinity.
    pub enum SimpleLb {
        /// Istio chooses: least request.
        #[default]
        Unspecified = "UNSPECIFIED",
        /// Deprecated: least request.
        LeastConn = "LEAST_CONN",
        Random = "RANDOM",
        /// The original destination.
        Passthrough = "PASSTHROUGH",
        RoundRobin = "ROUND_ROBIN",
        LeastRequest = "LEAST_REQUEST",
    }
}

/// Fields that exclude each other, or a choice that was not made.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLoadBalancer {
    /// Two algorithms.
    #[error("only one of simple and consistentHash can be set: keep one")]
    TwoPolicies,
    /// No property to hash, or several.
    #[error("exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName must be set, {0} are")]
    HashKeys(usize),
    /// Two tables.
    #[error("only one of MinimumRingSize or Maglev/Ringhash can be specified: keep one of ringHash, maglev and minimumRingSize")]
    TwoTables,
}

impl TryFrom<LoadBalancerFields> for LoadBalancer {
    type Error = InvalidLoadBalancer;

    fn try_from(fields: LoadBalancerFields) -> Result<Self, InvalidLoadBalancer> {
        let policy = match (fields.simple, fields.consistent_hash) {
            (None, None) => None,
            (Some(simple), None) => Some(LoadBalancerPolicy::Simple(simple)),
            (None, Some(hash)) => Some(LoadBalancerPolicy::ConsistentHash(hash)),
            (Some(_), Some(_)) => return Err(InvalidLoadBalancer::TwoPolicies),
        };
        Ok(Self {
            policy,
            locality: fields.locality_lb_setting,
            zone_aware: fields.zone_aware_lb_setting,
            warmup: fields.warmup,
            warmup_duration: fields.warmup_duration_secs,
        })
    }
}

impl From<LoadBalancer> for LoadBalancerFields {
    fn from(lb: LoadBalancer) -> Self {
        let (simple, consistent_hash) = match lb.policy {
            None => (None, None),
            Some(LoadBalancerPolicy::Simple(simple)) => (Some(simple), None),
            Some(LoadBalancerPolicy::ConsistentHash(hash)) => (None, Some(hash)),
        };
        Self {
            simple,
            consistent_hash,
            locality_lb_setting: lb.locality,
            zone_aware_lb_setting: lb.zone_aware,
            warmup: lb.warmup,
            warmup_duration_secs: lb.warmup_duration,
        }
    }
}

impl TryFrom<ConsistentHashFields> for ConsistentHash {
    type Error = InvalidLoadBalancer;

    fn try_from(fields: ConsistentHashFields) -> Result<Self, InvalidLoadBalancer> {
        let mut keys: Vec<HashKey> = Vec::with_capacity(1);
        keys.extend(fields.http_header_name.map(HashKey::Header));
        keys.extend(fields.http_cookie.map(HashKey::Cookie));
        keys.extend(fields.use_source_ip.filter(|used| *used).map(|_| HashKey::SourceIp));
        keys.extend(fields.http_query_parameter_name.map(HashKey::QueryParameter));
        let given = keys.len();
        let (Some(key), 1) = (keys.pop(), given) else {
            return Err(InvalidLoadBalancer::HashKeys(given));
        };
        let table = match (fields.ring_hash, fields.maglev) {
            (None, None) => None,
            (Some(ring), None) => Some(HashTable::Ring(ring)),
            (None, Some(maglev)) => Some(HashTable::Maglev(maglev)),
            (Some(_), Some(_)) => return Err(InvalidLoadBalancer::TwoTables),
        };
        let minimum_ring_size = fields.minimum_ring_size.filter(|size| *size > 0);
        if table.is_some() && minimum_ring_size.is_some() {
            return Err(InvalidLoadBalancer::TwoTables);
        }
        Ok(Self { key, table, minimum_ring_size })
    }
}

impl From<ConsistentHash> for ConsistentHashFields {
    fn from(hash: ConsistentHash) -> Self {
        let mut fields = Self { minimum_ring_size: hash.minimum_ring_size, ..Self::default() };
        match hash.key {
            HashKey::Header(name) => fields.http_header_name = Some(name),
            HashKey::Cookie(cookie) => fields.http_cookie = Some(cookie),
            HashKey::SourceIp => fields.use_source_ip = Some(true),
            HashKey::QueryParameter(name) => fields.http_query_parameter_name = Some(name),
        }
        match hash.table {
            Some(HashTable::Ring(ring)) => fields.ring_hash = Some(ring),
            Some(HashTable::Maglev(maglev)) => fields.maglev = Some(maglev),
            None => {}
        }
        fields
    }
}

crate::resource::spec::schema_of! {
    LoadBalancer => LoadBalancerFields;
    ConsistentHash => ConsistentHashFields;
}
