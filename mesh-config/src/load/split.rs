//! The documents of a stream as separate texts, for when one of them is no YAML.

/// Each document, preceded by as many line breaks as there were lines before it, so that line numbers hold.
pub(crate) fn documents(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut current = String::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line) && !current.trim().is_empty() {
            documents.push(std::mem::take(&mut current));
            current.push_str(&"\n".repeat(number));
        }
        current.push_str(line);
    }
    documents.push(current);
    documents
}

/// `---` at the beginning of a line, alone or before white space.
fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn documents_keep_their_lines() {
        assert_eq!(documents("---\na: 1\n--- # next\nb: 2\n"), ["---\na: 1\n", "\n\n--- # next\nb: 2\n"]);
        assert_eq!(documents("a: ----\n"), ["a: ----\n"]);
    }
}
