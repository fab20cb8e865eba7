//! Rules of load balancing.

use std::collections::BTreeSet;

use crate::{
    resource::destination_rule::{ConsistentHash, Failover, HashKey, HashTable, LoadBalancer, LoadBalancerPolicy, LocalityLbSetting},
    validate::{
        Checks,
        rules::{key, shown},
    },
};

/// Envoy's largest Maglev table.
const MAX_MAGLEV: u64 = 5_000_011;

/// The labels that make up a locality.
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";

pub(crate) fn load_balancer(balancer: &LoadBalancer, has_outlier_detection: bool, checks: &mut Checks) {
    match &balancer.policy {
        Some(LoadBalancerPolicy::ConsistentHash(hash)) => {
            checks.field("consistentHash", |checks| consistent_hash(hash, checks));
        }
        // Simple load balancing is always in order.
        Some(LoadBalancerPolicy::Simple(_)) | None => {}
    }
    if balancer.locality.is_some() && balancer.zone_aware.is_some() {
        checks.error(None, "only one of localityLbSetting and zoneAwareLbSetting can be set", "keep one");
    }
    if let Some(locality) = &balancer.locality {
        checks.field("localityLbSetting", |checks| self::locality(locality, has_outlier_detection, checks));
    }
    if let Some(zone_aware) = &balancer.zone_aware {
        checks.field("zoneAwareLbSetting", |checks| {
            without_outlier_detection(&zone_aware.failover, &zone_aware.failover_priority, has_outlier_detection, checks);
            failovers(&zone_aware.failover, checks);
            priorities(&zone_aware.failover_priority, &[REGION, ZONE, SUBZONE], checks);
        });
    }
    if let Some(warmup) = &balancer.warmup {
        checks.field("warmup", |checks| {
            checks.duration("duration", Some(warmup.duration));
            if let Some(aggression) = warmup.aggression.filter(|aggression| *aggression == 0.0) {
                checks.field("aggression", |checks| {
                    checks.error(shown(aggression), "aggression should be greater than 0", "set 1 for linear");
                });
            }
        });
    }
    checks.duration("warmupDurationSecs", balancer.warmup_duration);
}

fn consistent_hash(hash: &ConsistentHash, checks: &mut Checks) {
    if let Some(size) = hash.minimum_ring_size {
        checks.field("minimumRingSize", |checks| {
            checks.warning(shown(size), "minimumRingSize is deprecated", "use ringHash.minimumRingSize")
        });
    }
    if let HashKey::Cookie(cookie) = &hash.key {
        checks.field("httpCookie", |checks| {
            if cookie.name.is_empty() {
                checks.field("name", |checks| checks.error(None, "name required for HttpCookie", "name the cookie"));
            }
            let mut names = BTreeSet::new();
            for (index, attribute) in cookie.attributes.iter().enumerate() {
                let field = format!("attributes[{index}].name");
                if attribute.name.is_empty() {
                    checks.field(&field, |checks| checks.error(None, "cookie attribute name cannot be empty", "name it"));
                }
                checks.unique(&field, &mut names, attribute.name.as_str(), "duplicate cookie attribute name");
            }
        });
    }
    if let Some(HashTable::Maglev(maglev)) = &hash.table {
        let problem = match maglev.table_size {
            None | Some(0) => "tableSize must be set for maglev",
            Some(size) if size >= MAX_MAGLEV => "tableSize must be less than 5000011 for maglev",
            Some(size) if !is_prime(size) => "tableSize must be a prime number for maglev",
            Some(_) => return,
        };
        checks.field("maglev.tableSize", |checks| {
            checks.error(maglev.table_size.and_then(shown), problem, "65537 is a good choice");
        });
    }
}

fn is_prime(number: u64) -> bool {
    number > 0 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

pub(crate) fn locality(setting: &LocalityLbSetting, has_outlier_detection: bool, checks: &mut Checks) {
    let given = [!setting.distribute.is_empty(), !setting.failover.is_empty()];
    if given[0] && given[1] {
        checks.error(None, "can not simultaneously specify 'distribute' and 'failover'", "keep one");
    }
    without_outlier_detection(&setting.failover, &setting.failover_priority, has_outlier_detection, checks);
    let from: Vec<&str> = setting.distribute.iter().map(|entry| entry.from.as_str()).collect();
    localities("distribute", &from, checks);
    checks.each("distribute", &setting.distribute, |checks, entry| {
        let mut total = 0_u64;
        for (locality, weight) in &entry.to {
            total += u64::from(*weight);
            if !(1..=100).contains(weight) {
                checks.field(&format!("to{}", key(locality)), |checks| {
                    checks.error(shown(weight), "locality weight must be in range [1, 100]", "set 1 to 100");
                });
            }
        }
        if total != 100 {
            checks.field("to", |checks| {
                let rule = format!("total locality weight {total} != 100");
                checks.error(shown(total), rule, "make the weights sum to 100");
            });
        }
        let to: Vec<&str> = entry.to.keys().map(String::as_str).collect();
        localities("to", &to, checks);
    });
    failovers(&setting.failover, checks);
    if given[1] {
        priorities(&setting.failover_priority, &[REGION, ZONE, SUBZONE], checks);
    }
}

/// Nobody moves on from an endpoint that nobody finds out to be broken.
fn without_outlier_detection(failover: &[Failover], priority: &[String], has_outlier_detection: bool, checks: &mut Checks) {
    if !(has_outlier_detection || failover.is_empty() && priority.is_empty()) {
        let rule = "outlier detection policy must be provided for failover";
        checks.warning(None, rule, "add outlierDetection: without it no locality ever fails");
    }
}

/// Labels that another setting already speaks of.
fn priorities(labels: &[String], taken: &[&str], checks: &mut Checks) {
    checks.each("failoverPriority", labels, |checks, label| {
        if taken.contains(&label.as_str()) {
            let rule = "the locality's own label cannot be a failover priority here";
            checks.error(shown(label), rule, "remove it, or the setting that orders localities");
        }
    });
}

fn failovers(failovers: &[Failover], checks: &mut Checks) {
    checks.each("failover", failovers, |checks, failover| {
        if failover.from == failover.to {
            let rule = "locality lb failover settings must specify different regions";
            checks.error(shown(&failover.from), rule, "name another region in `to`");
        }
        for (field, region) in [("from", &failover.from), ("to", &failover.to)] {
            if region.contains(['*', '/']) {
                checks.field(field, |checks| {
                    checks.error(shown(region), "failover is between regions", "name a region, without zone or wildcard");
                });
            }
        }
    });
}

/// Localities: one trailing `*` at most, and none that covers another.
fn localities(field: &str, names: &[&str], checks: &mut Checks) {
    let parts =
        |name: &str| -> Vec<String> { name.split('/').take_while(|part| *part != "*" && !part.is_empty()).map(str::to_owned).collect() };
    for (index, name) in names.iter().enumerate() {
        let wrong = name.matches('*').count() > 1
            || name.find('*').is_some_and(|at| at + 1 < name.len())
            || name.split('/').any(|part| part.len() > 1 && part.contains('*'))
            || name.is_empty()
            || name.split('/').count() > 3;
        if wrong {
            checks.field(field, |checks| {
                checks.error(shown(name), "not a locality", "write region/zone/subzone, with one `*` at the end at most");
            });
        }
        if names[..index].iter().any(|other| parts(other).starts_with(&parts(name)) || parts(name).starts_with(&parts(other))) {
            checks.field(field, |checks| {
                checks.error(shown(name), "localities overlap", "name each locality once");
            });
        }
    }
}
