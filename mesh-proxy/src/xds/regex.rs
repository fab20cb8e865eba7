//! RE2 patterns, which Envoy's configuration is written in, compiled by the `regex` crate: see `mesh_proto::re2`.

use mesh_proto::{
    envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher, regex_matcher},
    re2,
};
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
    re2::translate(regex).map_err(|error| cx.refuse_field("regex", format!("is not a regular expression: {error}")))
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
        let pattern = re2::translate(pattern).unwrap();
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
