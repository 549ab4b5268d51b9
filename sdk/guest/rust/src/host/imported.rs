//! The seam on wasm: the imports of the contract, with their types turned into the SDK's.
//!
//! Everything is moved, never copied: the conversions are renames that the optimiser removes.

mod capabilities;

use super::{Access, AccessError};
use crate::bindings::lockgate::executor::{docs, host, request, types};
use crate::metrics::Metric;
use crate::{Error, Kind, Level, Tensor};

pub(crate) use self::capabilities::*;
pub(crate) use crate::bindings::lockgate::executor::docs::PackedText;

macro_rules! pass {
    ($($get:ident $set:ident $type:ty, $written:ty;)*) => {
        $(
            pub(crate) fn $get(column: &str, start: u32, count: u32) -> Access<$type> {
                docs::$get(column, start, count).map_err(access)
            }

            pub(crate) fn $set(column: &str, start: u32, values: $written) -> Access<()> {
                docs::$set(column, start, values).map_err(access)
            }
        )*
    };
}

pass! {
    get_text_packed set_text_packed PackedText, &PackedText;
    get_bytes set_bytes Vec<Option<Vec<u8>>>, &[Option<Vec<u8>>];
    get_integer set_integer Vec<Option<i64>>, &[Option<i64>];
    get_number set_number Vec<Option<f64>>, &[Option<f64>];
    get_boolean set_boolean Vec<Option<bool>>, &[Option<bool>];
    get_json set_json Vec<Option<String>>, &[Option<String>];
    get_link set_link Vec<Vec<u32>>, &[Vec<u32>];
}

pub(crate) fn len() -> u32 {
    docs::len()
}

pub(crate) fn total() -> u32 {
    docs::total()
}

pub(crate) fn columns() -> Vec<(String, Kind)> {
    docs::columns().into_iter().map(|column| (column.name, kind(column.kind))).collect()
}

pub(crate) fn get_bytes_range(column: &str, row: u32, offset: u64, count: u32) -> Access<Vec<u8>> {
    docs::get_bytes_range(column, row, offset, count).map_err(access)
}

pub(crate) fn get_tensor(column: &str, start: u32, count: u32) -> Access<Vec<Option<Tensor>>> {
    let values = docs::get_tensor(column, start, count).map_err(access)?;
    values.into_iter().map(|value| value.map(tensor_in).transpose()).collect()
}

pub(crate) fn set_tensor(column: &str, start: u32, values: Vec<Option<Tensor>>) -> Access<()> {
    let values: Vec<_> = values.into_iter().map(|value| value.map(tensor_out)).collect();
    docs::set_tensor(column, start, &values).map_err(access)
}

pub(crate) fn get_stacked(column: &str, start: u32, count: u32) -> Access<Tensor> {
    docs::get_stacked(column, start, count).map_err(access).and_then(tensor_in)
}

pub(crate) fn set_stacked(column: &str, start: u32, values: Tensor) -> Access<()> {
    docs::set_stacked(column, start, &tensor_out(values)).map_err(access)
}

pub(crate) fn append(count: u32) -> Access<u32> {
    docs::append(count).map_err(access)
}

pub(crate) fn select(rows: &[u32]) -> Access<()> {
    docs::select(rows).map_err(access)
}

pub(crate) fn emit(rows: &[u32]) -> Access<bool> {
    docs::emit(rows).map_err(access)
}

pub(crate) fn request_id() -> String {
    request::id()
}

pub(crate) fn header(name: &str) -> Option<String> {
    request::header(name)
}

pub(crate) fn parameters() -> String {
    request::parameters()
}

pub(crate) fn parameter(name: &str) -> Option<String> {
    request::parameter(name)
}

pub(crate) fn remaining() -> Option<u64> {
    request::remaining()
}

pub(crate) fn cancelled() -> bool {
    request::cancelled()
}

pub(crate) fn inputs() -> Vec<(String, u32, u32)> {
    request::inputs()
}

pub(crate) fn set_results(json: &str) -> Access<()> {
    request::set_results(json).map_err(access)
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    host::log(level, message);
}

pub(crate) fn record_metric(metric: Metric, name: &str, value: f64, attributes: &[(&str, &str)]) {
    let metric = match metric {
        Metric::Counter => host::Metric::Counter,
        Metric::Gauge => host::Metric::Gauge,
        Metric::Histogram => host::Metric::Histogram,
    };
    let attributes: Vec<_> =
        attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    host::record_metric(metric, name, value, &attributes);
}

pub(crate) fn configuration() -> String {
    host::configuration()
}

pub(crate) fn configured(name: &str) -> Option<String> {
    host::configured(name)
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        let (code, message, details) = error.into_parts();
        Self { code: code_out(code), message, details }
    }
}

fn access(error: docs::AccessError) -> AccessError {
    match error {
        docs::AccessError::WrongKind => AccessError::WrongKind,
        docs::AccessError::OutOfRange => AccessError::OutOfRange,
        docs::AccessError::TooLarge => AccessError::TooLarge,
        docs::AccessError::Invalid => AccessError::Invalid,
    }
}

fn kind(kind: docs::Kind) -> Kind {
    match kind {
        docs::Kind::Text => Kind::Text,
        docs::Kind::Bytes => Kind::Bytes,
        docs::Kind::Integer => Kind::Integer,
        docs::Kind::Number => Kind::Number,
        docs::Kind::Boolean => Kind::Boolean,
        docs::Kind::Json => Kind::Json,
        docs::Kind::Tensor => Kind::Tensor,
        docs::Kind::Link => Kind::Link,
    }
}

fn tensor_in(tensor: types::Tensor) -> Access<Tensor> {
    Tensor::new(dtype_in(tensor.dtype), tensor.shape, tensor.data).map_err(|_| AccessError::Invalid)
}

fn tensor_out(tensor: Tensor) -> types::Tensor {
    let (dtype, shape, data) = tensor.into_parts();
    types::Tensor { dtype: dtype_out(dtype), shape, data }
}

macro_rules! renamed {
    ($into:ident, $outof:ident, $theirs:path, $ours:path, $($name:ident)*) => {
        renamed!(@one $outof, $ours, $theirs, $($name)*);
        renamed!(@one $into, $theirs, $ours, $($name)*);
    };
    (@one $function:ident, $from:path, $to:path, $($name:ident)*) => {
        fn $function(value: $from) -> $to {
            use $from as From;
            use $to as To;
            match value { $(From::$name => To::$name,)* }
        }
    };
}

renamed!(dtype_in, dtype_out, types::Dtype, crate::Dtype,
    Boolean Uint8 Int8 Uint16 Int16 Uint32 Int32 Uint64 Int64
    Float8E4m3 Float8E5m2 Float16 Bfloat16 Float32 Float64);

renamed!(@one code_out, crate::Code, types::Code,
    Cancelled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted
    FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated);
