//! What can go wrong, in the words a caller reads.
//!
//! [`Problem`] is the one error that leaves the host: gateway, command line and logs all render it. Crates keep
//! their own error types for their own operations and turn them into a problem at their border. [`ErrorCode`] is the
//! closed list of conditions; what follows from a condition (status, retry) is written once, here, as total matches.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::ids::{ComponentDigest, ExecutorName};

/// The condition. Each has a page in the error reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request cannot be read: bad JSON, bad protobuf, a value of the wrong type.
    InvalidRequest,
    /// The request is larger than the gateway takes.
    RequestTooLarge,
    /// No such flow, path or method; or it is another tenant's.
    NotFound,
    /// The caller did not say who it is, or not convincingly.
    Unauthenticated,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// What is asked for contradicts what is there: in use, or there already as something else.
    Conflict,
    /// The object was changed since the caller read it.
    PreconditionFailed,
    /// The tenant has used up one of its quotas for now.
    QuotaExceeded,
    /// The caller's deadline or the flow's time limit is over.
    DeadlineExceeded,
    /// The caller went away.
    Cancelled,
    /// The executor returned an error of its own.
    GuestError,
    /// The executor trapped: a panic, an abort, an access out of bounds.
    GuestTrap,
    /// The executor passed one of its limits.
    LimitExceeded,
    /// The executor broke the contract: wrong types, invalid values.
    ContractViolation,
    /// The queue in front of the executor is full, or the host is out of a resource.
    Overloaded,
    /// The host is draining or the executor is not ready.
    Unavailable,
    /// The component is not one this host can run.
    InvalidComponent,
    /// The component asks for an interface it was not granted.
    CapabilityDenied,
    /// The flow, its YAML or its configuration is wrong.
    InvalidFlow,
    /// The host failed; nothing the caller or the executor did.
    HostFault,
}

impl ErrorCode {
    /// All codes, in the order of the reference.
    pub const ALL: [ErrorCode; 20] = [
        ErrorCode::InvalidRequest,
        ErrorCode::RequestTooLarge,
        ErrorCode::NotFound,
        ErrorCode::Unauthenticated,
        ErrorCode::PermissionDenied,
        ErrorCode::Conflict,
        ErrorCode::PreconditionFailed,
        ErrorCode::QuotaExceeded,
        ErrorCode::DeadlineExceeded,
        ErrorCode::Cancelled,
        ErrorCode::GuestError,
        ErrorCode::GuestTrap,
        ErrorCode::LimitExceeded,
        ErrorCode::ContractViolation,
        ErrorCode::Overloaded,
        ErrorCode::Unavailable,
        ErrorCode::InvalidComponent,
        ErrorCode::CapabilityDenied,
        ErrorCode::InvalidFlow,
        ErrorCode::HostFault,
    ];

    /// The code as it stands in answers, metrics and the reference.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidRequest => "invalid_request",
            ErrorCode::RequestTooLarge => "request_too_large",
            ErrorCode::NotFound => "not_found",
            ErrorCode::Unauthenticated => "unauthenticated",
            ErrorCode::PermissionDenied => "permission_denied",
            ErrorCode::Conflict => "conflict",
            ErrorCode::PreconditionFailed => "precondition_failed",
            ErrorCode::QuotaExceeded => "quota_exceeded",
            ErrorCode::DeadlineExceeded => "deadline_exceeded",
            ErrorCode::Cancelled => "cancelled",
            ErrorCode::GuestError => "guest_error",
            ErrorCode::GuestTrap => "guest_trap",
            ErrorCode::LimitExceeded => "limit_exceeded",
            ErrorCode::ContractViolation => "contract_violation",
            ErrorCode::Overloaded => "overloaded",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::InvalidComponent => "invalid_component",
            ErrorCode::CapabilityDenied => "capability_denied",
            ErrorCode::InvalidFlow => "invalid_flow",
            ErrorCode::HostFault => "host_fault",
        }
    }

    /// Whose doing it is.
    pub fn source(self) -> ErrorSource {
        match self {
            ErrorCode::InvalidRequest
            | ErrorCode::RequestTooLarge
            | ErrorCode::NotFound
            | ErrorCode::Unauthenticated
            | ErrorCode::PermissionDenied
            | ErrorCode::Conflict
            | ErrorCode::PreconditionFailed
            | ErrorCode::QuotaExceeded
            | ErrorCode::DeadlineExceeded
            | ErrorCode::Cancelled
            | ErrorCode::InvalidFlow => ErrorSource::Client,
            ErrorCode::GuestError
            | ErrorCode::GuestTrap
            | ErrorCode::LimitExceeded
            | ErrorCode::ContractViolation
            | ErrorCode::InvalidComponent
            | ErrorCode::CapabilityDenied => ErrorSource::Guest,
            ErrorCode::Overloaded | ErrorCode::Unavailable | ErrorCode::HostFault => ErrorSource::Host,
        }
    }

    /// The gRPC status; an executor's own error overrides it with its own code.
    pub fn grpc(self) -> GrpcCode {
        match self {
            ErrorCode::InvalidRequest | ErrorCode::InvalidFlow => GrpcCode::InvalidArgument,
            ErrorCode::RequestTooLarge
            | ErrorCode::LimitExceeded
            | ErrorCode::Overloaded
            | ErrorCode::QuotaExceeded => GrpcCode::ResourceExhausted,
            ErrorCode::NotFound => GrpcCode::NotFound,
            ErrorCode::Unauthenticated => GrpcCode::Unauthenticated,
            ErrorCode::Conflict => GrpcCode::AlreadyExists,
            ErrorCode::PreconditionFailed => GrpcCode::Aborted,
            ErrorCode::DeadlineExceeded => GrpcCode::DeadlineExceeded,
            ErrorCode::Cancelled => GrpcCode::Cancelled,
            ErrorCode::GuestError => GrpcCode::Unknown,
            ErrorCode::GuestTrap | ErrorCode::ContractViolation | ErrorCode::HostFault => GrpcCode::Internal,
            ErrorCode::Unavailable => GrpcCode::Unavailable,
            ErrorCode::InvalidComponent => GrpcCode::FailedPrecondition,
            ErrorCode::CapabilityDenied | ErrorCode::PermissionDenied => GrpcCode::PermissionDenied,
        }
    }

    /// Whether the same request may succeed if it is sent again later.
    pub fn retryable(self) -> bool {
        match self {
            ErrorCode::Overloaded
            | ErrorCode::Unavailable
            | ErrorCode::QuotaExceeded
            | ErrorCode::HostFault => true,
            ErrorCode::InvalidRequest
            | ErrorCode::RequestTooLarge
            | ErrorCode::NotFound
            | ErrorCode::Unauthenticated
            | ErrorCode::PermissionDenied
            | ErrorCode::Conflict
            | ErrorCode::PreconditionFailed
            | ErrorCode::DeadlineExceeded
            | ErrorCode::Cancelled
            | ErrorCode::GuestError
            | ErrorCode::GuestTrap
            | ErrorCode::LimitExceeded
            | ErrorCode::ContractViolation
            | ErrorCode::InvalidComponent
            | ErrorCode::CapabilityDenied
            | ErrorCode::InvalidFlow => false,
        }
    }

    /// Whether it is certain that no executor has seen the request: only then a retry is safe without asking.
    pub fn has_no_side_effects(self) -> bool {
        match self {
            ErrorCode::InvalidRequest
            | ErrorCode::RequestTooLarge
            | ErrorCode::NotFound
            | ErrorCode::Unauthenticated
            | ErrorCode::PermissionDenied
            | ErrorCode::Conflict
            | ErrorCode::PreconditionFailed
            | ErrorCode::QuotaExceeded
            | ErrorCode::Overloaded
            | ErrorCode::Unavailable
            | ErrorCode::InvalidComponent
            | ErrorCode::CapabilityDenied
            | ErrorCode::InvalidFlow => true,
            ErrorCode::DeadlineExceeded
            | ErrorCode::Cancelled
            | ErrorCode::GuestError
            | ErrorCode::GuestTrap
            | ErrorCode::LimitExceeded
            | ErrorCode::ContractViolation
            | ErrorCode::HostFault => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose doing an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorSource {
    /// the request
    Client,
    /// the executor
    Guest,
    /// this process
    Host,
}

impl ErrorSource {
    /// `client`, `guest` or `host`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorSource::Client => "client",
            ErrorSource::Guest => "guest",
            ErrorSource::Host => "host",
        }
    }
}

/// The sixteen gRPC status codes other than OK, with gRPC's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i32)]
#[expect(missing_docs, reason = "the meanings are gRPC's own")]
pub enum GrpcCode {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl GrpcCode {
    /// The HTTP status that says the same.
    pub fn http_status(self) -> u16 {
        match self {
            GrpcCode::Cancelled => 499,
            GrpcCode::InvalidArgument | GrpcCode::FailedPrecondition | GrpcCode::OutOfRange => 400,
            GrpcCode::Unauthenticated => 401,
            GrpcCode::PermissionDenied => 403,
            GrpcCode::NotFound => 404,
            GrpcCode::AlreadyExists | GrpcCode::Aborted => 409,
            GrpcCode::ResourceExhausted => 429,
            GrpcCode::Unimplemented => 501,
            GrpcCode::Unavailable => 503,
            GrpcCode::DeadlineExceeded => 504,
            GrpcCode::Unknown | GrpcCode::Internal | GrpcCode::DataLoss => 500,
        }
    }

    /// Upper snake case, as in the gRPC specification.
    pub fn as_str(self) -> &'static str {
        match self {
            GrpcCode::Cancelled => "CANCELLED",
            GrpcCode::Unknown => "UNKNOWN",
            GrpcCode::InvalidArgument => "INVALID_ARGUMENT",
            GrpcCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
            GrpcCode::NotFound => "NOT_FOUND",
            GrpcCode::AlreadyExists => "ALREADY_EXISTS",
            GrpcCode::PermissionDenied => "PERMISSION_DENIED",
            GrpcCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
            GrpcCode::FailedPrecondition => "FAILED_PRECONDITION",
            GrpcCode::Aborted => "ABORTED",
            GrpcCode::OutOfRange => "OUT_OF_RANGE",
            GrpcCode::Unimplemented => "UNIMPLEMENTED",
            GrpcCode::Internal => "INTERNAL",
            GrpcCode::Unavailable => "UNAVAILABLE",
            GrpcCode::DataLoss => "DATA_LOSS",
            GrpcCode::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// Which limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// fuel of one call
    Fuel,
    /// fuel of the whole flow
    FlowFuel,
    /// milliseconds of one call
    WallTime,
    /// bytes of linear memory of one instance
    Memory,
    /// elements of one table
    Table,
    /// core instances in one store
    Instances,
    /// bytes a guest hands to the host in one host call
    HostCallBytes,
    /// bytes a call writes into the document list
    WrittenBytes,
    /// documents in one list, nested ones included
    Documents,
    /// depth of nested documents
    Nesting,
    /// columns of one document list
    Columns,
    /// bytes of stack in the guest
    Stack,
    /// requests waiting for an instance
    Queue,
    /// bytes of one request message
    RequestBytes,
    /// requests of a tenant in a second
    RequestRate,
    /// requests of a tenant that are worked on at once
    ConcurrentRequests,
    /// fuel of a tenant in a second
    FuelRate,
    /// fuel of a tenant in a calendar month
    FuelMonth,
    /// bytes of linear memory of all live instances of a tenant
    TenantMemory,
    /// bytes of the components that a tenant keeps
    StoredBytes,
    /// components that a tenant keeps
    Components,
    /// executors that a tenant has
    Executors,
    /// flows that a tenant has
    Flows,
    /// bytes that a tenant's executors send and receive over HTTP in a calendar month
    Egress,
    /// bytes that an executor keeps in its key-value store
    KeyValueBytes,
}

impl LimitKind {
    /// All limits, in the order of the reference.
    pub const ALL: [LimitKind; 25] = [
        LimitKind::Fuel,
        LimitKind::FlowFuel,
        LimitKind::WallTime,
        LimitKind::Memory,
        LimitKind::Table,
        LimitKind::Instances,
        LimitKind::HostCallBytes,
        LimitKind::WrittenBytes,
        LimitKind::Documents,
        LimitKind::Nesting,
        LimitKind::Columns,
        LimitKind::Stack,
        LimitKind::Queue,
        LimitKind::RequestBytes,
        LimitKind::RequestRate,
        LimitKind::ConcurrentRequests,
        LimitKind::FuelRate,
        LimitKind::FuelMonth,
        LimitKind::TenantMemory,
        LimitKind::StoredBytes,
        LimitKind::Components,
        LimitKind::Executors,
        LimitKind::Flows,
        LimitKind::Egress,
        LimitKind::KeyValueBytes,
    ];

    /// The condition that passing it in an executor is.
    pub fn code(self) -> ErrorCode {
        match self {
            LimitKind::RequestBytes => ErrorCode::RequestTooLarge,
            LimitKind::Queue => ErrorCode::Overloaded,
            LimitKind::WallTime => ErrorCode::DeadlineExceeded,
            LimitKind::RequestRate
            | LimitKind::ConcurrentRequests
            | LimitKind::FuelRate
            | LimitKind::FuelMonth
            | LimitKind::TenantMemory
            | LimitKind::StoredBytes
            | LimitKind::Components
            | LimitKind::Executors
            | LimitKind::Flows
            | LimitKind::Egress => ErrorCode::QuotaExceeded,
            LimitKind::Fuel
            | LimitKind::FlowFuel
            | LimitKind::Memory
            | LimitKind::Table
            | LimitKind::Instances
            | LimitKind::HostCallBytes
            | LimitKind::WrittenBytes
            | LimitKind::Documents
            | LimitKind::Nesting
            | LimitKind::Columns
            | LimitKind::Stack
            | LimitKind::KeyValueBytes => ErrorCode::LimitExceeded,
        }
    }

    /// The limit's name as it stands in answers, metrics and YAML.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitKind::Fuel => "fuel",
            LimitKind::FlowFuel => "flow_fuel",
            LimitKind::WallTime => "wall_time_ms",
            LimitKind::Memory => "memory_bytes",
            LimitKind::Table => "table_elements",
            LimitKind::Instances => "core_instances",
            LimitKind::HostCallBytes => "host_call_bytes",
            LimitKind::WrittenBytes => "written_bytes",
            LimitKind::Documents => "documents",
            LimitKind::Nesting => "nesting",
            LimitKind::Columns => "columns",
            LimitKind::Stack => "stack_bytes",
            LimitKind::Queue => "queue",
            LimitKind::RequestBytes => "request_bytes",
            LimitKind::RequestRate => "requests_per_second",
            LimitKind::ConcurrentRequests => "concurrent_requests",
            LimitKind::FuelRate => "fuel_per_second",
            LimitKind::FuelMonth => "fuel_per_month",
            LimitKind::TenantMemory => "instance_memory_bytes",
            LimitKind::StoredBytes => "stored_bytes",
            LimitKind::Components => "components",
            LimitKind::Executors => "executors",
            LimitKind::Flows => "flows",
            LimitKind::Egress => "egress_bytes_per_month",
            LimitKind::KeyValueBytes => "key_value_bytes",
        }
    }
}

/// One error as its reader sees it: what, where, what to do.
///
/// Boxed inside so that a `Result` stays small on the good path.
#[derive(Clone, PartialEq)]
pub struct Problem(Box<Fields>);

#[derive(Clone, PartialEq)]
struct Fields {
    code: ErrorCode,
    grpc: GrpcCode,
    message: String,
    hint: Option<String>,
    executor: Option<ExecutorName>,
    digest: Option<ComponentDigest>,
    limit: Option<(LimitKind, u64)>,
    details: Option<Value>,
    backtrace: Vec<String>,
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem with the code's own status. `message` is one sentence that names the object.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            code,
            grpc: code.grpc(),
            message: message.into(),
            hint: None,
            executor: None,
            digest: None,
            limit: None,
            details: None,
            backtrace: Vec::new(),
            retry_after_ms: None,
        }))
    }

    /// A limit that was passed, with its value in the unit of its name.
    pub fn limit(kind: LimitKind, value: u64, message: impl Into<String>) -> Self {
        let mut problem = Self::new(kind.code(), message);
        problem.0.limit = Some((kind, value));
        problem
    }

    /// A request that passes a limit by itself, before any executor has seen it.
    pub fn request_limit(kind: LimitKind, value: u64, message: impl Into<String>) -> Self {
        let mut problem = Self::new(ErrorCode::RequestTooLarge, message);
        problem.0.limit = Some((kind, value));
        problem
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Overrides the gRPC status (an executor's own error carries its own).
    #[must_use]
    pub fn with_grpc(mut self, grpc: GrpcCode) -> Self {
        self.0.grpc = grpc;
        self
    }

    /// Names the executor, unless one is named already: the innermost knows best.
    #[must_use]
    pub fn with_executor(mut self, executor: &ExecutorName) -> Self {
        self.0.executor.get_or_insert_with(|| executor.clone());
        self
    }

    /// Names the component.
    #[must_use]
    pub fn with_digest(mut self, digest: ComponentDigest) -> Self {
        self.0.digest = Some(digest);
        self
    }

    /// Adds an executor's own details.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Adds the guest's stack, innermost frame first.
    #[must_use]
    pub fn with_backtrace(mut self, frames: Vec<String>) -> Self {
        self.0.backtrace = frames;
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn with_retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.0.retry_after_ms = Some(milliseconds);
        self
    }

    /// Whose doing it is. A deadline is the caller's, but an executor's own wall time is the executor's.
    pub fn source(&self) -> ErrorSource {
        match self.0.limit {
            Some((LimitKind::WallTime, _)) => ErrorSource::Guest,
            _ => self.0.code.source(),
        }
    }

    /// The condition.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The gRPC status.
    pub fn grpc(&self) -> GrpcCode {
        self.0.grpc
    }

    /// The HTTP status. A size problem is 413 and a full queue 503, which gRPC's codes cannot tell apart.
    pub fn http_status(&self) -> u16 {
        match self.0.code {
            ErrorCode::RequestTooLarge => 413,
            ErrorCode::Overloaded => 503,
            ErrorCode::PreconditionFailed => 412,
            _ => self.0.grpc.http_status(),
        }
    }

    /// One sentence for the caller.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The executor at fault or in use.
    pub fn executor(&self) -> Option<&ExecutorName> {
        self.0.executor.as_ref()
    }

    /// The component at fault or in use.
    pub fn digest(&self) -> Option<ComponentDigest> {
        self.0.digest
    }

    /// The limit that was passed and its value.
    pub fn limit_passed(&self) -> Option<(LimitKind, u64)> {
        self.0.limit
    }

    /// An executor's own details.
    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// The guest's stack, innermost frame first.
    pub fn backtrace(&self) -> &[String] {
        &self.0.backtrace
    }

    /// Milliseconds after which a retry makes sense.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.0.retry_after_ms
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        if let Some(executor) = &self.0.executor {
            write!(f, " (executor {executor})")?;
        }
        if let Some((kind, value)) = self.0.limit {
            write!(f, " ({} = {value})", kind.as_str())?;
        }
        match &self.0.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

impl Serialize for Problem {
    /// The body every surface shows: `{"code", "source", "message", "hint"?, "executor"?, "digest"?, "limit"?, ...}`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let fields = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", fields.code.as_str())?;
        map.serialize_entry("status", fields.grpc.as_str())?;
        map.serialize_entry("source", self.source().as_str())?;
        map.serialize_entry("message", &fields.message)?;
        map.serialize_entry("retryable", &fields.code.retryable())?;
        if let Some(hint) = &fields.hint {
            map.serialize_entry("hint", hint)?;
        }
        if let Some(executor) = &fields.executor {
            map.serialize_entry("executor", executor)?;
        }
        if let Some(digest) = &fields.digest {
            map.serialize_entry("digest", &digest.to_string())?;
        }
        if let Some((kind, value)) = fields.limit {
            map.serialize_entry("limit", &serde_json::json!({ "name": kind.as_str(), "value": value }))?;
        }
        if let Some(details) = &fields.details {
            map.serialize_entry("details", details)?;
        }
        if !fields.backtrace.is_empty() {
            map.serialize_entry("backtrace", &fields.backtrace)?;
        }
        if let Some(milliseconds) = fields.retry_after_ms {
            map.serialize_entry("retry_after_ms", &milliseconds)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
