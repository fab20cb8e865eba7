//! `matches`, with each pattern compiled once: the rules of a schema ask with the same few patterns for every object.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use kube_cel::cel::{Context, ExecutionError, ResolveResult, Value as Cel, extractors::This};
use regex::Regex;

/// Patterns kept. More are compiled each time: a rule may make its pattern from the object.
const KEPT: usize = 256;

static PATTERNS: LazyLock<RwLock<HashMap<String, Regex>>> = LazyLock::new(RwLock::default);

/// Puts the function in place.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function("matches", |This(text): This<Arc<String>>, pattern: Arc<String>| -> ResolveResult { matches(&text, &pattern) });
}

fn matches(text: &str, pattern: &str) -> ResolveResult {
    let matched = is_match(text, pattern);
    matched.map(Cel::Bool).map_err(|error| ExecutionError::function_error("matches", format!("`{pattern}` is no regex: {error}")))
}

/// Whether a text has a part that the pattern describes.
pub(super) fn is_match(text: &str, pattern: &str) -> Result<bool, regex::Error> {
    // A map of whole entries stays whole whatever panics beside it.
    if let Some(regex) = PATTERNS.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(regex.is_match(text));
    }
    let regex = Regex::new(pattern)?;
    let matched = regex.is_match(text);
    let mut kept = PATTERNS.write().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT {
        kept.insert(pattern.to_owned(), regex);
    }
    Ok(matched)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pattern_means_the_same_the_second_time() {
        for _ in 0..2 {
            assert_eq!(matches("abc", "^[a-c]+$").unwrap(), Cel::Bool(true));
            assert_eq!(matches("abd", "^[a-c]+$").unwrap(), Cel::Bool(false));
            assert!(matches("abc", "(").is_err());
        }
    }
}
