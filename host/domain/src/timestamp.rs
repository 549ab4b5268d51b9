//! A moment as records keep it: milliseconds since 1970, shown in RFC 3339 and UTC.
//!
//! Whoever makes a record passes the moment in; nothing here reads a clock.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(u64);

/// The text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a moment; write it like 2026-11-26T16:00:00Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// From milliseconds since 1970.
    pub fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.min(Self::LAST_MS))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// From the system's clock; a moment before 1970 counts as 1970.
    pub fn from_system(moment: SystemTime) -> Self {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// That much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The last millisecond of the year 9999, the last that RFC 3339 can write.
    const LAST_MS: u64 = 253_402_300_799_999;
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = i128::from(self.0) * 1_000_000;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).map_err(|_| fmt::Error)?;
        f.write_str(&moment.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let bad = || TimestampError(text.chars().take(40).collect());
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad())?;
        u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map(Self::from_millis).map_err(|_| bad())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(moment: Timestamp) -> String {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_round_trip() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(text.parse::<Timestamp>().ok().map(Timestamp::as_millis), expected, "{text}");
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-11-26T16:15:24.5Z", Some(1_795_709_724_500));
        check("2026-11-26T17:15:24.5+01:00", Some(1_795_709_724_500));
        check("1969-12-31T23:59:59Z", None);
        check("yesterday", None);
        assert_eq!(Timestamp::from_millis(1_795_709_724_500).to_string(), "2026-11-26T16:15:24.5Z");
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
