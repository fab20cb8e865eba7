//! Who has acknowledged what.
#![allow(clippy::unwrap_used)]

use mesh_proto::type_url;

use super::*;
use crate::{
    generate::generate,
    testing::{scope, split, world},
};

#[test]
fn a_push_is_over_when_all_that_changed_is_acknowledged() {
    let status = Status::new(Arc::new(Metrics::new()));
    let scope = scope("shop", "a");
    let (before, after) = (generate(&world(&split(80)), &scope), generate(&world(&split(50)), &scope));
    let connection = status.connected("a", &scope, "peer".into());
    status.welcomed(connection, &before);
    for url in [type_url::CLUSTER, type_url::ROUTE] {
        status.observe(connection, Event::Subscribed { type_url: url.into(), interest: Interest::All });
    }
    status.begin("2", Instant::now());
    status.fed(&scope, Some(&before), &after);
    status.finish();
    assert!(status.syncz()["last_push"]["converged_ms"].is_null());
    assert_eq!(status.syncz()["proxies"][0]["waiting_for"][0], "rds");
    // An acknowledgement of what was before does not count.
    status.observe(connection, Event::Ack { type_url: type_url::ROUTE.into(), revision: before.revision.as_str().into() });
    assert!(status.syncz()["last_push"]["converged_ms"].is_null());
    status.observe(connection, Event::Ack { type_url: type_url::ROUTE.into(), revision: after.revision.as_str().into() });
    assert!(status.syncz()["last_push"]["converged_ms"].is_u64());
}

#[test]
fn a_refusal_is_shown_and_a_proxy_that_leaves_is_not_waited_for() {
    let metrics = Arc::new(Metrics::new());
    let status = Status::new(metrics.clone());
    let scope = scope("shop", "a");
    let (before, after) = (generate(&world(&split(80)), &scope), generate(&world(&split(50)), &scope));
    let connection = status.connected("a", &scope, "peer".into());
    status.observe(connection, Event::Subscribed { type_url: type_url::ROUTE.into(), interest: Interest::All });
    status.observe(
        connection,
        Event::Nack {
            type_url: type_url::ROUTE.into(),
            revision: before.revision.as_str().into(),
            message: "no".into(),
            names: Vec::new(),
        },
    );
    assert_eq!(status.syncz()["proxies"][0]["types"]["rds"]["state"], "NACKED");
    assert!(metrics.encode().contains("pilot_total_xds_rejects{type=\"rds\"} 1"));
    status.begin("2", Instant::now());
    status.fed(&scope, Some(&before), &after);
    status.finish();
    status.observe(connection, Event::Closed);
    assert!(status.syncz()["last_push"]["converged_ms"].is_u64());
    assert_eq!(status.syncz()["proxies"].as_array().unwrap().len(), 0);
}
