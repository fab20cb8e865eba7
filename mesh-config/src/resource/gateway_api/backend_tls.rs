//! `BackendTLSPolicy`: TLS from a gateway to a backend, and how the backend proves who it is.

use schemars::{Schema, transform::Transform as _};

use super::{form, refs::LocalObjectRef};
use crate::{
    resource::{
        selector::Labels,
        spec::{names, spec},
    },
    schema::{cel, values},
};

spec! {
    /// TLS to the targets.
    pub struct BackendTlsPolicy {
        /// Services of the policy's namespace, or single ports of theirs.
        #[schemars(length(min = 1, max = 16), transform = targets_differ)]
        required target_refs: Vec<PolicyTargetRef>,
        required validation: BackendValidation,
        /// Settings of an implementation's own.
        #[schemars(extend("maxProperties" = 16), transform = options)]
        options: Labels,
    }

    /// An object in the policy's namespace, or a section of it.
    pub struct PolicyTargetRef {
        #[schemars(with = "form::Group")]
        required group: String,
        #[schemars(with = "form::KindName")]
        required kind: String,
        #[schemars(with = "form::ObjectName")]
        required name: String,
        /// A port's name, for a Service.
        #[schemars(with = "form::SectionName")]
        section_name: Option<String>,
    }

    /// What a backend's certificate must be.
    #[schemars(transform = cas)]
    pub struct BackendValidation {
        /// ConfigMaps with `ca.crt`; or `well_known_ca_certificates`.
        #[schemars(length(max = 8))]
        ca_certificate_refs: Vec<LocalObjectRef>,
        /// `System`: the CAs that the system trusts.
        #[serde(rename = "wellKnownCACertificates")]
        #[schemars(with = "form::WellKnownCas")]
        well_known_ca_certificates: Option<String>,
        /// Sent as SNI; what the certificate must be for, unless `subject_alt_names` says otherwise.
        #[schemars(with = "form::PreciseHostname")]
        required hostname: String,
        /// The certificate must have one of these.
        #[schemars(length(max = 5))]
        subject_alt_names: Vec<SubjectAltName>,
    }

    /// A name in a certificate.
    #[schemars(
        transform = cel(
            r#"!(self.type == "Hostname" && (!has(self.hostname) || self.hostname == ""))"#,
            "SubjectAltName element must contain Hostname, if Type is set to Hostname",
        ),
        transform = cel(
            r#"!(self.type != "Hostname" && has(self.hostname) && self.hostname != "")"#,
            "SubjectAltName element must not contain Hostname, if Type is not set to Hostname",
        ),
        transform = cel(
            r#"!(self.type == "URI" && (!has(self.uri) || self.uri == ""))"#,
            "SubjectAltName element must contain URI, if Type is set to URI",
        ),
        transform = cel(
            r#"!(self.type != "URI" && has(self.uri) && self.uri != "")"#,
            "SubjectAltName element must not contain URI, if Type is not set to URI",
        )
    )]
    pub struct SubjectAltName {
        required r#type: SubjectAltNameType,
        /// A DNS name.
        #[schemars(with = "form::Hostname")]
        hostname: Option<String>,
        /// A URI, such as a SPIFFE id.
        #[schemars(with = "form::AbsoluteUri")]
        uri: Option<String>,
    }
}

names! {
    /// A kind of name in a certificate.
    pub enum SubjectAltNameType {
        /// A DNS name.
        #[default]
        Hostname = "Hostname",
        /// A URI.
        Uri = "URI",
    }
}

/// On a map of options: the form of its values.
pub(super) fn options(schema: &mut Schema) {
    values(form::put::<form::AnnotationValue>).transform(schema);
}

fn targets_differ(schema: &mut Schema) {
    cel(
        "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name ? ((!has(p1.sectionName) || \
         p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))",
        "sectionName must be specified when targetRefs includes 2 or more references to the same target",
    )
    .transform(schema);
    cel(
        "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && (((!has(p1.sectionName) \
         || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || (has(p1.sectionName) && \
         has(p2.sectionName) && p1.sectionName == p2.sectionName))))",
        "sectionName must be unique when targetRefs includes 2 or more references to the same target",
    )
    .transform(schema);
}

fn cas(schema: &mut Schema) {
    cel(
        "!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 && has(self.wellKnownCACertificates) && \
         self.wellKnownCACertificates != \"\")",
        "must not contain both CACertificateRefs and WellKnownCACertificates",
    )
    .transform(schema);
    cel(
        "(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 || has(self.wellKnownCACertificates) && \
         self.wellKnownCACertificates != \"\")",
        "must specify either CACertificateRefs or WellKnownCACertificates",
    )
    .transform(schema);
}
