//! "Did you mean": the nearest known name to what was written.

/// The nearest of `known` to `given`, ignoring case, if it is near enough to be a likely slip.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(given.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_corrected_and_a_stranger_is_not() {
        let known = ["weight", "destination", "headers"];
        assert_eq!(nearest("wieght", known), Some("weight"));
        assert_eq!(nearest("Headers", known), Some("headers"));
        assert_eq!(nearest("banana", known), None);
    }
}
