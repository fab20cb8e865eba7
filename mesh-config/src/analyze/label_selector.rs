//! Kubernetes' label selectors: labels that must be, and expressions about them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use crate::resource::Labels;

/// Whether a selector selects. An absent or empty one selects everything, one that cannot be understood nothing.
pub(super) fn matches(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else { return true };
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal && selector.match_expressions.iter().flatten().all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let among = || value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
    match requirement.operator.as_str() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_conditions() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        for (key, operator, value, expected) in [
            ("a", "In", "1", true),
            ("a", "In", "2", false),
            ("b", "In", "1", false),
            ("a", "NotIn", "1", false),
            ("b", "NotIn", "1", true),
            ("a", "Exists", "", true),
            ("b", "Exists", "", false),
            ("b", "DoesNotExist", "", true),
            ("a", "Like", "1", false),
        ] {
            let requirement = LabelSelectorRequirement { key: key.into(), operator: operator.into(), values: Some(vec![value.into()]) };
            let selector = LabelSelector { match_expressions: Some(vec![requirement]), match_labels: None };
            assert_eq!(matches(Some(&selector), &labels), expected, "{key} {operator} {value}");
        }
        assert!(matches(None, &labels));
        assert!(matches(Some(&LabelSelector::default()), &labels));
    }
}
