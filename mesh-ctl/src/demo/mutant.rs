//! The mesh broken on purpose, to see the check that should notice turn red. Only in builds with the `mutants` feature.

use std::{io, time::Duration};

use super::Sample;

/// One way to break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "mutants", derive(clap::ValueEnum))]
pub enum Mutant {
    /// Plaintext and strangers are let in: the `no-certificate` check.
    Permissive,
    /// The faulted route is not retried: the `retry` check.
    NoRetry,
    /// Nothing is ejected: the `outlier` check.
    NoOutlier,
    /// Certificates live so long that none rotates: the `rotation` check.
    NoRotation,
    /// Galley does not watch its folders: the `edit` check.
    FrozenWeights,
    /// No AuthorizationPolicy: the `authorization` check.
    AllowAll,
}

impl Mutant {
    /// Does to the sample what the mutant is.
    ///
    /// # Errors
    /// When the sample is not as expected.
    pub fn apply(self, sample: &Sample) -> io::Result<()> {
        match self {
            Self::Permissive => sample.edit("security.yaml", |text| replaced(text, "STRICT", "PERMISSIVE")),
            Self::NoRetry => {
                sample.edit("gateway.yaml", |text| replaced(text, "attempts: 8, perTryTimeout: 2s, retryOn: 5xx", "attempts: 0"))
            }
            Self::NoOutlier => sample.edit("traffic.yaml", |text| {
                let (before, _) = text.split_once("    outlierDetection:")?;
                Some(before.to_owned())
            }),
            Self::AllowAll => sample.edit("security.yaml", |text| replaced(text, "action: ALLOW", "action: AUDIT")),
            Self::NoRotation | Self::FrozenWeights => Ok(()),
        }
    }

    /// The lifetime of certificates under this mutant.
    pub fn certificate_lifetime(mutant: Option<Self>, normal: Duration) -> Duration {
        if mutant == Some(Self::NoRotation) { Duration::from_secs(3600) } else { normal }
    }
}

fn replaced(text: &str, from: &str, to: &str) -> Option<String> {
    text.contains(from).then(|| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_mutant_fits_the_sample() {
        use Mutant::{AllowAll, FrozenWeights, NoOutlier, NoRetry, NoRotation, Permissive};
        for mutant in [Permissive, NoRetry, NoOutlier, NoRotation, FrozenWeights, AllowAll] {
            mutant.apply(&Sample::copy().unwrap()).unwrap();
        }
    }
}
