//! Where things stand in a text.

use std::borrow::Cow;
use std::fmt;

/// A stretch of the text as the user wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The line of its first character, from 1.
    pub line: usize,
    /// The column of its first character, in characters, from 1.
    pub column: usize,
    /// The byte offset of its first character, at a character boundary.
    pub offset: usize,
    /// Its length in bytes; may cover several lines.
    pub len: usize,
}

impl Span {
    /// The very beginning.
    pub const START: Self = Self { line: 1, column: 1, offset: 0, len: 0 };

    /// The byte offset after its last character.
    #[must_use]
    pub fn end(&self) -> usize {
        self.offset + self.len
    }

    /// The stretch of `len` bytes that follows `before`.
    pub(super) fn after(before: &str, len: usize) -> Self {
        let line = before.matches('\n').count() + 1;
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        Self { line, column: last_line.trim_start_matches(BOM).chars().count() + 1, offset: before.len(), len }
    }

    /// Reaches up to `end`, if that is further.
    pub(super) fn extended_to(mut self, end: usize) -> Self {
        self.len = self.len.max(end.saturating_sub(self.offset));
        self
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

const BOM: char = '\u{feff}';

/// The text as the parser gets it, and the way back from the parser's character positions to the user's bytes.
///
/// The parser does not get a byte order mark, and gets JSON's surrogate pairs as YAML's long escapes.
pub(super) struct Source<'a> {
    pub(super) text: Cow<'a, str>,
    original: &'a str,
    /// The original byte offset of every character of `text`, then of its end; empty where the two differ by `skipped` only.
    origins: Vec<usize>,
    skipped: usize,
    /// The original byte offsets at which lines begin.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(original: &'a str) -> Self {
        let body = original.strip_prefix(BOM).unwrap_or(original);
        let skipped = original.len() - body.len();
        let (text, origins) = match long_escapes(body, skipped) {
            Some((text, origins)) => (Cow::Owned(text), origins),
            None if body.is_ascii() => (Cow::Borrowed(body), Vec::new()),
            None => {
                let ends = std::iter::once(original.len());
                let origins = body.char_indices().map(|(at, _)| at + skipped).chain(ends).collect();
                (Cow::Borrowed(body), origins)
            }
        };
        let lines = std::iter::once(skipped).chain(original.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, original, origins, skipped, lines }
    }

    /// Inserts spaces that nobody wrote before a character of `text`.
    pub(super) fn pad(&mut self, character: usize, spaces: usize) {
        if self.origins.is_empty() {
            self.origins = (0..=self.text.len()).map(|at| at + self.skipped).collect();
        }
        let origin = self.origin(character);
        let text = self.text.to_mut();
        let at = text.char_indices().nth(character).map_or(text.len(), |(at, _)| at);
        text.insert_str(at, &" ".repeat(spaces));
        let place = character.min(self.origins.len());
        self.origins.splice(place..place, std::iter::repeat_n(origin, spaces));
    }

    /// The span between two positions that the parser told, in characters of `text`.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let (start, end) = (self.origin(start), self.origin(end));
        self.bytes(start, end.max(start))
    }

    /// The span between two byte offsets of the original.
    pub(super) fn bytes(&self, start: usize, end: usize) -> Span {
        let line = self.lines.partition_point(|begin| *begin <= start).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or_default();
        let column = self.original.get(begin..start).map_or(0, |before| before.chars().count()) + 1;
        Span { line, column, offset: start, len: end - start }
    }

    /// The original byte offset of a position of the parser's.
    fn origin(&self, character: usize) -> usize {
        match self.origins.last() {
            None => (character + self.skipped).min(self.original.len()),
            Some(end) => self.origins.get(character).copied().unwrap_or(*end),
        }
    }
}

/// JSON writes characters beyond the first plane as two `\u` escapes, which YAML refuses. For a text that *is* JSON, the same text with
/// YAML's `\U` escapes, and where its characters come from.
fn long_escapes(body: &str, skipped: usize) -> Option<(String, Vec<usize>)> {
    if !body.contains("\\ud") && !body.contains("\\uD") {
        return None;
    }
    serde_json::from_str::<serde::de::IgnoredAny>(body).ok()?;
    let mut text = String::with_capacity(body.len());
    let mut origins = Vec::with_capacity(body.len() + 1);
    let mut at = 0;
    while let Some(c) = body.get(at..).and_then(|rest| rest.chars().next()) {
        let (piece, taken) = match (c, surrogate_pair(body.get(at..at + 12))) {
            ('\\', Some(long)) => (format!("\\U{:08X}", u32::from(long)), 12),
            // A backslash and what it escapes, so that `\\ud83d` is not taken for an escape.
            ('\\', None) => (body.get(at..at + 2)?.to_owned(), 2),
            _ => (c.to_string(), c.len_utf8()),
        };
        origins.extend(piece.chars().map(|_| at + skipped));
        text.push_str(&piece);
        at += taken;
    }
    origins.push(at + skipped);
    Some((text, origins))
}

fn surrogate_pair(escapes: Option<&str>) -> Option<char> {
    let (high, low) = escapes?.strip_prefix("\\u")?.split_once("\\u")?;
    let units = [u16::from_str_radix(high, 16).ok()?, u16::from_str_radix(low, 16).ok()?];
    let mut characters = char::decode_utf16(units);
    match (characters.next(), characters.next()) {
        (Some(Ok(character)), None) => Some(character),
        _ => None,
    }
}
