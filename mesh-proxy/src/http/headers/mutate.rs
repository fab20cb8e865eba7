//! Header edits that the configuration asks for, in Envoy's order: removals, then additions.

use http::{HeaderMap, HeaderValue};

use super::format;
use crate::{
    info::RequestInfo,
    snapshot::{AppendAction, HeaderEdit, HeaderFormat, HeaderKey, HeaderMutation},
};

/// What operators in header values may refer to.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) info: &'a RequestInfo,
    /// The request's headers as they are now.
    pub(super) request: &'a HeaderMap,
    /// The response's headers, when there are any.
    pub(super) response: Option<&'a HeaderMap>,
}

/// Applies `mutation` to `headers`: a request's, or with `request` a response's. Edits of pseudo-headers are handed to the
/// caller, who owns those.
pub(crate) fn mutate(
    mutation: &HeaderMutation,
    headers: &mut HeaderMap,
    info: &RequestInfo,
    request: Option<&HeaderMap>,
    mut pseudo: impl FnMut(&HeaderKey, HeaderValue),
) {
    for name in &mutation.remove {
        headers.remove(name);
    }
    for edit in &mutation.set {
        let value = match &edit.value {
            HeaderFormat::Literal(value) => Some(value.clone()),
            HeaderFormat::Format(template) => {
                let context = match request {
                    None => Context { info, request: headers, response: None },
                    Some(request) => Context { info, request, response: Some(headers) },
                };
                HeaderValue::try_from(format::format(template, &context).trim()).ok()
            }
        };
        let Some(value) = value.filter(|value| edit.keep_empty || !value.is_empty()) else { continue };
        match &edit.name {
            HeaderKey::Name(_) => apply(edit, value, headers),
            key => pseudo(key, value),
        }
    }
}

fn apply(edit: &HeaderEdit, value: HeaderValue, headers: &mut HeaderMap) {
    let HeaderKey::Name(name) = &edit.name else { return };
    match edit.append {
        AppendAction::AppendIfExistsOrAdd => {
            headers.append(name, value);
        }
        AppendAction::AddIfAbsent if !headers.contains_key(name) => {
            headers.insert(name, value);
        }
        AppendAction::OverwriteIfExistsOrAdd => {
            headers.insert(name, value);
        }
        AppendAction::OverwriteIfExists if headers.contains_key(name) => {
            headers.insert(name, value);
        }
        AppendAction::AddIfAbsent | AppendAction::OverwriteIfExists => {}
    }
}
