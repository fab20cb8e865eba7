//! Exit codes that scripts know from istioctl (`istioctl/cmd/sysexits.go`).

/// The command line makes no sense.
pub const USAGE: u8 = 64;
/// What was given could not be parsed.
pub const DATA: u8 = 65;
/// The analysis found something at or above the threshold.
pub const FOUND: u8 = 79;
