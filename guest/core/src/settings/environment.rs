//! Settings as environment variables.

use super::key;

/// What the name of a setting's variable begins with; the setting's own in capitals follows.
pub const ENV_PREFIX: &str = "MCP_REPORTER_";

/// A setting and its default where nobody calls `deliver`: in a runtime without a timer, a report
/// delivers.
pub const WITHOUT_TIMER: (&str, &str) = (key::DELIVER_ON_REPORT.name, "true");
