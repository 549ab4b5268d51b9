//! Configuration, assembly by role, drain: the only place where the gateway meets the runtime.
