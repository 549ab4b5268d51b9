//! Writes small components as text: the whole contract around a few lines of core wasm.

const MANIFEST: &str = r#"{"name":"probe","endpoints":[{"name":"/run"}]}"#;

/// A guest whose parts are core wasm in text form.
pub(super) struct Guest {
    /// body of `call`; `(param $ptr i32) (param $len i32)`, must leave the address of a result
    pub(super) call: &'static str,
    /// body of `describe`; must leave the address of a string
    pub(super) describe: &'static str,
    /// body of `init`
    pub(super) init: &'static str,
    /// what `describe` returns by default
    pub(super) manifest: String,
    /// version of the exported interface
    pub(super) export: &'static str,
    /// further imports of the component, as text
    pub(super) imports: String,
    /// further functions, globals and data of the core module
    pub(super) items: &'static str,
}

/// The address of `ok`.
pub(super) const OK: &str = "(i32.const 16)";

impl Guest {
    /// One whose `call` has this body.
    pub(super) fn calling(call: &'static str) -> Self {
        Self {
            call,
            describe: "(i32.const 8)",
            init: OK,
            manifest: MANIFEST.into(),
            export: "0.1.0",
            imports: String::new(),
            items: "",
        }
    }

    /// The component as text.
    pub(super) fn text(&self) -> String {
        let Self { call, describe, init, manifest, export, imports, items } = self;
        let quoted = manifest.replace('"', "\\22");
        let (low, high) = (manifest.len() % 256, manifest.len() / 256);
        format!(
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
    (export "len" (func (result u32)))
    (export "set-integer" (func (param "column" string) (param "start" u32) (param "values" (list (option s64)))
      (result (result (error $access)))))
    (export "append" (func (param "count" u32) (result (result u32 (error $access)))))
    (export "emit" (func (param "rows" (list u32)) (result (result bool (error $access)))))))
  (import "lockgate:executor/host@0.1.0" (instance $host
    (type $l (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $l)))
    (export "log" (func (param "level" $level) (param "message" string)))
    (export "configuration" (func (result string)))))
  {imports}
  (core module $libc
    (memory (export "memory") 2)
    (table (export "table") 1 funcref)
    (global $heap (mut i32) (i32.const 65536))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (local $at i32)
      (if (i32.gt_u (i32.add (global.get $heap) (local.get $size)) (i32.const 130000))
        (then (global.set $heap (i32.const 65536))))
      (local.set $at (global.get $heap))
      (global.set $heap
        (i32.and (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 7)) (i32.const -8)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (core func $len (canon lower (func $docs "len")))
  (core func $append (canon lower (func $docs "append") (memory (core memory $libc "memory"))))
  (core func $emit (canon lower (func $docs "emit") (memory (core memory $libc "memory"))))
  (core func $set-integer (canon lower (func $docs "set-integer") (memory (core memory $libc "memory"))))
  (core func $log (canon lower (func $host "log") (memory (core memory $libc "memory"))))
  (core func $configuration (canon lower (func $host "configuration")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 2))
    (import "libc" "table" (table 1 funcref))
    (import "host" "len" (func $len (result i32)))
    (import "host" "append" (func $append (param i32 i32)))
    (import "host" "emit" (func $emit (param i32 i32 i32)))
    (import "host" "set-integer" (func $set-integer (param i32 i32 i32 i32 i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "configuration" (func $configuration (param i32)))
    (data (i32.const 8) "\00\04\00\00\{low:02x}\{high:02x}\00\00")
    (data (i32.const 1024) "{quoted}")
    (global $count (mut i32) (i32.const 0))
    {items}
    (func $fail (param $message i32) (param $bytes i32) (param $details i32) (param $detail_bytes i32) (result i32)
      (i32.store8 (i32.const 64) (i32.const 1))
      (i32.store8 (i32.const 68) (i32.const 2))
      (i32.store (i32.const 72) (local.get $message))
      (i32.store (i32.const 76) (local.get $bytes))
      (i32.store (i32.const 80) (local.get $details))
      (i32.store (i32.const 84) (local.get $detail_bytes))
      (i32.const 64))
    (func (export "describe") (result i32) {describe})
    (func (export "init") (result i32) {init})
    (func (export "call") (param $ptr i32) (param $len i32) (result i32) {call}))
  (core instance $m (instantiate $m (with "libc" (instance $libc))
    (with "host" (instance (export "len" (func $len)) (export "append" (func $append)) (export "emit" (func $emit))
      (export "set-integer" (func $set-integer)) (export "log" (func $log))
      (export "configuration" (func $configuration))))))
  (func $describe (result string) (canon lift (core func $m "describe") (memory (core memory $libc "memory"))))
  (func $init (result (result (error $error))) (canon lift (core func $m "init") (memory (core memory $libc "memory"))))
  (func $call (param "endpoint" string) (result (result (error $error)))
    (canon lift (core func $m "call") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $executor (export "describe" (func $describe)) (export "init" (func $init)) (export "call" (func $call)))
  (export "lockgate:executor/executor@{export}" (instance $executor)))"#
        )
    }

    /// The component's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }
}
