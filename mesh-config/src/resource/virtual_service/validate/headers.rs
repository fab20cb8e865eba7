//! Rules of header names, and of the values that routes give headers.

use crate::{
    resource::virtual_service::Headers,
    validate::{
        Checks,
        rules::{key, shown},
    },
};

pub(super) fn headers(headers: Option<&Headers>, checks: &mut Checks) {
    let Some(headers) = headers else { return };
    for (direction, operations) in [("request", &headers.request), ("response", &headers.response)] {
        let Some(operations) = operations else { continue };
        let to_request = direction == "request";
        checks.field(&format!("headers.{direction}"), |checks| {
            for (field, values) in [("set", &operations.set), ("add", &operations.add)] {
                for (name, value) in values {
                    operation(&format!("{field}{}", key(name)), name, to_request, checks);
                    if let Some(problem) = format_problem(value) {
                        checks.field(&format!("{field}{}", key(name)), |checks| {
                            checks.error(shown(value), format!("header value configuration: {problem}"), "write `%%` for a percent sign");
                        });
                    }
                }
            }
            for (index, name) in operations.remove.iter().enumerate() {
                operation(&format!("remove[{index}]"), name, false, checks);
            }
        });
    }
}

/// A header that may be changed; the host only by adding it to, or setting it in, a request.
fn operation(field: &str, name: &str, host: bool, checks: &mut Checks) {
    let problem = match name {
        "" => "header name cannot be empty",
        _ if is_authority(name) && host => return,
        _ if name.eq_ignore_ascii_case("host") => "cannot set Host header",
        _ if name.starts_with(':') => "header cannot have \":\" prefix",
        _ if !is_header(name) => "header name is not a valid header name",
        _ => return,
    };
    checks.field(field, |checks| checks.error(shown(name), problem, "use rewrite.authority for the host; else a token"));
}

pub(super) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// What is wrong with a header's value: every `%` is doubled, or begins a command of Envoy's that ends, such as `%DOWNSTREAM_REMOTE_ADDRESS%`,
/// `%REQ(x-user):8%` or `%UPSTREAM_METADATA(["ns", "key"])%`. Which commands there are is not looked at.
fn format_problem(value: &str) -> Option<&'static str> {
    if value.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Some("a control character is invalid");
    }
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        match command(rest) {
            Some(after) => rest = after,
            None => return Some("invalid: `%` begins a command that does not end"),
        }
    }
    None
}

/// What follows a command, which begins after its `%`.
fn command(text: &str) -> Option<&str> {
    let end = text.find(['%', '('])?;
    if text.as_bytes()[end] == b'%' {
        return Some(&text[end + 1..]);
    }
    let arguments = text[end + 1..].trim_start_matches(' ');
    let after = match arguments.strip_prefix('[') {
        Some(list) => after_list(list)?.trim_start_matches(' ').strip_prefix(')')?,
        None => after_argument(arguments)?,
    };
    // A length, as in `%REQ(x-user):8%`.
    let after = after.strip_prefix(':').map_or(after, |length| length.trim_start_matches(|c: char| c.is_ascii_digit()));
    after.trim_start_matches(' ').strip_prefix('%')
}

/// What follows an argument up to its `)`; a backslash takes the meaning of what follows it away.
fn after_argument(text: &str) -> Option<&str> {
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()?),
            ')' => return Some(&text[at + 1..]),
            _ => {}
        }
    }
    None
}

/// What follows a JSON list of strings, which begins after its `[`.
fn after_list(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start_matches(' ').strip_prefix('"')?;
        let mut characters = text.char_indices();
        let end = loop {
            match characters.next()? {
                (_, '\\') => drop(characters.next()?),
                (at, '"') => break at,
                _ => {}
            }
        };
        text = text[end + 1..].trim_start_matches(' ');
        match text.strip_prefix(',') {
            Some(more) => text = more,
            None => return text.strip_prefix(']'),
        }
    }
}

/// A JWT claim that Istio routes by: `@request.auth.claims.…`, `@request.auth.claims[…]`.
pub(super) fn is_claim(name: &str) -> bool {
    name.strip_prefix("@request.auth.claims").is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// A token of RFC 9110 §5.1.
pub(super) fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}
