//! The disagreements that are meant (`conformance-differences.yaml`), each with its reason.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};

/// Reasons by area and case.
#[derive(Debug, Default)]
pub(super) struct Differences(BTreeMap<String, BTreeMap<String, String>>);

impl Differences {
    /// Reads the file: `area: {case: reason}`. A missing file has none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn load(file: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let document = mesh_proto::yaml::parse_one(text)?;
        let areas: BTreeMap<String, Option<BTreeMap<String, String>>> = serde_json::from_value(document.root.to_json())?;
        Ok(Self(areas.into_iter().map(|(area, cases)| (area, cases.unwrap_or_default())).collect()))
    }

    /// Why that case is meant to disagree, if it is.
    pub(super) fn reason(&self, area: &str, case: &str) -> Option<&str> {
        self.0.get(area)?.get(case).map(|reason| reason.trim()).filter(|reason| !reason.is_empty())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reason_is_found_by_area_and_case() {
        let differences = Differences::parse("crd:\n  a/b: because\nvalidation:\n").unwrap();
        assert_eq!(differences.reason("crd", "a/b"), Some("because"));
        assert_eq!(differences.reason("validation", "a/b"), None);
    }
}
