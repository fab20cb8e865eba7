//! TCP: connections relayed byte by byte.

mod proxy;
pub(crate) mod relay;

pub(crate) use self::proxy::serve;
