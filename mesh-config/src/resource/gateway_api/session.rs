//! Session persistence of HTTP and gRPC routes (experimental): one client's requests go to one backend.

use super::{duration::Duration, form};
use crate::{
    resource::spec::{names, spec},
    schema::cel,
};

spec! {
    /// How a session is known and how long it lasts.
    #[schemars(
        transform = cel(
            "!has(self.cookie) || !has(self.cookie.lifetimeType) || self.cookie.lifetimeType != 'Permanent' || has(self.absoluteTimeout)",
            "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent",
        ),
        transform = cel("!has(self.cookie) || self.type == 'Cookie'", "cookie must be nil if type is not Cookie"),
        transform = cel("self.type != 'Cookie' || has(self.cookie)", "cookie must be specified for Cookie type"),
        transform = cel("!has(self.header) || self.type == 'Header'", "header must be nil if type is not Header"),
        transform = cel("self.type != 'Header' || has(self.header)", "header must be specified for Header type")
    )]
    pub struct SessionPersistence {
        #[schemars(extend("default" = "Cookie"))]
        r#type: SessionType,
        /// Absent: no end.
        absolute_timeout: Option<Duration>,
        /// For `Cookie`.
        cookie: Option<SessionCookie>,
        /// For `Header`.
        header: Option<SessionHeader>,
    }

    /// The cookie that carries the session.
    pub struct SessionCookie {
        /// Absent: the implementation chooses one.
        #[schemars(with = "form::HeaderName")]
        name: Option<String>,
        #[schemars(extend("default" = "Session"))]
        lifetime_type: CookieLifetime,
        /// Default `/`.
        #[schemars(with = "form::Text", extend("default" = "/"))]
        path: Option<String>,
    }

    /// The header that carries the session.
    pub struct SessionHeader {
        #[schemars(with = "form::HeaderName")]
        required name: String,
    }
}

names! {
    /// Where the session is carried.
    pub enum SessionType {
        /// In a cookie.
        #[default]
        Cookie = "Cookie",
        /// In a header.
        Header = "Header",
    }

    /// How long a cookie lives.
    pub enum CookieLifetime {
        /// `absoluteTimeout`.
        Permanent = "Permanent",
        /// As long as the browser.
        #[default]
        Session = "Session",
    }
}
