//! Where configuration comes from. Today: folders of files.

pub mod folder;
pub mod watch;
