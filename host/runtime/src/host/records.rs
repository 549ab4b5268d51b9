//! The contract's types as the boundary lifts and lowers them. Buffers are shared with the documents where they can be.

use std::sync::Arc;

use bytes::Bytes;
use lockgate_domain::GrpcCode;
use lockgate_domain::document::{AccessError, DType, Kind, PackedText, Tensor};
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::log::Level;
use crate::metrics::MetricKind;

/// `types.error`
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct GuestError {
    pub(crate) code: ErrorCase,
    pub(crate) message: String,
    pub(crate) details: String,
}

/// `types.code`
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting, which the compiler does not see")]
pub(crate) enum ErrorCase {
    #[component(name = "cancelled")]
    Cancelled,
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "deadline-exceeded")]
    DeadlineExceeded,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "already-exists")]
    AlreadyExists,
    #[component(name = "permission-denied")]
    PermissionDenied,
    #[component(name = "resource-exhausted")]
    ResourceExhausted,
    #[component(name = "failed-precondition")]
    FailedPrecondition,
    #[component(name = "aborted")]
    Aborted,
    #[component(name = "out-of-range")]
    OutOfRange,
    #[component(name = "unimplemented")]
    Unimplemented,
    #[component(name = "internal")]
    Internal,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "data-loss")]
    DataLoss,
    #[component(name = "unauthenticated")]
    Unauthenticated,
}

/// `types.dtype`
#[derive(Debug, Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum DTypeCase {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "uint8")]
    Uint8,
    #[component(name = "int8")]
    Int8,
    #[component(name = "uint16")]
    Uint16,
    #[component(name = "int16")]
    Int16,
    #[component(name = "uint32")]
    Uint32,
    #[component(name = "int32")]
    Int32,
    #[component(name = "uint64")]
    Uint64,
    #[component(name = "int64")]
    Int64,
    #[component(name = "float8-e4m3")]
    Float8E4m3,
    #[component(name = "float8-e5m2")]
    Float8E5m2,
    #[component(name = "float16")]
    Float16,
    #[component(name = "bfloat16")]
    Bfloat16,
    #[component(name = "float32")]
    Float32,
    #[component(name = "float64")]
    Float64,
}

/// `types.tensor`
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct TensorRecord {
    dtype: DTypeCase,
    shape: Arc<[u32]>,
    data: Bytes,
}

/// `docs.kind`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum KindCase {
    #[component(name = "text")]
    Text,
    #[component(name = "bytes")]
    Bytes,
    #[component(name = "integer")]
    Integer,
    #[component(name = "number")]
    Number,
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "json")]
    Json,
    #[component(name = "tensor")]
    Tensor,
    #[component(name = "link")]
    Link,
}

/// `docs.column`
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct ColumnRecord {
    name: Arc<str>,
    kind: KindCase,
}

/// `docs.packed-text` on its way to the guest
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct PackedOut {
    data: Arc<String>,
    ends: Arc<Vec<u32>>,
    missing: Arc<Vec<u32>>,
}

/// `docs.packed-text` on its way to the host
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct PackedIn {
    pub(super) data: String,
    pub(super) ends: Vec<u32>,
    pub(super) missing: Vec<u32>,
}

/// `docs.access-error`
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum AccessCase {
    #[component(name = "wrong-kind")]
    WrongKind,
    #[component(name = "out-of-range")]
    OutOfRange,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "invalid")]
    Invalid,
}

/// `host.level`
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting, which the compiler does not see")]
pub(super) enum LevelCase {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// `host.metric`
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting, which the compiler does not see")]
pub(super) enum MetricCase {
    #[component(name = "counter")]
    Counter,
    #[component(name = "gauge")]
    Gauge,
    #[component(name = "histogram")]
    Histogram,
}

// === conversions ===

impl From<ErrorCase> for GrpcCode {
    fn from(case: ErrorCase) -> Self {
        match case {
            ErrorCase::Cancelled => GrpcCode::Cancelled,
            ErrorCase::Unknown => GrpcCode::Unknown,
            ErrorCase::InvalidArgument => GrpcCode::InvalidArgument,
            ErrorCase::DeadlineExceeded => GrpcCode::DeadlineExceeded,
            ErrorCase::NotFound => GrpcCode::NotFound,
            ErrorCase::AlreadyExists => GrpcCode::AlreadyExists,
            ErrorCase::PermissionDenied => GrpcCode::PermissionDenied,
            ErrorCase::ResourceExhausted => GrpcCode::ResourceExhausted,
            ErrorCase::FailedPrecondition => GrpcCode::FailedPrecondition,
            ErrorCase::Aborted => GrpcCode::Aborted,
            ErrorCase::OutOfRange => GrpcCode::OutOfRange,
            ErrorCase::Unimplemented => GrpcCode::Unimplemented,
            ErrorCase::Internal => GrpcCode::Internal,
            ErrorCase::Unavailable => GrpcCode::Unavailable,
            ErrorCase::DataLoss => GrpcCode::DataLoss,
            ErrorCase::Unauthenticated => GrpcCode::Unauthenticated,
        }
    }
}

impl From<DTypeCase> for DType {
    fn from(case: DTypeCase) -> Self {
        match case {
            DTypeCase::Boolean => DType::Boolean,
            DTypeCase::Uint8 => DType::Uint8,
            DTypeCase::Int8 => DType::Int8,
            DTypeCase::Uint16 => DType::Uint16,
            DTypeCase::Int16 => DType::Int16,
            DTypeCase::Uint32 => DType::Uint32,
            DTypeCase::Int32 => DType::Int32,
            DTypeCase::Uint64 => DType::Uint64,
            DTypeCase::Int64 => DType::Int64,
            DTypeCase::Float8E4m3 => DType::Float8E4m3,
            DTypeCase::Float8E5m2 => DType::Float8E5m2,
            DTypeCase::Float16 => DType::Float16,
            DTypeCase::Bfloat16 => DType::Bfloat16,
            DTypeCase::Float32 => DType::Float32,
            DTypeCase::Float64 => DType::Float64,
        }
    }
}

impl From<DType> for DTypeCase {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::Boolean => DTypeCase::Boolean,
            DType::Uint8 => DTypeCase::Uint8,
            DType::Int8 => DTypeCase::Int8,
            DType::Uint16 => DTypeCase::Uint16,
            DType::Int16 => DTypeCase::Int16,
            DType::Uint32 => DTypeCase::Uint32,
            DType::Int32 => DTypeCase::Int32,
            DType::Uint64 => DTypeCase::Uint64,
            DType::Int64 => DTypeCase::Int64,
            DType::Float8E4m3 => DTypeCase::Float8E4m3,
            DType::Float8E5m2 => DTypeCase::Float8E5m2,
            DType::Float16 => DTypeCase::Float16,
            DType::Bfloat16 => DTypeCase::Bfloat16,
            DType::Float32 => DTypeCase::Float32,
            DType::Float64 => DTypeCase::Float64,
        }
    }
}

impl From<Tensor> for TensorRecord {
    fn from(tensor: Tensor) -> Self {
        let (shape, data) = (tensor.shape().clone(), tensor.data().clone());
        Self { dtype: tensor.dtype().into(), shape, data }
    }
}

impl TensorRecord {
    /// A checked tensor; the contract's `invalid` if shape and bytes do not fit.
    pub(super) fn check(self) -> Result<Tensor, AccessError> {
        Tensor::new(self.dtype.into(), self.shape, self.data).map_err(|_| AccessError::Invalid)
    }

    /// Bytes that cross the boundary.
    pub(super) fn weight(&self) -> u64 {
        (self.data.len() + 4 * self.shape.len()) as u64
    }
}

impl ColumnRecord {
    pub(super) fn new(name: Arc<str>, kind: Kind) -> Self {
        let kind = match kind {
            Kind::Text => KindCase::Text,
            Kind::Bytes => KindCase::Bytes,
            Kind::Integer => KindCase::Integer,
            Kind::Number => KindCase::Number,
            Kind::Boolean => KindCase::Boolean,
            Kind::Json => KindCase::Json,
            Kind::Tensor => KindCase::Tensor,
            Kind::Link => KindCase::Link,
        };
        Self { name, kind }
    }
}

impl From<PackedText> for PackedOut {
    fn from(packed: PackedText) -> Self {
        Self { data: packed.data, ends: packed.ends, missing: packed.missing }
    }
}

impl PackedOut {
    /// Bytes that cross the boundary.
    pub(super) fn weight(&self) -> u64 {
        (self.data.len() + 4 * (self.ends.len() + self.missing.len())) as u64
    }
}

impl From<AccessError> for AccessCase {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::WrongKind => AccessCase::WrongKind,
            AccessError::OutOfRange => AccessCase::OutOfRange,
            AccessError::TooLarge => AccessCase::TooLarge,
            AccessError::Invalid => AccessCase::Invalid,
        }
    }
}

impl From<LevelCase> for Level {
    fn from(case: LevelCase) -> Self {
        match case {
            LevelCase::Trace => Level::Trace,
            LevelCase::Debug => Level::Debug,
            LevelCase::Info => Level::Info,
            LevelCase::Warn => Level::Warn,
            LevelCase::Error => Level::Error,
        }
    }
}

impl From<MetricCase> for MetricKind {
    fn from(case: MetricCase) -> Self {
        match case {
            MetricCase::Counter => MetricKind::Counter,
            MetricCase::Gauge => MetricKind::Gauge,
            MetricCase::Histogram => MetricKind::Histogram,
        }
    }
}
