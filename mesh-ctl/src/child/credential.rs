//! The token of this process: the one it was launched with, then what the control pipe brings. A process of the mesh has one identity.

use std::sync::{Arc, PoisonError, RwLock};

use mesh_runtime::svid::Token;

/// The newest one that came; empty until then.
static RENEWED: RwLock<Option<Arc<str>>> = RwLock::new(None);

/// Takes over a new token.
pub(super) fn renew(token: &str) {
    *RENEWED.write().unwrap_or_else(PoisonError::into_inner) = Some(token.into());
}

/// Always the newest: `first` until another has come.
pub(super) fn token(first: String) -> Token {
    Token::Dynamic(Arc::new(move || {
        let renewed = RENEWED.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(renewed.map_or_else(|| first.clone(), |token| token.to_string()))
    }))
}
