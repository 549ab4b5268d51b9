//! Why an instance did not answer, from wasmtime's errors to the one problem a caller reads.
//!
//! wasmtime types some causes and only words others. What is typed is matched by type; the few worded ones are matched
//! by their first words in one place, and whatever remains is a value that broke the canonical ABI.

use lockgate_domain::document::CommitError;
use lockgate_domain::{ComponentDigest, ErrorCode, ExecutorName, GrpcCode, LimitKind, Limits, Problem};
use serde_json::Value;
use wasmtime::error::OutOfMemory;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::engine::STACK_BYTES;
use crate::limiter::GrowthRefused;
use crate::log::escape;
use crate::state::NoCall;

/// Frames of a guest's stack that are told.
const MAX_FRAMES: usize = 20;
const MAX_FRAME_BYTES: usize = 160;
const MAX_MESSAGE_BYTES: usize = 2048;
const MAX_DETAILS_BYTES: usize = 16 << 10;
/// A component is described before it is anybody's executor, so no flow file can raise what it may use.
const FIXED_LIMITS: &str =
    "what `describe` may use is fixed: let it return a constant, and do the work in `init`";

/// The epoch callback's word for "the time is over".
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the deadline has passed")]
pub(crate) struct DeadlinePassed;

/// Cause of a failed call, `init` or `describe`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvocationError {
    /// Fuel of this call.
    #[error("burned all {limit} units of fuel of one call")]
    OutOfFuel {
        /// units allowed
        limit: u64,
    },
    /// Fuel of the whole request.
    #[error("burned the last of the {total} units of fuel that the flow grants to one request")]
    FlowFuel {
        /// units of the request
        total: u64,
    },
    /// Wall time of this call.
    #[error("took longer than {limit} ms")]
    WallTime {
        /// milliseconds allowed
        limit: u64,
    },
    /// The caller's own deadline.
    #[error("had not finished when the request's deadline passed")]
    RequestDeadline,
    /// A memory or a table.
    #[error("passed a memory limit")]
    Growth(#[from] GrowthRefused),
    /// Core instances, memories or tables by number.
    #[error("needs more core instances, memories or tables than the {limit} core instances allowed")]
    Counts {
        /// core instances allowed
        limit: u64,
    },
    /// The wasm stack.
    #[error("recursed until its stack of {STACK_BYTES} bytes was full")]
    Stack,
    /// Bytes in one host call.
    #[error("handed more than {limit} bytes to the host in one call")]
    HostCallBytes {
        /// bytes allowed
        limit: u64,
    },
    /// What it wrote makes no list.
    #[error("wrote documents that make no list")]
    Commit(#[source] CommitError),
    /// A trap.
    #[error("trapped ({what})")]
    Trap {
        /// the trap in wasm's words
        what: String,
    },
    /// `exit`.
    #[error("called exit({0}) instead of returning")]
    Exit(i32),
    /// A value that the contract does not know.
    #[error("broke the contract: {what}")]
    Contract {
        /// what was wrong
        what: String,
    },
    /// Nothing the guest did.
    #[error("could not run because the host is out of a resource: {what}")]
    Host {
        /// what the host lacked
        what: String,
    },
    /// Its own error.
    #[error("returned an error")]
    Returned {
        /// status
        grpc: GrpcCode,
        /// the guest's message
        message: String,
        /// the guest's details, a JSON object or empty
        details: String,
    },
}

/// A cause with what is known around it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: InvocationError,
    pub(crate) frames: Vec<String>,
    pub(crate) last_words: Option<String>,
}

/// What the failed call was allowed, to name the right limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// fuel of this call as granted
    pub(crate) fuel: u64,
    /// the flow's whole budget, if there is one
    pub(crate) flow_fuel: Option<u64>,
    /// whether the request's deadline comes before the call's own
    pub(crate) request_deadline: bool,
}

impl Failure {
    /// Sorts an error of wasmtime.
    pub(crate) fn of(error: &wasmtime::Error, limits: &Limits, allowance: &Allowance) -> Self {
        Self { error: classify(error, limits, allowance), frames: frames(error), last_words: None }
    }

    pub(crate) fn plain(error: InvocationError) -> Self {
        Self { error, frames: Vec::new(), last_words: None }
    }

    /// What a caller reads.
    pub(crate) fn problem(self, executor: Option<&ExecutorName>, digest: ComponentDigest) -> Problem {
        let subject = match executor {
            Some(executor) => format!("executor {executor}"),
            None => "the component's `describe`".into(),
        };
        let is_trap = matches!(self.error, InvocationError::Trap { .. } | InvocationError::Exit(_));
        let mut problem = self.error.problem(&subject).with_digest(digest).with_backtrace(self.frames);
        if let Some(executor) = executor {
            problem = problem.with_executor(executor);
        }
        if executor.is_none() && problem.limit_passed().is_some() {
            problem = problem.with_hint(FIXED_LIMITS);
        }
        match self.last_words {
            Some(words) if is_trap => problem.with_hint(format!("its last words: {words}")),
            _ => problem,
        }
    }
}

impl InvocationError {
    fn problem(self, subject: &str) -> Problem {
        let message = format!("{subject} {self}");
        let limit = |kind, value| Problem::limit(kind, value, message.clone());
        match self {
            InvocationError::OutOfFuel { limit: value } => limit(LimitKind::Fuel, value)
                .with_hint("raise `fuel` in the executor's limits, or send fewer documents in one request"),
            InvocationError::FlowFuel { total } => limit(LimitKind::FlowFuel, total)
                .with_hint("raise the flow's `fuel`, or send fewer documents in one request"),
            InvocationError::WallTime { limit: value } => limit(LimitKind::WallTime, value).with_hint(
                "raise `wall_time_ms` in the executor's limits, or send fewer documents in one request",
            ),
            InvocationError::RequestDeadline => Problem::new(ErrorCode::DeadlineExceeded, message),
            InvocationError::Growth(refused) => growth(refused, subject),
            InvocationError::Counts { limit: value } => limit(LimitKind::Instances, value),
            InvocationError::Stack => limit(LimitKind::Stack, STACK_BYTES as u64),
            InvocationError::HostCallBytes { limit: value } => limit(LimitKind::HostCallBytes, value)
                .with_hint("write large columns in several parts, or raise `host_call_bytes`"),
            InvocationError::Commit(error) => match error.limit() {
                Some((kind, value)) => Problem::limit(kind, value, format!("{subject}: {error}")),
                None => Problem::new(ErrorCode::ContractViolation, format!("{subject}: {error}")),
            },
            InvocationError::Trap { .. } | InvocationError::Exit(_) => {
                Problem::new(ErrorCode::GuestTrap, message)
            }
            InvocationError::Host { .. } => Problem::new(ErrorCode::HostFault, message),
            InvocationError::Contract { .. } => Problem::new(ErrorCode::ContractViolation, message),
            InvocationError::Returned { grpc, message, details } => returned(grpc, &message, &details),
        }
    }
}

fn growth(refused: GrowthRefused, subject: &str) -> Problem {
    match refused {
        GrowthRefused::Memory { limit, wanted } => Problem::limit(
            LimitKind::Memory,
            limit,
            format!("{subject} wanted {wanted} bytes of memory, {limit} are allowed"),
        )
        .with_hint("raise `memory_bytes` in the executor's limits, or send fewer documents in one request"),
        GrowthRefused::Tenant { tenant, limit, wanted } => {
            let message = format!(
                "{subject} needs more memory: the instances of tenant {tenant} would hold {wanted} bytes together, \
                 {limit} are allowed"
            );
            Problem::limit(LimitKind::TenantMemory, limit, message)
                .with_retry_after_ms(1000)
                .with_hint("keep fewer instances warm, or ask the operator for more `instance_memory_bytes`")
        }
        GrowthRefused::Host { limit, wanted } => {
            let message = format!(
                "{subject} needs more memory: all instances would hold {wanted} bytes, this host has {limit} for them"
            );
            Problem::new(ErrorCode::Overloaded, message)
                .with_retry_after_ms(1000)
                .with_hint("try again later")
        }
        GrowthRefused::Table { limit, wanted } => Problem::limit(
            LimitKind::Table,
            limit,
            format!("{subject} wanted a table of {wanted} elements, {limit} are allowed"),
        ),
    }
}

fn returned(grpc: GrpcCode, message: &str, details: &str) -> Problem {
    let message = match escape(message, MAX_MESSAGE_BYTES) {
        empty if empty.is_empty() => "the executor gave no message".into(),
        message => message,
    };
    let problem = Problem::new(ErrorCode::GuestError, message).with_grpc(grpc);
    if details.is_empty() || details.len() > MAX_DETAILS_BYTES {
        return problem;
    }
    match serde_json::from_str::<Value>(details) {
        Ok(details @ Value::Object(_)) => problem.with_details(details),
        _ => problem,
    }
}

fn classify(error: &wasmtime::Error, limits: &Limits, allowance: &Allowance) -> InvocationError {
    if error.is::<DeadlinePassed>() {
        return deadline(limits, allowance);
    }
    if let Some(refused) = error.downcast_ref::<GrowthRefused>() {
        return InvocationError::Growth(refused.clone());
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return InvocationError::Exit(*code);
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return of_trap(*trap, limits, allowance);
    }
    let is_host = error.is::<PoolConcurrencyLimitError>() || error.is::<std::io::Error>();
    if is_host || error.is::<OutOfMemory>() {
        return InvocationError::Host { what: error.root_cause().to_string() };
    }
    let no_call = error.downcast_ref::<NoCall>().map(ToString::to_string);
    let words = no_call.unwrap_or_else(|| error.root_cause().to_string());
    if words.starts_with("too much data is being copied") {
        return InvocationError::HostCallBytes { limit: limits.host_call_bytes };
    }
    if words.starts_with("resource limit exceeded") {
        return InvocationError::Counts { limit: u64::from(limits.core_instances) };
    }
    InvocationError::Contract { what: escape(&words, MAX_FRAME_BYTES) }
}

/// Which of the two deadlines has passed.
pub(crate) fn deadline(limits: &Limits, allowance: &Allowance) -> InvocationError {
    if allowance.request_deadline {
        InvocationError::RequestDeadline
    } else {
        InvocationError::WallTime { limit: limits.wall_time_ms }
    }
}

fn of_trap(trap: Trap, limits: &Limits, allowance: &Allowance) -> InvocationError {
    match trap {
        Trap::OutOfFuel => match allowance.flow_fuel {
            Some(total) if allowance.fuel < limits.fuel => InvocationError::FlowFuel { total },
            _ => InvocationError::OutOfFuel { limit: limits.fuel },
        },
        Trap::StackOverflow => InvocationError::Stack,
        Trap::Interrupt => deadline(limits, allowance),
        Trap::InvalidChar => InvocationError::Contract { what: "a char that is none".into() },
        other => {
            let words = other.to_string();
            let what = words.strip_prefix("wasm trap: ").unwrap_or(&words).to_owned();
            InvocationError::Trap { what }
        }
    }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let told = backtrace.frames().iter().take(MAX_FRAMES).map(|frame| match frame.func_name() {
        Some(name) => escape(name, MAX_FRAME_BYTES),
        None => format!("function {}", frame.func_index()),
    });
    told.collect()
}
