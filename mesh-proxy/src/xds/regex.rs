//! RE2 patterns, which Envoy's configuration is written in, as patterns of the `regex` crate, which matches in linear time as RE2 does.
//!
//! The two dialects differ in little, but where they do a pattern must not come to match more than its author meant: RE2's `\d`, `\w`, `\s` and
//! `\b` are ASCII, `[` inside a class is a plain character, and there are no set operations (RE2 wiki, "Syntax").

use mesh_proto::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher, regex_matcher};
use regex::{Regex, RegexBuilder};

use super::context::{Context, Result, ignored};

/// A compiled pattern takes at most so many bytes.
const MAX_COMPILED: usize = 2 * 1024 * 1024;
/// The longest pattern.
const MAX_PATTERN: usize = 64 * 1024;

/// A pattern that must match the whole text.
pub(crate) fn full(cx: &mut Context<'_>, wire: &RegexMatcher) -> Result<Regex> {
    let pattern = pattern(cx, wire)?;
    // Alone first: `a)|(b` must not become valid by the group around it.
    compile(cx, &pattern)?;
    compile(cx, &format!("^(?:{pattern})$"))
}

/// A pattern that may match anywhere, and what to put in place of its matches.
pub(crate) fn rewrite(cx: &mut Context<'_>, wire: &RegexMatchAndSubstitute) -> Result<(Regex, std::sync::Arc<str>)> {
    let RegexMatchAndSubstitute { pattern: wire_pattern, substitution } = wire;
    let regex = cx.field("pattern", |cx| {
        let wire = wire_pattern.as_ref().ok_or_else(|| cx.refuse("is missing"))?;
        let pattern = pattern(cx, wire)?;
        compile(cx, &pattern)
    })?;
    let substitution = substitution_of(substitution, regex.captures_len()).map_err(|reason| cx.refuse_field("substitution", reason))?;
    Ok((regex, substitution.into()))
}

/// A pattern in the `regex` crate's syntax, compiled with bounds.
pub(crate) fn compile(cx: &Context<'_>, pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| cx.refuse_field("regex", format!("is not a regular expression that can be used here: {error}")))
}

fn pattern(cx: &mut Context<'_>, wire: &RegexMatcher) -> Result<String> {
    let RegexMatcher { regex, engine_type } = wire;
    #[expect(deprecated, reason = "old configurations set it; every pattern is bounded anyway")]
    if let Some(regex_matcher::EngineType::GoogleRe2(regex_matcher::GoogleRe2 { max_program_size })) = engine_type {
        cx.field("google_re2", |cx| ignored!(cx; max_program_size));
    }
    if regex.is_empty() {
        return Err(cx.refuse_field("regex", "is empty"));
    }
    if regex.len() > MAX_PATTERN {
        return Err(cx.refuse_field("regex", "is longer than 64 KiB"));
    }
    Ok(translate(regex))
}

fn translate(re2: &str) -> String {
    let mut out = String::with_capacity(re2.len() + 16);
    let mut chars = re2.char_indices().peekable();
    let mut class: Option<usize> = None;
    while let Some((at, c)) = chars.next() {
        match (c, class) {
            ('\\', _) => match chars.next() {
                Some((_, escaped)) => escape(&mut out, escaped, class.is_some()),
                None => out.push('\\'),
            },
            ('[', None) => {
                class = Some(at);
                out.push('[');
                if let Some((_, '^')) = chars.peek() {
                    out.push('^');
                    chars.next();
                }
                // `]` first in a class is a plain character.
                if let Some((_, ']')) = chars.peek() {
                    out.push_str(r"\]");
                    chars.next();
                }
            }
            ('[', Some(_)) => match named_class(&re2[at..]) {
                Some(named) => {
                    out.push_str(named);
                    for _ in 1..named.len() {
                        chars.next();
                    }
                }
                None => out.push_str(r"\["),
            },
            (']', Some(_)) => {
                class = None;
                out.push(']');
            }
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            ('-', Some(_)) => {
                out.push('-');
                if let Some((_, '-')) = chars.peek() {
                    out.push_str(r"\-");
                    chars.next();
                }
            }
            ('{', None) if !is_repetition(&re2[at..]) => out.push_str(r"\{"),
            _ => out.push(c),
        }
    }
    out
}

fn escape(out: &mut String, escaped: char, in_class: bool) {
    match escaped {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        _ => {
            out.push('\\');
            out.push(escaped);
        }
    }
}

/// `[:alpha:]` and the like at the beginning of `text`.
fn named_class(text: &str) -> Option<&str> {
    let end = text.strip_prefix("[:")?.find(":]")? + 4;
    let named = &text[..end];
    named[2..end - 2].chars().all(|c| c.is_ascii_lowercase() || c == '^').then_some(named)
}

/// Whether `text` begins with `{n}`, `{n,}` or `{n,m}`. RE2 takes any other brace as a plain character.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && [least, most].iter().all(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// RE2's `\1` as `${1}`, its `\\` as `\`; `$` is plain text in RE2.
fn substitution_of(re2: &str, groups: usize) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(re2.len() + 8);
    let mut chars = re2.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = digit as usize - '0' as usize;
                    if group >= groups {
                        return Err(format!("\\{digit} refers to a group that the pattern does not have"));
                    }
                    out.push_str(&format!("${{{digit}}}"));
                }
                _ => return Err(r"a backslash must be followed by a digit or a backslash".to_owned()),
            },
            _ => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let pattern = translate(pattern);
        Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text)
    }

    #[test]
    fn classes_are_ascii_as_in_re2() {
        assert!(matches(r"\d+", "42") && !matches(r"\d+", "٤٢"));
        assert!(matches(r"[\w-]+", "a-b_9") && !matches(r"\w+", "é"));
        assert!(matches(r"[\D]", "x") && matches(r"\S", "x") && !matches(r"\S", " "));
        assert!(matches(r"a\b.*", "a b"));
    }

    #[test]
    fn brackets_and_operators_in_classes_are_plain() {
        assert!(matches("[[a]+", "[a"));
        assert!(matches("[a&&b]+", "a&b"));
        assert!(matches("[+--]+", "+,-"));
        assert!(matches("[]a]+", "]a") && matches("[^]a]+", "bc"));
        assert!(matches("[[:alpha:]_]+", "ab_"));
    }

    #[test]
    fn braces_that_repeat_nothing_are_plain() {
        assert!(matches("/users/{id}", "/users/{id}"));
        assert!(matches("a{2}", "aa") && matches("a{1,}", "aaa") && matches("a{1,2}", "aa"));
    }

    #[test]
    fn substitutions_are_translated() {
        assert_eq!(substitution_of(r"\2/$x\\\1", 3).unwrap(), r"${2}/$$x\${1}");
        assert!(substitution_of(r"\3", 3).is_err());
        assert!(substitution_of(r"\a", 3).is_err());
    }
}
