//! Which requests a rule of an `HTTPRoute` takes.

use schemars::{Schema, transform::Transform as _};

use crate::{
    resource::{
        gateway_api::form,
        spec::{names, spec},
    },
    schema::{cel, list_map},
};

spec! {
    /// Conditions that all hold.
    pub struct HttpMatch {
        /// Default: the prefix `/`.
        #[schemars(extend("default" = { "type": "PathPrefix", "value": "/" }))]
        path: PathMatch,
        #[schemars(length(max = 16), transform = list_map(&["name"]))]
        headers: Vec<HeaderMatch>,
        #[schemars(length(max = 16), transform = list_map(&["name"]))]
        query_params: Vec<QueryMatch>,
        method: Option<Method>,
    }

    /// A condition on the path.
    #[schemars(transform = normal)]
    pub struct PathMatch {
        #[schemars(extend("default" = "PathPrefix"))]
        r#type: PathMatchType,
        /// Default `/`.
        #[schemars(with = "form::Text", extend("default" = "/"))]
        value: Option<String>,
    }

    /// A condition on a header. Of two with the same name, the first counts.
    pub struct HeaderMatch {
        #[schemars(extend("default" = "Exact"))]
        r#type: ValueMatchType,
        /// Case does not matter.
        #[schemars(with = "form::HeaderName")]
        required name: String,
        #[schemars(with = "form::HeaderValue")]
        required value: String,
    }

    /// A condition on a query parameter.
    pub struct QueryMatch {
        #[schemars(extend("default" = "Exact"))]
        r#type: ValueMatchType,
        #[schemars(with = "form::HeaderName")]
        required name: String,
        #[schemars(length(min = 1, max = 1024))]
        required value: String,
    }
}

names! {
    /// How a path is compared.
    pub enum PathMatchType {
        /// Equal.
        Exact = "Exact",
        /// Starts with these segments.
        #[default]
        PathPrefix = "PathPrefix",
        /// RE2, the whole path.
        RegularExpression = "RegularExpression",
    }

    /// How a value is compared.
    pub enum ValueMatchType {
        /// Equal.
        #[default]
        Exact = "Exact",
        /// RE2, the whole value.
        RegularExpression = "RegularExpression",
    }

    /// A method.
    pub enum Method {
        /// GET
        #[default]
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// POST
        Post = "POST",
        /// PUT
        Put = "PUT",
        /// DELETE
        Delete = "DELETE",
        /// CONNECT
        Connect = "CONNECT",
        /// OPTIONS
        Options = "OPTIONS",
        /// TRACE
        Trace = "TRACE",
        /// PATCH
        Patch = "PATCH",
    }
}

impl PathMatch {
    /// The text compared with.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or("/")
    }
}

/// On a path: one that is compared as text is normal, as the proxy sees it.
fn normal(schema: &mut Schema) {
    /// A rule for texts.
    macro_rules! text {
        ($condition:literal, $message:literal) => {
            cel(
                concat!("(self.type in ['Exact','PathPrefix']) ? ", $condition, " : true"),
                concat!($message, " when type one of ['Exact', 'PathPrefix']"),
            )
            .transform(schema);
        };
    }
    text!("self.value.startsWith('/')", "value must be an absolute path and start with '/'");
    text!("!self.value.contains('//')", "must not contain '//'");
    text!("!self.value.contains('/./')", "must not contain '/./'");
    text!("!self.value.contains('/../')", "must not contain '/../'");
    text!("!self.value.contains('%2f')", "must not contain '%2f'");
    text!("!self.value.contains('%2F')", "must not contain '%2F'");
    text!("!self.value.contains('#')", "must not contain '#'");
    text!("!self.value.endsWith('/..')", "must not end with '/..'");
    text!("!self.value.endsWith('/.')", "must not end with '/.'");
    cel(
        "self.type in ['Exact','PathPrefix'] || self.type == 'RegularExpression'",
        "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
    )
    .transform(schema);
    cel(
        r#"(self.type in ['Exact','PathPrefix']) ? self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true"#,
        "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
    )
    .transform(schema);
}
