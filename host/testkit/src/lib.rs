//! What tests share: fixtures, a running host, waiting on conditions.
