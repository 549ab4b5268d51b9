//! Integration tests: the real binary, real guests, real clients.
