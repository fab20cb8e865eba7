//! `%START_TIME(format)%`: strftime with Envoy's additions for parts of a second, in UTC.

use std::{fmt::Write as _, time::SystemTime};

use ::time::OffsetDateTime;

/// `2024-01-31T12:00:00.123Z` without a format.
pub(super) fn format(at: SystemTime, format: Option<&str>) -> String {
    let at = OffsetDateTime::from(at);
    let mut out = String::with_capacity(32);
    strftime(at, format.unwrap_or("%Y-%m-%dT%H:%M:%E3SZ"), &mut out);
    out
}

/// RFC 3339 in whole seconds, as Envoy's admin interface prints times.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let mut out = String::with_capacity(24);
    strftime(OffsetDateTime::from(at), "%FT%TZ", &mut out);
    out
}

fn strftime(at: OffsetDateTime, format: &str, out: &mut String) {
    let mut rest = format;
    while let Some((text, after)) = rest.split_once('%') {
        out.push_str(text);
        let mut chars = after.chars();
        let Some(directive) = chars.next() else {
            out.push('%');
            return;
        };
        rest = chars.as_str();
        match directive {
            'E' => rest = extended(at, rest, out),
            digits @ '1'..='9' => match rest.strip_prefix('f') {
                Some(after) => {
                    rest = after;
                    fraction(at, usize::from(digits as u8 - b'0'), out);
                }
                None => {
                    out.push('%');
                    out.push(digits);
                }
            },
            other => simple(at, other, out),
        }
    }
    out.push_str(rest);
}

fn simple(at: OffsetDateTime, directive: char, out: &mut String) {
    let month = u8::from(at.month());
    let twelve = (at.hour() + 11) % 12 + 1;
    let weekday = at.weekday().to_string();
    let name = at.month().to_string();
    let short = |text: &str| text.get(..3).unwrap_or_default().to_owned();
    let _ = match directive {
        'Y' => write!(out, "{:04}", at.year()),
        'y' => write!(out, "{:02}", at.year().rem_euclid(100)),
        'm' => write!(out, "{month:02}"),
        'd' => write!(out, "{:02}", at.day()),
        'e' => write!(out, "{:2}", at.day()),
        'H' => write!(out, "{:02}", at.hour()),
        'I' => write!(out, "{twelve:02}"),
        'p' => write!(out, "{}", if at.hour() < 12 { "AM" } else { "PM" }),
        'M' => write!(out, "{:02}", at.minute()),
        'S' => write!(out, "{:02}", at.second()),
        'j' => write!(out, "{:03}", at.ordinal()),
        'a' => write!(out, "{}", short(&weekday)),
        'A' => write!(out, "{weekday}"),
        'b' | 'h' => write!(out, "{}", short(&name)),
        'B' => write!(out, "{name}"),
        'Z' => write!(out, "UTC"),
        'z' => write!(out, "+0000"),
        's' => write!(out, "{}", at.unix_timestamp()),
        'f' => write!(out, "{:09}", at.nanosecond()),
        'F' => write!(out, "{:04}-{month:02}-{:02}", at.year(), at.day()),
        'T' => write!(out, "{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
        'n' => write!(out, " "),
        't' => write!(out, "\t"),
        '%' => write!(out, "%"),
        other => write!(out, "%{other}"),
    };
}

/// `%E3S` (seconds with three digits), `%E*S` (with all), `%E3f` (the digits alone).
fn extended<'a>(at: OffsetDateTime, rest: &'a str, out: &mut String) -> &'a str {
    let bytes = rest.as_bytes();
    let digits = match bytes.first() {
        Some(b'*') => 9,
        Some(digit @ b'1'..=b'9') => usize::from(digit - b'0'),
        _ => {
            out.push_str("%E");
            return rest;
        }
    };
    match bytes.get(1) {
        Some(b'S') => {
            let _ = write!(out, "{:02}.", at.second());
            fraction(at, digits, out);
        }
        Some(b'f') => fraction(at, digits, out),
        _ => {
            out.push_str("%E");
            return rest;
        }
    }
    &rest[2..]
}

fn fraction(at: OffsetDateTime, digits: usize, out: &mut String) {
    let nanos = format!("{:09}", at.nanosecond());
    out.push_str(&nanos[..digits.min(9)]);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn formats_as_envoy_does() {
        let at = UNIX_EPOCH + Duration::new(1_706_702_400, 123_456_789);
        let cases = [
            (None, "2024-01-31T12:00:00.123Z"),
            (Some("%Y/%m/%dT%H:%M:%S%z %s"), "2024/01/31T12:00:00+0000 1706702400"),
            (Some("%s.%3f|%f|%E*S|%E6S"), "1706702400.123|123456789|00.123456789|00.123456"),
            (Some("%a, %d %b %Y %I%p %% %E %"), "Wed, 31 Jan 2024 12PM % %E %"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(format(at, pattern), expected, "{pattern:?}");
        }
        assert_eq!(rfc3339(at), "2024-01-31T12:00:00Z");
    }
}
