//! Samples and manifests, embedded: one `meshctl` works offline and outside the repository.
//!
//! Invariant: only data. Nothing here parses or starts anything.

/// A file of a sample.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Name within its folder.
    pub name: &'static str,
    /// Content.
    pub text: &'static str,
}

macro_rules! folder {
    ($dir:literal: $($name:literal),* $(,)?) => {
        &[$(File { name: $name, text: include_str!(concat!("../", $dir, "/", $name)) }),*]
    };
}

/// The shop of `meshctl demo`: Istio YAML as users write it.
pub const SHOP: &[File] = folder!("samples/shop": "services.yaml", "gateway.yaml", "traffic.yaml", "security.yaml");

/// Where [`SHOP`] lies in the repository, relative to its root.
pub const SHOP_PATH: &str = "deploy/samples/shop";

/// The example of `meshctl up`.
pub const UP: &[File] = folder!("samples/up": "mesh.yaml");

/// The Istio YAML beside [`UP`].
pub const UP_CONFIG: &[File] = folder!("samples/up/config": "hello.yaml");

/// Mistakes that people make, one a file; its first lines say which, and what `meshctl analyze` answers.
pub const BROKEN: &[File] = folder!(
    "broken":
    "01-host-misspelt.yaml",
    "02-subset-undefined.yaml",
    "03-gateway-in-another-namespace.yaml",
    "04-host-not-in-gateway.yaml",
    "05-field-misspelt.yaml",
    "06-duration-without-unit.yaml",
    "07-tab.yaml",
    "08-two-virtual-services.yaml",
    "09-catch-all-first.yaml",
    "10-wide-before-narrow.yaml",
    "11-empty-principals.yaml",
    "12-plaintext-to-strict.yaml",
    "13-retries-outlast-timeout.yaml",
    "14-tls-verifies-nobody.yaml",
    "15-gateway-locked-out.yaml",
    "16-token-nobody-reads.yaml",
    "17-server-speaks-first.yaml",
    "18-port-not-said.yaml",
    "19-subset-selects-nobody.yaml",
    "20-delegate-missing.yaml",
);

#[cfg(test)]
mod tests {
    use super::{File, SHOP, UP, UP_CONFIG};

    #[test]
    fn every_embedded_file_has_a_kind_or_a_mesh() {
        for File { name, text } in SHOP.iter().chain(UP_CONFIG) {
            assert!(text.contains("kind:"), "{name} holds no resource");
        }
        assert!(UP[0].text.contains("workloads:"));
    }
}
