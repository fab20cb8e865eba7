//! Header edits of routes, virtual hosts, tables and the header mutation filter.

use mesh_proto::envoy::{
    config::{
        common::mutation_rules::v3::{HeaderMutation as WireMutation, header_mutation::Action},
        core::v3::{HeaderValue as WireValue, HeaderValueOption, header_value_option::HeaderAppendAction},
    },
    extensions::filters::http::header_mutation::v3::Mutations,
};

use super::{
    context::{Context, Result, refused},
    log_format::{self, Unknown},
    scalar, text,
};
use crate::snapshot::{AppendAction, FormatPart, HeaderEdit, HeaderFormat, HeaderKey, HeaderMutation, HeaderMutations};

/// The four header fields that routes, virtual hosts and tables share.
pub(crate) struct Wire<'a> {
    pub(crate) request_add: &'a [HeaderValueOption],
    pub(crate) request_remove: &'a [String],
    pub(crate) response_add: &'a [HeaderValueOption],
    pub(crate) response_remove: &'a [String],
}

/// Edits of requests and responses.
pub(crate) fn mutations(cx: &mut Context<'_>, wire: &Wire<'_>) -> Result<HeaderMutations> {
    Ok(HeaderMutations {
        request: HeaderMutation {
            remove: cx.each("request_headers_to_remove", wire.request_remove, |cx, name| removal(cx, name))?,
            set: cx.each("request_headers_to_add", wire.request_add, |cx, option| addition(cx, option, Pseudo::Refused))?,
        },
        response: HeaderMutation {
            remove: cx.each("response_headers_to_remove", wire.response_remove, |cx, name| removal(cx, name))?,
            set: cx.each("response_headers_to_add", wire.response_add, |cx, option| addition(cx, option, Pseudo::Refused))?,
        },
    })
}

/// The header mutation filter's edits.
pub(crate) fn filter(cx: &mut Context<'_>, wire: &Mutations) -> Result<(HeaderMutation, HeaderMutation)> {
    let Mutations {
        request_mutations,
        query_parameter_mutations,
        response_mutations,
        response_trailers_mutations,
        request_trailers_mutations,
    } = wire;
    refused!(cx; "requests would arrive unedited"; query_parameter_mutations, request_trailers_mutations, response_trailers_mutations);
    Ok((ordered(cx, "request_mutations", request_mutations)?, ordered(cx, "response_mutations", response_mutations)?))
}

fn ordered(cx: &mut Context<'_>, name: &str, wire: &[WireMutation]) -> Result<HeaderMutation> {
    let mut edits = HeaderMutation::default();
    cx.each(name, wire, |cx, WireMutation { action }| {
        match action {
            None => return Err(cx.refuse("is empty; give append or remove")),
            Some(Action::Append(option)) => edits.set.push(cx.field("append", |cx| addition(cx, option, Pseudo::Allowed))?),
            Some(Action::Remove(name)) => {
                let name = removal(cx, name)?;
                if edits.set.iter().any(|edit| edit.name == HeaderKey::Name(name.clone())) {
                    return Err(
                        cx.refuse_field("remove", "comes after an addition of the same header, which is not implemented; put it first")
                    );
                }
                edits.remove.push(name);
            }
            Some(Action::RemoveOnMatch(_)) => {
                return Err(cx.refuse_field("remove_on_match", "is not implemented: headers would stay that are to go"));
            }
        }
        Ok(())
    })?;
    Ok(edits)
}

/// Envoy: pseudo-headers and `host` cannot be removed.
fn removal(cx: &mut Context<'_>, name: &str) -> Result<http::HeaderName> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return Err(cx.refuse(format!("{name:?}: pseudo-headers and host cannot be removed")));
    }
    text::header_name(cx, "", name)
}

/// Whether pseudo-headers may be edited: not by routes, which have fields of their own for that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pseudo {
    Allowed,
    Refused,
}

fn addition(cx: &mut Context<'_>, wire: &HeaderValueOption, pseudo: Pseudo) -> Result<HeaderEdit> {
    #[expect(deprecated, reason = "control planes still send the old form")]
    let HeaderValueOption { header, append, append_action, keep_empty_value } = wire;
    let WireValue { key, value, raw_value } = header.as_ref().ok_or_else(|| cx.refuse_field("header", "is missing"))?;
    let name = text::header_key(cx, "header.key", key)?;
    if pseudo == Pseudo::Refused && !matches!(name, HeaderKey::Name(_)) {
        return Err(cx.refuse_field("header.key", format!("{key:?}: pseudo-headers and host cannot be added by a route; rewrite them")));
    }
    let action = scalar::known(cx, "append_action", *append_action)?;
    let append = match (append.as_ref().map(|append| append.value), action) {
        (None, HeaderAppendAction::AppendIfExistsOrAdd) => AppendAction::AppendIfExistsOrAdd,
        (None, HeaderAppendAction::AddIfAbsent) => AppendAction::AddIfAbsent,
        (None, HeaderAppendAction::OverwriteIfExistsOrAdd) => AppendAction::OverwriteIfExistsOrAdd,
        (None, HeaderAppendAction::OverwriteIfExists) => AppendAction::OverwriteIfExists,
        (Some(true), HeaderAppendAction::AppendIfExistsOrAdd) => AppendAction::AppendIfExistsOrAdd,
        (Some(false), HeaderAppendAction::AppendIfExistsOrAdd) => AppendAction::OverwriteIfExistsOrAdd,
        (Some(_), _) => return Err(cx.refuse_field("append", "and append_action are both set; keep append_action")),
    };
    let value = if raw_value.is_empty() {
        value.as_str()
    } else {
        std::str::from_utf8(raw_value).map_err(|_| cx.refuse_field("header.raw_value", "is not UTF-8, which is not implemented"))?
    };
    Ok(HeaderEdit { name, value: cx.field("header.value", |cx| format(cx, value))?, append, keep_empty: *keep_empty_value })
}

/// A header's value: constant, or with operators.
fn format(cx: &mut Context<'_>, value: &str) -> Result<HeaderFormat> {
    let format = log_format::text(cx, value, true, Unknown::Refuse)?;
    Ok(match format.parts.as_slice() {
        [] => HeaderFormat::Literal(text::header_value(cx, "", "")?),
        [FormatPart::Text(literal)] => HeaderFormat::Literal(text::header_value(cx, "", literal)?),
        _ => HeaderFormat::Format(format.into()),
    })
}
