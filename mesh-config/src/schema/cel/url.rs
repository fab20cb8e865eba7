//! URLs for CEL as Kubernetes reads them, which is Go's `url.ParseRequestURI`: absolute, or a path from the root.
//!
//! A browser's parser (WHATWG) takes and refuses others: it forgives spaces and backslashes, and knows no `oci:`.

use std::{collections::HashMap, sync::Arc};

use kube_cel::cel::{
    Context, ExecutionError, ResolveResult, Value as Cel,
    extractors::This,
    objects::{Key, Map, Opaque},
};

/// A URL in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Url {
    scheme: String,
    /// With port and brackets.
    host: String,
    path: String,
    query: String,
}

impl Opaque for Url {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.URL"
    }
}

/// Puts the functions in place.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function("url", |text: Arc<String>| -> ResolveResult {
        let invalid = || ExecutionError::function_error("url", format!("`{text}` is not a URL"));
        Ok(Cel::Opaque(Arc::new(parse(&text).ok_or_else(invalid)?)))
    });
    context.add_function("isURL", |text: Arc<String>| -> ResolveResult { Ok(Cel::Bool(parse(&text).is_some())) });
    context.add_function("getScheme", |This(url): This<Cel>| part(&url, |url| url.scheme.clone()));
    context.add_function("getHost", |This(url): This<Cel>| part(&url, |url| url.host.clone()));
    context
        .add_function("getHostname", |This(url): This<Cel>| part(&url, |url| split_port(&url.host).0.trim_matches(['[', ']']).to_owned()));
    context.add_function("getPort", |This(url): This<Cel>| part(&url, |url| split_port(&url.host).1.to_owned()));
    context.add_function("getEscapedPath", |This(url): This<Cel>| part(&url, |url| url.path.clone()));
    context.add_function("getQuery", |This(url): This<Cel>| of(&url).map(query));
}

fn part(value: &Cel, part: impl Fn(&Url) -> String) -> ResolveResult {
    Ok(Cel::String(Arc::new(part(of(value)?))))
}

fn of(value: &Cel) -> Result<&Url, ExecutionError> {
    match value {
        Cel::Opaque(opaque) => opaque.downcast_ref(),
        _ => None,
    }
    .ok_or_else(|| ExecutionError::function_error("url", "not a URL"))
}

/// Name → values, in order.
fn query(url: &Url) -> Cel {
    let mut values: HashMap<Key, Vec<Cel>> = HashMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (unescaped(&name.replace('+', " ")), unescaped(&value.replace('+', " "))) {
            values.entry(Key::String(Arc::new(name))).or_default().push(Cel::String(Arc::new(value)));
        }
    }
    Cel::Map(Map { map: Arc::new(values.into_iter().map(|(name, values)| (name, Cel::List(Arc::new(values)))).collect()) })
}

/// Go asks twice: whether the text is a request's URL, in which `#` means nothing, and then for the parts.
fn parse(text: &str) -> Option<Url> {
    parts(text)?;
    parts(text.split_once('#').map_or(text, |(before, _)| before))
}

fn parts(text: &str) -> Option<Url> {
    if text.is_empty() || text.chars().any(|c| c.is_ascii_control()) {
        return None;
    }
    let (scheme, rest) = split_scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), query: query.to_owned(), ..Url::default() };
    if !rest.starts_with('/') {
        // `mailto:somebody`: no host and no path. A relative reference is no URL here.
        return (!url.scheme.is_empty()).then_some(url);
    }
    let mut path = rest;
    if let Some(authority) = rest.strip_prefix("//").filter(|_| !url.scheme.is_empty()) {
        let end = authority.find('/').unwrap_or(authority.len());
        let (authority, tail) = authority.split_at(end);
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if !is_user(user) || !is_host(host) {
            return None;
        }
        url.host = host.to_owned();
        path = tail;
    }
    unescaped(path)?;
    path.clone_into(&mut url.path);
    Some(url)
}

/// What stands before the first colon, if it can be a scheme; none at all if the text begins with a colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return None,
            ':' => return Some((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Some(("", text))
}

fn is_user(user: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    user.chars().all(valid) && unescaped(user).is_some()
}

/// A name or an address in brackets, and a numeric port.
fn is_host(host: &str) -> bool {
    let (name, port) = split_port(host);
    let brackets = name.starts_with('[');
    let valid = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(c);
    let port_valid = host.len() == name.len() || port.bytes().all(|c| c.is_ascii_digit());
    let shape_valid = brackets == name.ends_with(']') && (brackets || !name.contains([':', '[', ']']));
    port_valid && shape_valid && name.chars().all(valid) && name.split('%').skip(1).all(is_host_escape)
}

/// What follows a `%` in a host: a byte that is not ASCII, or the `%` of an address's zone (RFC 6874).
fn is_host_escape(after: &str) -> bool {
    after.get(..2).is_some_and(|digits| digits == "25" || u8::from_str_radix(digits, 16).is_ok_and(|byte| byte >= 0x80))
}

/// `host:port` in two; the port is empty if there is none.
fn split_port(host: &str) -> (&str, &str) {
    let after_brackets = host.rfind(']').unwrap_or(0);
    match host[after_brackets..].rfind(':') {
        Some(colon) => (&host[..after_brackets + colon], &host[after_brackets + colon + 1..]),
        None => (host, ""),
    }
}

/// The text without `%xx`; none if one of them is not two hexadecimal digits.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &rest[2..];
        } else {
            bytes.push(first);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn go_s_idea_of_a_url() {
        for (text, scheme, host, path) in [
            ("http://localhost:8080/jwks", "http", "localhost:8080", "/jwks"),
            ("HTTPS://user:secret@[::1]:443/a%20b?x=1#y", "https", "[::1]:443", "/a%20b"),
            ("oci://registry.example/plugin:v1", "oci", "registry.example", "/plugin:v1"),
            ("/just/a/path", "", "", "/just/a/path"),
            ("file:///opt/plugin.wasm", "file", "", "/opt/plugin.wasm"),
            ("mailto:a@b", "mailto", "", ""),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.scheme.as_str(), url.host.as_str(), url.path.as_str()), (scheme, host, path), "{text}");
        }
        for text in [
            "",
            "relative",
            "relative/path",
            "hTPp\\\\blah",
            "http://a b/",
            "http://a%41/",
            "http://host:port/",
            "http://host/%zz",
            ":nothing",
            "http://[::1",
            "http://#%blah$#@",
            "http://a#b",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn host_and_port_come_apart() {
        for (host, name, port) in [("a:1", "a", "1"), ("[::1]:2", "[::1]", "2"), ("[::1]", "[::1]", ""), ("a", "a", "")] {
            assert_eq!(split_port(host), (name, port));
        }
    }
}
