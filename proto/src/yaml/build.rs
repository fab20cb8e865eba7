//! Parser events to nodes: merges, aliases, duplicate keys and bounds.
//!
//! An explicit stack, no recursion: how deep a text nests must not decide whether the process lives.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as ParserSpan, Tag};

use super::position::Source;
use super::{Document, Entry, Error, ErrorKind, MAX_DEPTH, MAX_EXPANSION, Mapping, NODE_WEIGHT, Node, Span, Value, scalar};

pub(super) fn documents(text: &str) -> Result<Vec<Document>, Error> {
    let mut source = Source::new(text);
    refuse_control_characters(&source, text)?;
    // Each attempt reads the text once more.
    for _ in 0..(MAX_REREAD / text.len().max(1)).min(MAX_PADDED) {
        match read(&source) {
            Err(Stop::Outdented { at }) => source.pad(at, PAD),
            Err(Stop::Mistake(error)) => return Err(error),
            Ok(documents) => return Ok(documents),
        }
    }
    read(&source).map_err(|stop| match stop {
        Stop::Mistake(error) => error,
        Stop::Outdented { at } => Error { kind: ErrorKind::Syntax(OUTDENTED.to_owned()), span: source.span(at, at + 1) },
    })
}

/// What is too far left in a flow collection is moved so far right.
const PAD: usize = 64;
/// At most so often,
const MAX_PADDED: usize = 256;
/// and only while so many bytes are read again.
const MAX_REREAD: usize = 64 << 20;
const OUTDENTED: &str = "this line of a flow collection stands too far left: indent it more than the key that it belongs to";

/// Why reading stopped.
enum Stop {
    Mistake(Error),
    /// A token of a flow collection is not to the right of what the collection belongs to, which YAML 1.2 asks for and libyaml (so kubectl) does not.
    Outdented {
        at: usize,
    },
}

fn read(source: &Source<'_>) -> Result<Vec<Document>, Stop> {
    let mut builder = Builder::new(source);
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().index();
            // The parser has left all blocks that the column ends; so it is in a flow collection.
            if matches!(error.info(), "invalid indentation" | "invalid indentation in flow construct") {
                return Stop::Outdented { at };
            }
            Stop::Mistake(Error { kind: ErrorKind::Syntax(error.info().to_owned()), span: source.span(at, at + 1) })
        })?;
        builder.event(event, span).map_err(Stop::Mistake)?;
    }
    Ok(builder.documents)
}

/// The parser takes NUL for the end of the text; what follows would be dropped unseen.
fn refuse_control_characters(source: &Source<'_>, text: &str) -> Result<(), Error> {
    let forbidden = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    match text.char_indices().find(|(_, c)| forbidden(*c)) {
        Some((at, found)) => Err(Error { kind: ErrorKind::ControlCharacter { found }, span: source.bytes(at, at + 1) }),
        None => Ok(()),
    }
}

struct Builder<'s> {
    source: &'s Source<'s>,
    documents: Vec<Document>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    copied: usize,
}

/// A collection that is not closed yet.
struct Frame {
    span: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    entries: Vec<Entry>,
    /// Every key so far, `<<` included.
    seen: HashMap<String, Span>,
    key: Option<Key>,
    merged: Option<Node>,
}

struct Key {
    text: String,
    span: Span,
    merge: bool,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source<'s>) -> Self {
        Self { source, documents: Vec::new(), stack: Vec::new(), anchors: HashMap::new(), copied: 0 }
    }

    fn event(&mut self, event: Event<'_>, at: ParserSpan) -> Result<(), Error> {
        let span = self.source.span(at.start.index(), at.end.index());
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag, span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", span)?;
                self.open(Content::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", span)?;
                self.open(Content::Mapping(OpenMapping::default()), anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<Cow<'_, Tag>>, span: Span) -> Result<(), Error> {
        let plain = style == ScalarStyle::Plain;
        if text.is_empty() && plain && tag.is_none() && self.stack.is_empty() {
            return Ok(()); // A document without content.
        }
        let merge = plain && tag.is_none() && text == "<<";
        let value = match tag {
            Some(tag) => tagged(&tag, text, span)?,
            None if plain => scalar::resolve(text),
            None => Value::String(text.to_owned()),
        };
        self.place(Node { value, span }, anchor, merge)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Error> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Error { kind: ErrorKind::RecursiveAlias, span });
        };
        let copy = node.clone();
        self.charge(&copy, span)?;
        if self.stack.len() + depth(&copy) > MAX_DEPTH {
            return Err(Error { kind: ErrorKind::TooDeep, span });
        }
        self.place(copy, 0, false)
    }

    fn open(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Error> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Error { kind: ErrorKind::TooDeep, span });
        }
        self.stack.push(Frame { span, anchor, content });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Error> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let mut span = frame.span;
        // Only a closing bracket has a length; a block ends with its last child.
        if end.len > 0 {
            span = span.extended_to(end.end());
        }
        let (value, end) = match frame.content {
            Content::Sequence(items) => {
                let end = items.last().map(|item| item.span.end());
                (Value::Sequence(items), end)
            }
            Content::Mapping(open) => {
                let end = open.entries.last().map(|entry| entry.value.span.end().max(entry.key_span.end()));
                (Value::Mapping(open.merge()?), end)
            }
        };
        span = span.extended_to(end.unwrap_or_default());
        self.place(Node { value, span }, frame.anchor, false)
    }

    /// Puts a complete node where it belongs.
    fn place(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), Error> {
        if anchor > 0 {
            let span = node.span;
            self.charge(&node, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.documents.push(Document { root: node }),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping(open)) => open.place(node, merge)?,
        }
        Ok(())
    }

    fn charge(&mut self, node: &Node, span: Span) -> Result<(), Error> {
        self.copied = self.copied.saturating_add(weight(node));
        if self.copied > MAX_EXPANSION { Err(Error { kind: ErrorKind::TooLarge, span }) } else { Ok(()) }
    }
}

impl OpenMapping {
    fn place(&mut self, mut node: Node, merge: bool) -> Result<(), Error> {
        let Some(key) = self.key.take() else { return self.place_key(node, merge) };
        if key.merge {
            self.merged = Some(node);
            return Ok(());
        }
        if node.span.len == 0 {
            node.span = key.span;
        }
        self.entries.push(Entry { key: key.text, key_span: key.span, value: node });
        Ok(())
    }

    fn place_key(&mut self, node: Node, merge: bool) -> Result<(), Error> {
        let span = node.span;
        let text = match node.value {
            Value::String(text) => text,
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Uint(value) => value.to_string(),
            Value::Float(value) if value.is_finite() => value.to_string(),
            other => return Err(Error { kind: ErrorKind::Key { found: other.kind() }, span }),
        };
        if let Some(first) = self.seen.insert(text.clone(), span) {
            return Err(Error { kind: ErrorKind::DuplicateKey { key: text, first }, span });
        }
        self.key = Some(Key { text, span, merge });
        Ok(())
    }

    /// Adds what `<<` brings: keys of the mapping itself win, then those of earlier mappings.
    fn merge(mut self) -> Result<Mapping, Error> {
        let sources = match self.merged {
            None => Vec::new(),
            Some(Node { value: Value::Sequence(items), .. }) => items,
            Some(node) => vec![node],
        };
        for Node { value, span } in sources {
            let Value::Mapping(source) = value else {
                return Err(Error { kind: ErrorKind::Merge { found: value.kind() }, span });
            };
            for entry in source {
                if !self.seen.contains_key(&entry.key) {
                    self.seen.insert(entry.key.clone(), entry.key_span);
                    self.entries.push(entry);
                }
            }
        }
        Ok(Mapping { entries: self.entries })
    }
}

fn tagged(tag: &Tag, text: &str, span: Span) -> Result<Value, Error> {
    let name = tag_name(tag);
    let value = match core_name(tag) {
        Some("str" | "timestamp") => Some(Value::String(text.to_owned())),
        Some(core @ ("int" | "float" | "bool" | "null")) => scalar::resolve_as(core, text),
        // A lone `!`: text, whatever it looks like.
        None if name == "!" => Some(Value::String(text.to_owned())),
        _ => return Err(Error { kind: ErrorKind::Tag { tag: name }, span }),
    };
    value.ok_or_else(|| Error { kind: ErrorKind::Tagged { tag: name, text: text.chars().take(60).collect() }, span })
}

fn check_tag(tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Error> {
    match tag {
        Some(tag) if core_name(tag) != Some(expected) => Err(Error { kind: ErrorKind::Tag { tag: tag_name(tag) }, span }),
        _ => Ok(()),
    }
}

/// `int` of `!!int`.
fn core_name(tag: &Tag) -> Option<&str> {
    const CORE: &str = "tag:yaml.org,2002:";
    if tag.is_yaml_core_schema() { Some(&tag.suffix) } else { tag.suffix.strip_prefix(CORE).filter(|_| tag.handle.is_empty()) }
}

fn tag_name(tag: &Tag) -> String {
    match core_name(tag) {
        Some(name) => format!("!!{name}"),
        None => format!("{}{}", tag.handle, tag.suffix),
    }
}

/// Bounded by [`MAX_DEPTH`], like [`depth`]: nothing deeper is ever built.
fn weight(node: &Node) -> usize {
    let content = match &node.value {
        Value::String(text) => text.len(),
        Value::Sequence(items) => items.iter().map(weight).sum(),
        Value::Mapping(mapping) => mapping.iter().map(|entry| NODE_WEIGHT + entry.key.len() + weight(&entry.value)).sum(),
        _ => 0,
    };
    NODE_WEIGHT + content
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Mapping(mapping) => 1 + mapping.iter().map(|entry| depth(&entry.value)).max().unwrap_or_default(),
        _ => 0,
    }
}
