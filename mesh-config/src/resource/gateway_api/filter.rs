//! What HTTP and gRPC routes share of filters: header edits, copies of requests, an implementation's own.

use schemars::{Schema, transform::Transform};

use super::{
    form,
    refs::{BackendObjectRef, LocalObjectRef},
};
use crate::{
    resource::spec::spec,
    schema::{cel, list_map, list_set},
};

spec! {
    /// Edits of headers: `remove`, `set`, `add`.
    pub struct HeaderFilter {
        /// Replaced.
        #[schemars(length(max = 16), transform = list_map(&["name"]))]
        set: Vec<Header>,
        /// Appended to what is there.
        #[schemars(length(max = 16), transform = list_map(&["name"]))]
        add: Vec<Header>,
        /// Names; case does not matter.
        #[schemars(length(max = 16), transform = list_set)]
        remove: Vec<String>,
    }

    /// A header to write.
    pub struct Header {
        /// Case does not matter.
        #[schemars(with = "form::HeaderName")]
        required name: String,
        /// Without line breaks (the experimental channel's bound; the standard one takes anything).
        #[schemars(with = "form::HeaderValue")]
        required value: String,
    }

    /// Copies of requests, whose answers are thrown away.
    #[schemars(transform = cel(
        "!(has(self.percent) && has(self.fraction))",
        "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
    ))]
    pub struct MirrorFilter {
        required backend_ref: BackendObjectRef,
        /// 0 to 100. Absent, as `fraction`: all.
        #[schemars(with = "i32", range(min = 0, max = 100))]
        percent: Option<u32>,
        fraction: Option<Fraction>,
    }

    /// A share.
    #[schemars(transform = cel("self.numerator <= self.denominator", "numerator must be less than or equal to denominator"))]
    pub struct Fraction {
        #[schemars(with = "i32", range(min = 0))]
        required numerator: u32,
        /// Default 100.
        #[schemars(with = "i32", range(min = 1), extend("default" = 100))]
        denominator: Option<u32>,
    }
}

/// A filter that an implementation brings along.
pub type ExtensionRef = LocalObjectRef;

impl Fraction {
    /// The part, of `denominator` parts.
    pub fn denominator(&self) -> u32 {
        self.denominator.unwrap_or(100)
    }
}

impl MirrorFilter {
    /// The share that is copied, 0 to 1.
    pub fn share(&self) -> f64 {
        match (&self.percent, &self.fraction) {
            (Some(percent), _) => f64::from(*percent) / 100.0,
            (None, Some(fraction)) => f64::from(fraction.numerator) / f64::from(fraction.denominator().max(1)),
            (None, None) => 1.0,
        }
    }
}

/// On a filter: its type's own field is set, and no other's.
pub(super) fn one_of(schema: &mut Schema, choices: &[[&'static str; 4]]) {
    for [absent, absent_message, present, present_message] in choices {
        cel(absent, absent_message).transform(schema);
        cel(present, present_message).transform(schema);
    }
}

/// The two rules that tie a filter's type to its field.
macro_rules! choices {
    ($($field:literal: $kind:literal),* $(,)?) => {
        &[$([
            concat!("!(has(self.", $field, ") && self.type != '", $kind, "')"),
            concat!("filter.", $field, " must be nil if the filter.type is not ", $kind),
            concat!("!(!has(self.", $field, ") && self.type == '", $kind, "')"),
            concat!("filter.", $field, " must be specified for ", $kind, " filter.type"),
        ],)*]
    };
}

/// On a list of filters: these types come once.
macro_rules! not_repeated {
    ($schema:expr, $($kind:literal),*) => {
        $(
            $crate::schema::cel(
                concat!("self.filter(f, f.type == '", $kind, "').size() <= 1"),
                concat!($kind, " filter cannot be repeated"),
            )
            .transform($schema);
        )*
    };
}

pub(super) use {choices, not_repeated};
