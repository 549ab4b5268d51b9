//! Tests of the runtime, on components written as text.
