//! What a NACK says: a message for people, and for servers that understand it the names of the refused resources, as the standard error detail
//! `google.rpc.BadRequest` (one field violation a resource).

use std::collections::BTreeSet;

use mesh_proto::google::protobuf::Any;
use mesh_proto::google::rpc::Status;
use prost::Message;
use tonic::Code;

use super::Rejection;
use super::ledger::Name;

/// More refusals than this are only summed up in the message.
const MAX_NAMED: usize = 1_000;
/// Bytes of the message; of a peer's, what is kept of it.
pub(super) const MAX_MESSAGE: usize = 4_096;

const TYPE_URL: &str = "type.googleapis.com/google.rpc.BadRequest";

/// `google.rpc.BadRequest` of googleapis' `error_details.proto`.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// The error detail of a NACK.
pub(super) fn refusal(rejections: &[Rejection]) -> Status {
    let mut message = String::new();
    for rejection in rejections {
        if !message.is_empty() {
            message.push_str("; ");
        }
        message.push_str(&rejection.name);
        message.push_str(": ");
        message.push_str(&rejection.reason);
        if message.len() > MAX_MESSAGE {
            truncate(&mut message, MAX_MESSAGE);
            message.push_str(" …");
            break;
        }
    }
    let details = if rejections.len() > MAX_NAMED { Vec::new() } else { vec![pack(rejections)] };
    Status { code: Code::InvalidArgument as i32, message, details }
}

/// The names that a NACK blames; empty when it does not say, or blames more than a sound client would name.
pub(super) fn culprits(status: &Status) -> BTreeSet<Name> {
    let named: BTreeSet<Name> = status
        .details
        .iter()
        .filter(|detail| mesh_proto::type_url::message_name(&detail.type_url) == "google.rpc.BadRequest")
        .filter_map(|detail| BadRequest::decode(detail.value.as_slice()).ok())
        .flat_map(|bad| bad.field_violations)
        .map(|violation| violation.field.into())
        .take(MAX_NAMED + 1)
        .collect();
    if named.len() > MAX_NAMED { BTreeSet::new() } else { named }
}

fn pack(rejections: &[Rejection]) -> Any {
    let violation = |rejection: &Rejection| {
        let mut description = rejection.reason.clone();
        truncate(&mut description, MAX_MESSAGE);
        FieldViolation { field: rejection.name.to_string(), description }
    };
    let bad = BadRequest { field_violations: rejections.iter().map(violation).collect() };
    Any { type_url: TYPE_URL.into(), value: bad.encode_to_vec() }
}

/// Cuts `text` to at most `bytes`, between characters.
pub(super) fn truncate(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_wire() {
        let rejection = |name: &str| Rejection { name: name.into(), reason: "route.timeout: negative".repeat(1_000) };
        let status = refusal(&[rejection("a"), rejection("b")]);
        assert!(status.message.starts_with("a: route.timeout") && status.message.len() < MAX_MESSAGE + 10);
        assert_eq!(culprits(&status), BTreeSet::from(["a".into(), "b".into()]));
        assert!(culprits(&Status { code: 3, message: "a: bad".into(), details: vec![] }).is_empty());
    }
}
