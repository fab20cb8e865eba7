//! RE2 patterns, which Envoy's and Istio's configuration is written in, as patterns of the `regex` crate, which matches in linear time as RE2
//! does.
//!
//! The two dialects differ in little, but where they do a pattern must not come to match more than its author meant: RE2's `\d`, `\w`, `\s` and
//! `\b` are ASCII, `[` inside a class is a plain character, there are no set operations, a brace that repeats nothing is plain, and repetitions
//! are not stacked (RE2 wiki, "Syntax").

/// RE2 repeats nothing more often.
const MAX_REPETITIONS: u32 = 1000;

/// What RE2 refuses and the `regex` crate takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `a**`, `a++`, `a{2}{3}`.
    #[error("`{0}` repeats what is already repeated: put the inner part in a group")]
    Stacked(String),
    /// `a{1001}`.
    #[error("`{0}` repeats more than {MAX_REPETITIONS} times")]
    TooMany(String),
}

/// The same pattern in the `regex` crate's syntax. What neither takes is left as it is, for the crate to refuse.
///
/// # Errors
/// If only RE2 refuses the pattern.
pub fn translate(re2: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(re2.len() + 16);
    let mut rest = re2;
    let mut in_class = false;
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if !in_class && let Some(operator) = repetition(rest) {
            if repeated {
                return Err(Error::Stacked(operator.to_owned()));
            }
            if counts(operator).any(|count| count.parse::<u32>().is_ok_and(|count| count > MAX_REPETITIONS)) {
                return Err(Error::TooMany(operator.to_owned()));
            }
            // At the beginning it repeats nothing, which the crate refuses as well.
            repeated = true;
            out.push_str(operator);
            rest = &rest[operator.len()..];
            continue;
        }
        repeated = false;
        let taken = if in_class { class_item(&mut out, c, rest) } else { item(&mut out, c, after) };
        in_class = match c {
            '[' => true,
            ']' => false,
            _ => in_class,
        };
        rest = &rest[taken..];
    }
    Ok(out)
}

/// `*`, `+`, `?` or `{n,m}` at the beginning of `text`, with the `?` that makes it lazy.
fn repetition(text: &str) -> Option<&str> {
    let length = match text.as_bytes().first()? {
        b'*' | b'+' | b'?' => 1,
        b'{' if is_repetition(text) => text.find('}')? + 1,
        _ => return None,
    };
    let lazy = usize::from(text[length..].starts_with('?'));
    Some(&text[..length + lazy])
}

/// Whether `text` begins with `{n}`, `{n,}` or `{n,m}`. RE2 takes any other brace as a plain character.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && [least, most].iter().all(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The numbers in `{n,m}`.
fn counts(operator: &str) -> impl Iterator<Item = &str> {
    operator.split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty())
}

/// Something outside a class; gives the bytes it takes.
fn item(out: &mut String, c: char, after: &str) -> usize {
    match c {
        '\\' => escape(out, after, false),
        // Flags and the kind of a group, and no repetition.
        '(' if after.starts_with('?') => {
            out.push_str("(?");
            2
        }
        '{' => {
            out.push_str(r"\{");
            1
        }
        '[' => {
            out.push('[');
            let negated = after.starts_with('^');
            if negated {
                out.push('^');
            }
            // `]` first in a class is a plain character.
            let bracket = after[usize::from(negated)..].starts_with(']');
            if bracket {
                out.push_str(r"\]");
            }
            1 + usize::from(negated) + usize::from(bracket)
        }
        _ => {
            out.push(c);
            c.len_utf8()
        }
    }
}

/// Something inside a class; gives the bytes it takes.
fn class_item(out: &mut String, c: char, rest: &str) -> usize {
    match c {
        '\\' => return escape(out, &rest[1..], true),
        '[' => match named_class(rest) {
            Some(named) => {
                out.push_str(named);
                return named.len();
            }
            None => out.push_str(r"\["),
        },
        '&' | '~' => {
            out.push('\\');
            out.push(c);
        }
        '-' if rest.starts_with("--") => {
            out.push_str(r"-\-");
            return 2;
        }
        _ => out.push(c),
    }
    c.len_utf8()
}

/// What a backslash says of what comes `after` it; gives the bytes both take.
fn escape(out: &mut String, after: &str, in_class: bool) -> usize {
    let Some(escaped) = after.chars().next() else {
        out.push('\\');
        return 1;
    };
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
    1 + escaped.len_utf8()
}

/// `[:alpha:]` and the like at the beginning of `text`.
fn named_class(text: &str) -> Option<&str> {
    let end = text.strip_prefix("[:")?.find(":]")? + 4;
    let named = &text[..end];
    named[2..end - 2].chars().all(|c| c.is_ascii_lowercase() || c == '^').then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_read_alike_stays() {
        for pattern in ["", "a+?b*?", "^/v1/(users|groups)/[^/]+$", "(a+)+", r"\*+", "[*+?]+", "a{2}b{1,}", "(?i)é?", "a*(?:b)+"] {
            assert_eq!(translate(pattern).as_deref(), Ok(pattern));
        }
    }

    #[test]
    fn what_differs_is_rewritten() {
        for (pattern, expected) in [
            (r"\d\b", r"[0-9](?-u:\b)"),
            ("[[a&&b--c[:alpha:]]", r"[\[a\&\&b-\-c[:alpha:]]"),
            ("[]a][^]b]", r"[\]a][^\]b]"),
            ("/users/{id}", r"/users/\{id}"),
            (r"a\", r"a\"),
        ] {
            assert_eq!(translate(pattern).as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_only_re2_refuses_is_refused() {
        for (pattern, operator) in [("a**", "*"), ("a++", "+"), ("a{2}{3}", "{3}"), ("a*??", "?"), ("%#@~++", "+")] {
            assert_eq!(translate(pattern), Err(Error::Stacked(operator.to_owned())), "{pattern}");
        }
        assert_eq!(translate("a{1,1001}"), Err(Error::TooMany("{1,1001}".to_owned())));
        assert!(translate("a{1000}").is_ok());
    }
}
