//! Small components made in a moment: each writes a number of its own into the first document, so that a test sees who
//! answered. They need no toolchain of guests, and a host compiles one in no time.

/// What a guest does besides writing its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Plain,
    /// Traps.
    Trapping,
    /// Counts its calls and adds them to its number.
    Counting,
    /// Computes for so many rounds.
    Busy(u32),
}

/// The component of a guest that writes `number` into the column `answer` at `/run`.
pub fn component(number: i64, manner: Manner) -> Vec<u8> {
    let stateful = manner == Manner::Counting;
    let manifest = format!(r#"{{"name":"g{number}","stateful":{stateful},"endpoints":[{{"name":"/run"}}]}}"#);
    let before = match manner {
        Manner::Plain => String::new(),
        Manner::Trapping => "unreachable".to_owned(),
        Manner::Counting => {
            "(global.set $calls (i64.add (global.get $calls) (i64.const 1)))".to_owned()
        }
        Manner::Busy(rounds) => format!(
            "(local.set $i (i32.const {rounds}))
             (loop $again (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $again (local.get $i)))"
        ),
    };
    let quoted = manifest.replace('"', "\\22");
    let (low, high) = (manifest.len() % 256, manifest.len() / 256);
    let text = format!(
        r#"(component
  (import "lockgate:executor/types@0.1.0" (instance $types
    (type $c (enum "cancelled" "unknown" "invalid-argument" "deadline-exceeded" "not-found" "already-exists"
      "permission-denied" "resource-exhausted" "failed-precondition" "aborted" "out-of-range" "unimplemented"
      "internal" "unavailable" "data-loss" "unauthenticated"))
    (export "code" (type $code (eq $c)))
    (type $e (record (field "code" $code) (field "message" string) (field "details" string)))
    (export "error" (type $error (eq $e)))))
  (alias export $types "error" (type $error))
  (import "lockgate:executor/docs@0.1.0" (instance $docs
    (type $a (enum "wrong-kind" "out-of-range" "too-large" "invalid"))
    (export "access-error" (type $access (eq $a)))
    (export "set-integer" (func (param "column" string) (param "start" u32) (param "values" (list (option s64)))
      (result (result (error $access)))))))
  (core module $libc
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 16384)))
  (core instance $libc (instantiate $libc))
  (core func $set-integer (canon lower (func $docs "set-integer") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "set-integer" (func $set-integer (param i32 i32 i32 i32 i32 i32)))
    (data (i32.const 8) "\00\04\00\00\{low:02x}\{high:02x}\00\00")
    (data (i32.const 1024) "{quoted}")
    (data (i32.const 2048) "answer")
    (global $calls (mut i64) (i64.const 0))
    (func (export "describe") (result i32) (i32.const 8))
    (func (export "init") (result i32) (i32.const 16))
    (func (export "call") (param $ptr i32) (param $len i32) (result i32) (local $i i32)
      {before}
      (i32.store8 (i32.const 3072) (i32.const 1))
      (i64.store (i32.const 3080) (i64.add (i64.const {number}) (global.get $calls)))
      (call $set-integer (i32.const 2048) (i32.const 6) (i32.const 0) (i32.const 3072) (i32.const 1) (i32.const 4096))
      (i32.const 16)))
  (core instance $m (instantiate $m (with "libc" (instance $libc))
    (with "host" (instance (export "set-integer" (func $set-integer))))))
  (func $describe (result string) (canon lift (core func $m "describe") (memory (core memory $libc "memory"))))
  (func $init (result (result (error $error))) (canon lift (core func $m "init") (memory (core memory $libc "memory"))))
  (func $call (param "endpoint" string) (result (result (error $error)))
    (canon lift (core func $m "call") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $executor (export "describe" (func $describe)) (export "init" (func $init)) (export "call" (func $call)))
  (export "lockgate:executor/executor@0.1.0" (instance $executor)))"#
    );
    assemble(&text)
}

/// A component, or a core module, from its text.
pub fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
