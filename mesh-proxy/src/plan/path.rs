//! Paths made canonical before anything matches them: what is matched is what is forwarded.
//!
//! Envoy's `normalize_path` (RFC 3986 as Chromium canonicalizes), `merge_slashes` and
//! `path_with_escaped_slashes_action`, in Envoy's order: fragment, escaped slashes, normalization, merging. The query is never
//! touched.

use std::borrow::Cow;

use crate::snapshot::{EscapedSlashes, Hcm};

/// What is done to paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathOptions {
    /// `normalize_path`.
    pub normalize: bool,
    /// `merge_slashes`.
    pub merge_slashes: bool,
    /// `path_with_escaped_slashes_action`.
    pub escaped_slashes: EscapedSlashes,
    /// What becomes of `#fragment`.
    pub fragment: Fragment,
}

/// What becomes of a fragment in a request's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fragment {
    /// 400: Envoy's default.
    #[default]
    Reject,
    /// Taken off: runtime `envoy.reloadable_features.http_reject_path_with_fragment: false`, as Istio sets it.
    Strip,
}

/// The canonical path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Normalized<'a> {
    /// Match and forward this.
    Continue(Cow<'a, str>),
    /// Answer 307 with this path; gRPC requests 400.
    Redirect(String),
    /// Answer 400 (`path_normalization_failed`).
    Reject,
}

impl PathOptions {
    /// What a connection manager asks for.
    pub fn of(hcm: &Hcm, fragment: Fragment) -> Self {
        Self { normalize: hcm.normalize_path, merge_slashes: hcm.merge_slashes, escaped_slashes: hcm.escaped_slashes, fragment }
    }
}

/// Makes `path` (with its query) canonical.
pub fn normalize(path: &str, options: PathOptions) -> Normalized<'_> {
    let mut whole = path;
    if let Some(hash) = path.find('#') {
        match options.fragment {
            Fragment::Reject => return Normalized::Reject,
            Fragment::Strip => whole = &path[..hash],
        }
    }
    let (path, query) = whole.find('?').map_or((whole, ""), |start| whole.split_at(start));
    let mut result = Cow::Borrowed(path);
    let mut redirect = false;
    if options.escaped_slashes != EscapedSlashes::Keep
        && let Some(unescaped) = unescape_slashes(&result)
    {
        match options.escaped_slashes {
            EscapedSlashes::Reject => return Normalized::Reject,
            EscapedSlashes::UnescapeAndRedirect => redirect = true,
            EscapedSlashes::UnescapeAndForward | EscapedSlashes::Keep => {}
        }
        result = Cow::Owned(unescaped);
    }
    if options.normalize && !is_plain(&result) {
        match canonical(&result) {
            Some(path) => result = Cow::Owned(path),
            None => return Normalized::Reject,
        }
    }
    if options.merge_slashes && result.contains("//") {
        result = Cow::Owned(merge_slashes(&result));
    }
    if redirect {
        return Normalized::Redirect(format!("{result}{query}"));
    }
    Normalized::Continue(match result {
        Cow::Borrowed(_) => Cow::Borrowed(whole),
        Cow::Owned(path) => Cow::Owned(path + query),
    })
}

/// Whether canonicalization would change nothing.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.contains("/.") && path.bytes().all(|byte| byte != b'%' && byte != b'\\' && !must_escape(byte))
}

/// `%2F` and `%5C` decoded; `None` if there are none.
fn unescape_slashes(path: &str) -> Option<String> {
    let mut rest = path;
    let mut out = String::with_capacity(path.len());
    let mut found = false;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let decoded = match from.as_bytes().get(1..3) {
            Some(b"2F" | b"2f") => Some('/'),
            Some(b"5C" | b"5c") => Some('\\'),
            _ => None,
        };
        found |= decoded.is_some();
        out.push(decoded.unwrap_or('%'));
        rest = &from[if decoded.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    found.then_some(out)
}

/// Unreserved characters decoded, unsafe ones encoded, `\` to `/`, `.` and `..` resolved; `None` if there is a NUL.
fn canonical(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    if !matches!(bytes.first(), Some(b'/' | b'\\')) {
        out.push('/');
    }
    let mut at = 0;
    while at < bytes.len() {
        let dot = dot(bytes, at);
        if dot > 0 && out.ends_with('/') {
            at += dot_segment(bytes, at, dot, &mut out);
        } else if dot > 0 {
            out.push('.');
            at += dot;
        } else if bytes[at] == b'\\' {
            out.push('/');
            at += 1;
        } else if let Some(decoded) = escape(bytes, at) {
            match decoded {
                0 => return None,
                unreserved if is_unreserved(unreserved) => out.push(char::from(unreserved)),
                _ => out.push_str(&path[at..at + 3]),
            }
            at += 3;
        } else {
            push_byte(&mut out, bytes[at])?;
            at += 1;
        }
    }
    Some(out)
}

/// What a `.` after a slash means: itself, this directory, or the one above. The length that was read.
///
/// Parameters of dot segments go with them, so that `/a/..;x/b` cannot mean one thing here and another to the backend.
fn dot_segment(bytes: &[u8], at: usize, first: usize, out: &mut String) -> usize {
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let end_of_segment = |at: usize| match bytes.get(at) {
        None => Some(0),
        Some(slash) if is_slash(slash) => Some(1),
        Some(b';') => Some(bytes[at..].iter().position(is_slash).map_or(bytes.len() - at, |length| length + 1)),
        Some(_) => None,
    };
    if let Some(slash) = end_of_segment(at + first) {
        return first + slash;
    }
    let second = dot(bytes, at + first);
    if second > 0
        && let Some(slash) = end_of_segment(at + first + second)
    {
        out.pop();
        let parent = out.rfind('/').map_or(0, |slash| slash + 1);
        out.truncate(parent);
        if out.is_empty() {
            out.push('/');
        }
        return first + second + slash;
    }
    out.push('.');
    first
}

/// The length of a dot at `at`: 1 for `.`, 3 for `%2e`, else 0.
fn dot(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'.') => 1,
        Some(b'%') if matches!(bytes.get(at + 1..at + 3), Some(b"2e" | b"2E")) => 3,
        _ => 0,
    }
}

/// The byte that `%XX` at `at` stands for; `None` if that is no escape.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    if bytes[at] != b'%' {
        return None;
    }
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

fn push_byte(out: &mut String, byte: u8) -> Option<()> {
    match byte {
        0 => return None,
        unsafe_byte if must_escape(unsafe_byte) => {
            use std::fmt::Write as _;
            let _ = write!(out, "%{unsafe_byte:02X}");
        }
        plain => out.push(char::from(plain)),
    }
    Some(())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~')
}

/// Bytes that never stand in a canonical path as they are.
fn must_escape(byte: u8) -> bool {
    !byte.is_ascii_graphic() || matches!(byte, b'"' | b'#' | b'<' | b'>' | b'?' | b'`' | b'{' | b'}')
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.chars() {
        if byte != '/' || !out.ends_with('/') {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const BASE: PathOptions =
        PathOptions { normalize: true, merge_slashes: false, escaped_slashes: EscapedSlashes::Keep, fragment: Fragment::Strip };
    const MERGE: PathOptions = PathOptions { merge_slashes: true, ..BASE };
    const DECODE: PathOptions = PathOptions { escaped_slashes: EscapedSlashes::UnescapeAndForward, ..MERGE };
    const NONE: PathOptions = PathOptions { normalize: false, ..BASE };

    fn path(path: &str, options: PathOptions) -> String {
        match normalize(path, options) {
            Normalized::Continue(path) => path.into_owned(),
            Normalized::Redirect(path) => format!("307 {path}"),
            Normalized::Reject => "400".to_owned(),
        }
    }

    #[test]
    fn istio_options() {
        // path, NONE, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES
        let table = [
            ("/a/b", ["/a/b", "/a/b", "/a/b", "/a/b"]),
            ("/a/../b", ["/a/../b", "/b", "/b", "/b"]),
            ("/a/%2e%2E/b", ["/a/%2e%2E/b", "/b", "/b", "/b"]),
            ("/a/./b/.", ["/a/./b/.", "/a/b/", "/a/b/", "/a/b/"]),
            ("/../../x", ["/../../x", "/x", "/x", "/x"]),
            ("/a\\b", ["/a\\b", "/a/b", "/a/b", "/a/b"]),
            ("/a//b///c", ["/a//b///c", "/a//b///c", "/a/b/c", "/a/b/c"]),
            ("/a%2Fb%5cc", ["/a%2Fb%5cc", "/a%2Fb%5cc", "/a%2Fb%5cc", "/a/b/c"]),
            ("/%61dmin%7e%2d%5F", ["/%61dmin%7e%2d%5F", "/admin~-_", "/admin~-_", "/admin~-_"]),
            ("/a/%2e%2e%2fadmin", ["/a/%2e%2e%2fadmin", "/a/..%2fadmin", "/a/..%2fadmin", "/admin"]),
            ("/a#frag?x", ["/a", "/a", "/a", "/a"]),
            ("/a/..?x=/../b//c", ["/a/..?x=/../b//c", "/?x=/../b//c", "/?x=/../b//c", "/?x=/../b//c"]),
            ("/a%00b", ["/a%00b", "400", "400", "400"]),
            ("/pub/..;x/admin", ["/pub/..;x/admin", "/admin", "/admin", "/admin"]),
            ("/a;b/c", ["/a;b/c", "/a;b/c", "/a;b/c", "/a;b/c"]),
            ("/.hidden/..x/...", ["/.hidden/..x/...", "/.hidden/..x/...", "/.hidden/..x/...", "/.hidden/..x/..."]),
            ("/a//../b", ["/a//../b", "/a/b", "/a/b", "/a/b"]),
            ("/a b\"<>`{}", ["/a b\"<>`{}", "/a%20b%22%3C%3E%60%7B%7D", "/a%20b%22%3C%3E%60%7B%7D", "/a%20b%22%3C%3E%60%7B%7D"]),
            ("/é", ["/é", "/%C3%A9", "/%C3%A9", "/%C3%A9"]),
            ("/%zz%2", ["/%zz%2", "/%zz%2", "/%zz%2", "/%zz%2"]),
            ("/x/AAAAA%%0000/abc", ["/x/AAAAA%%0000/abc", "400", "400", "400"]),
        ];
        for (given, expected) in table {
            for (options, expected) in [NONE, BASE, MERGE, DECODE].into_iter().zip(expected) {
                assert_eq!(path(given, options), expected, "{given} {options:?}");
            }
        }
    }

    #[test]
    fn fragments_and_escaped_slashes_by_action() {
        assert_eq!(path("/a#b", PathOptions { fragment: Fragment::Reject, ..BASE }), "400");
        let with = |escaped_slashes| PathOptions { escaped_slashes, ..MERGE };
        assert_eq!(path("/a%2fb?q=%2f", with(EscapedSlashes::Reject)), "400");
        assert_eq!(path("/a?q=%2f", with(EscapedSlashes::Reject)), "/a?q=%2f");
        assert_eq!(path("/a%2f%2fb?q", with(EscapedSlashes::UnescapeAndRedirect)), "307 /a/b?q");
        assert_eq!(path("/a/b", with(EscapedSlashes::UnescapeAndRedirect)), "/a/b");
    }

    #[test]
    fn what_is_canonical_is_not_copied() {
        assert!(matches!(normalize("/a/b.c?x", DECODE), Normalized::Continue(Cow::Borrowed(_))));
    }

    proptest! {
        // Without malformed escapes: those pass through as Envoy passes them, and may come to form an escape with what follows.
        #[test]
        fn normalizing_twice_changes_nothing(
            parts in prop::collection::vec(prop::sample::select(vec![
                "/", "//", ".", "..", "a", "B", "%2e", "%2E", "%2f", "%5C", "\\", "%41", "%7e", "%20", " ", ";", "..;", "%c3", "é", "~",
            ]), 0..12),
            query in prop::sample::select(vec!["", "?", "?a=%2f/../x"]),
            decode in any::<bool>(),
        ) {
            let options = if decode { DECODE } else { BASE };
            let once = path(&format!("/{}{query}", parts.concat()), options);
            prop_assert_eq!(&path(&once, options), &once);
            let only = once.split('?').next().unwrap();
            prop_assert!(only.split('/').all(|segment| segment != "." && segment != ".."), "{}", once);
        }

        #[test]
        fn never_panics(given in "\\PC{0,40}") {
            for options in [NONE, BASE, MERGE, DECODE] {
                normalize(&given, options);
            }
        }
    }
}
