//! meshctl: one tool for the whole mesh, and the local mesh itself.
//!
//! Start reading at [`demo`], then [`mesh`]: the same code is `meshctl demo`, `meshctl up` and the fixture of whole-mesh tests.
//!
//! Invariants: the one crate that depends on several components; nothing secret on a command line, in the environment or in
//! a file others may read; whatever a mesh starts, it ends.

pub mod child;
pub mod cmd;
pub mod demo;
pub mod load;
pub mod mesh;
pub mod shop;
pub mod stranger;
pub mod up;
