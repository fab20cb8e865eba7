//! `/listeners`.

use mesh_runtime::admin::{Reply, Request};
use serde_json::{Value, json};

use super::{Admin, address_json, wants_json};

pub(super) fn page(admin: &Admin, request: &Request) -> Reply {
    let bound = admin.plane.listeners();
    if wants_json(request) {
        let statuses: Vec<Value> =
            bound.iter().map(|listener| json!({"name": &*listener.name, "local_address": address_json(&listener.local)})).collect();
        return Reply::json(&json!({ "listener_statuses": statuses }));
    }
    Reply::text(bound.iter().map(|listener| format!("{}::{}\n", listener.name, listener.local)).collect::<String>())
}
