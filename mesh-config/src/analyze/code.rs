//! The catalogue of messages: every code with its level, its sentence and what to do about it.
//!
//! `IST…` are Istio's codes, with Istio's names and levels, so that what people grep for, suppress and look up stays true. `MESH…` are ours, for
//! what Istio does not see.

mod istio;
mod ours;

use std::fmt::{self, Display, Write as _};

pub use istio::*;
pub use ours::*;

/// How bad a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Probably not meant.
    Warning,
    /// It will not do what it says.
    Error,
}

impl Level {
    /// Every level, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// The name, as istioctl prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

impl Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One kind of message.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `IST0101` or `MESH0003`.
    pub id: &'static str,
    /// `ReferencedResourceNotFound`.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The sentence. `{host}` stands for an argument, `{host:?}` for one in quotes; the same name twice is the same argument.
    pub template: &'static str,
    /// In one line: what it means.
    pub about: &'static str,
    /// What to do, for people who see it for the first time; may be empty.
    pub remedy: &'static str,
}

impl Code {
    /// Istio's page about it; none for ours.
    pub fn documentation(&self) -> Option<String> {
        self.id.starts_with("IST").then(|| format!("https://istio.io/latest/docs/reference/config/analysis/{}/", self.id.to_lowercase()))
    }

    /// The names of the arguments, in order.
    pub fn arguments(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for piece in pieces(self.template) {
            if let Piece::Argument { name, .. } = piece
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// The sentence with its arguments filled in, in the order of [`Code::arguments`]. A missing one shows as its name.
    pub(crate) fn text(&self, arguments: &[&dyn Display]) -> String {
        let names = self.arguments();
        debug_assert_eq!(names.len(), arguments.len(), "{} takes {names:?}", self.id);
        let mut text = String::with_capacity(self.template.len() + 32);
        for piece in pieces(self.template) {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Argument { name, quoted } => {
                    let argument = names.iter().position(|known| *known == name).and_then(|index| arguments.get(index));
                    // Writing to a String cannot fail.
                    let _ = match argument {
                        Some(argument) if quoted => write!(text, "{:?}", argument.to_string()),
                        Some(argument) => write!(text, "{argument}"),
                        None => write!(text, "{{{name}}}"),
                    };
                }
            }
        }
        text
    }
}

/// The code with this id, in any case.
pub fn find(id: &str) -> Option<&'static Code> {
    ISTIO.iter().chain(OURS).copied().find(|code| code.id.eq_ignore_ascii_case(id))
}

/// Every code: Istio's, then ours.
pub fn all() -> impl Iterator<Item = &'static Code> {
    ISTIO.iter().chain(OURS).copied()
}

/// A list as an argument: `[a b c]`, as Istio prints one.
#[derive(Debug)]
pub struct List<'a, T>(pub &'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{item}")?;
        }
        f.write_char(']')
    }
}

enum Piece<'a> {
    Text(&'a str),
    Argument { name: &'a str, quoted: bool },
}

/// A template, taken apart at its braces.
fn pieces(template: &'static str) -> Vec<Piece<'static>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let (name, quoted) = name.strip_suffix(":?").map_or((name, false), |name| (name, true));
        pieces.push(Piece::Text(text));
        pieces.push(Piece::Argument { name, quoted });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// Declares codes and the list of them.
macro_rules! codes {
    ($(#[$doc:meta])* $list:ident: $($name:ident = $id:literal $level:ident $title:literal, $template:literal, $about:literal, $remedy:literal;)*) => {
        $(
            #[doc = $about]
            pub static $name: super::Code = super::Code {
                id: $id,
                name: $title,
                level: super::Level::$level,
                template: $template,
                about: $about,
                remedy: $remedy,
            };
        )*

        $(#[$doc])*
        pub static $list: &[&super::Code] = &[$(&$name,)*];
    };
}

use codes;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sentence_takes_its_arguments_by_name() {
        assert_eq!(REFERENCED_RESOURCE_NOT_FOUND.arguments(), ["reftype", "refval"]);
        assert_eq!(REFERENCED_RESOURCE_NOT_FOUND.text(&[&"host", &"a\"b"]), r#"Referenced host not found: "a\"b""#);
        assert_eq!(NAMESPACE_NOT_INJECTED.arguments(), ["namespace"]);
        assert_eq!(List(&[80, 443]).to_string(), "[80 443]");
    }

    #[test]
    fn codes_are_unique_and_complete() {
        let mut ids: Vec<_> = all().map(|code| code.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert_eq!(ISTIO.len(), 68);
        assert!(all().all(|code| !code.about.is_empty() && (code.id.starts_with("IST") || !code.remedy.is_empty())));
        assert_eq!(find("ist0101"), Some(&REFERENCED_RESOURCE_NOT_FOUND));
    }
}
