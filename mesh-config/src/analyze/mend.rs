//! Objects that their kind's type refuses, read without what is wrong with them. A route without an action or a Service with a protocol that does not
//! exist is refused, and validation says so; but others refer to it, it refers to others, and those references are as good or as bad as any.
//! Only analysis reads objects this way: nothing that comes out of here is ever served.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::{
    decode::{self, Path, Segment, View, segments},
    resource::{Kind, Resource},
};

/// How many mistakes of one object are passed over.
const MISTAKES: usize = 64;

/// What stands in for a value that must be there: nothing, of one type or another; a protocol is the one that says least.
const STAND_INS: usize = 5;

fn stand_in(number: usize) -> Value {
    match number {
        0 => json!({}),
        1 => json!(""),
        2 => json!(0),
        3 => json!([]),
        _ => json!("TCP"),
    }
}

/// The object of a kind, as far as it can be read. None if that is hardly anything, or if it has no name.
pub(super) fn resource(kind: Kind, mut object: Value) -> Option<Resource> {
    let mut tried = HashMap::new();
    for _ in 0..MISTAKES {
        match decode::resource(kind, View::Json(&object), &Path::Root) {
            Ok(resource) => return Some(resource),
            Err(error) => mend(kind, &mut object, error.path(), tried.entry(error.path().to_owned()).or_insert(0))?,
        }
    }
    None
}

/// Takes the value at `path` away, or puts another in its place if that was done before or cannot be done.
fn mend(kind: Kind, object: &mut Value, path: &str, tried: &mut usize) -> Option<()> {
    let way = segments(path);
    let (last, parents) = way.split_last()?;
    // Without these nobody knows which object it is.
    if matches!(path, "apiVersion" | "kind" | "metadata" | "metadata.name" | "metadata.namespace") {
        return None;
    }
    let parent = parents.iter().try_fold(object, |value, step| match step {
        Segment::Field(name) => value.get_mut(name),
        Segment::Index(index) => value.get_mut(index),
    })?;
    let next = |tried: &mut usize| {
        *tried += 1;
        (*tried <= STAND_INS).then(|| stand_in(*tried - 1))
    };
    match (last, parent) {
        // What is neither TCP nor UDP is not TCP, which an absent one would be.
        (Segment::Field(name), Value::Object(fields)) if kind == Kind::Service && name == "protocol" && *tried == 0 => {
            *tried += 1;
            fields.insert(name.clone(), json!("SCTP"));
        }
        (Segment::Field(name), Value::Object(fields)) => {
            if *tried > 0 || fields.remove(name).is_none() {
                fields.insert(name.clone(), next(tried)?);
            }
        }
        // The others keep their numbers: messages show them.
        (Segment::Index(index), Value::Array(items)) => {
            let item = items.get_mut(*index)?;
            match item {
                Value::Object(route)
                    if kind == Kind::VirtualService && path.starts_with("spec.http[") && parents.len() == 2 && *tried == 0 =>
                {
                    *tried += 1;
                    answer(route);
                }
                item => *item = next(tried)?,
            }
        }
        _ => return None,
    }
    Some(())
}

/// Leaves an HTTP route one action: the first of those that it has, or an answer.
fn answer(route: &mut Map<String, Value>) {
    const ACTIONS: [&str; 4] = ["route", "redirect", "directResponse", "delegate"];
    let mut given = ACTIONS.into_iter().filter(|action| route.get(*action).is_some_and(|action| !action.is_null() && *action != json!([])));
    let kept = given.next();
    for action in ACTIONS.into_iter().filter(|action| Some(*action) != kept) {
        route.remove(action);
    }
    if kept.is_none() {
        route.insert("directResponse".to_owned(), json!({ "status": 404 }));
    }
    if route.contains_key("mirrors") {
        route.remove("mirror");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::resource::virtual_service::HttpAction;

    fn read(kind: Kind, spec: Value) -> Option<Resource> {
        resource(kind, json!({"apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": {"name": "a"}, "spec": spec}))
    }

    #[test]
    fn a_service_without_its_mistakes() {
        let ports = json!([{"name": "a", "port": 80, "protocol": "HTTP", "colour": "red"}, {"name": "b", "port": "eighty"}]);
        let Some(Resource::Service(service)) = read(Kind::Service, json!({"ports": ports})) else { panic!("no service") };
        assert_eq!(service.spec.ports.iter().map(|port| port.port).collect::<Vec<_>>(), [80, 0]);
        assert_ne!(service.spec.ports[0].protocol, service.spec.ports[1].protocol);
    }

    #[test]
    fn routes_keep_their_numbers() {
        let http = json!([
            {"fault": {"delay": {"percent": 5}}},
            {"route": [{}, {"destination": {"host": "b"}}], "redirect": {"uri": "/"}},
            {"route": [{"destination": {"host": "c"}}], "mirror": {"host": "d"}, "mirrors": [{"destination": {"host": "e"}}]},
        ]);
        let Some(Resource::VirtualService(service)) = read(Kind::VirtualService, json!({"http": http})) else { panic!("no service") };
        let http = &service.spec.http;
        assert_eq!(http[0].fault.as_ref().unwrap().delay.as_ref().unwrap().percent, 5);
        let HttpAction::Route(routes) = &http[1].action else { panic!("no routes") };
        assert_eq!(routes.iter().map(|route| route.destination.host.as_str()).collect::<Vec<_>>(), ["", "b"]);
        assert_eq!(http[2].mirrors[0].destination.host, "e");
    }

    #[test]
    fn what_has_no_name_is_nothing() {
        assert!(resource(Kind::Service, json!({"metadata": {}, "spec": {}})).is_none());
        assert!(resource(Kind::Service, json!([])).is_none());
        assert!(read(Kind::Sidecar, Value::Null).is_some());
        let labelled = json!({"metadata": {"name": "a", "labels": {"app": "a", "tier": true}}, "spec": {}});
        assert_eq!(resource(Kind::Sidecar, labelled).unwrap().meta().labels.len(), 1);
    }
}
