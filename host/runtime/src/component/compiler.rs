//! Turning a component into machine code, in a process of its own where the host names one.
//!
//! Compilers are not made for hostile input: half a megabyte can be written so that it takes minutes or all memory
//! there is, whatever one bounds beforehand. A child process can be killed, has its own memory limit, and a low
//! priority; what it writes is mapped like any artefact. Without a command, compiling happens here, on threads of low
//! priority, bounded by the static pass only.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use lockgate_domain::{ErrorCode, Problem};
use parking_lot::Mutex;
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit,
};
use wasmtime::Engine;

use crate::log::escape;

/// Wall time of one compilation; the slowest toolchain's components take a tenth of it.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// Address space of the compiling process.
const MEMORY_LIMIT: u64 = 6 << 30;
/// Largest artefact that is read from it.
const MAX_ARTEFACT_BYTES: u64 = 1 << 30;
/// Largest component that it reads.
const MAX_COMPONENT_BYTES: u64 = 1 << 30;
/// Processor time of the compiling process, all its threads together.
const CPU_LIMIT: Duration = Duration::from_secs(120);
/// Files that it may have open: its three streams, and what it reads about itself.
const MAX_FILES: u64 = 8;
/// The kernel runs it when nobody else wants the core, and ends it first when memory runs out.
const NICE: i32 = 19;
const OOM_SCORE: &str = "1000";

/// First byte of the child's answer.
const ARTEFACT: u8 = 0;
const REFUSED: u8 = 1;

/// How to start the process that compiles: it must call [`compile_worker`] with its standard input and output.
#[derive(Debug, Clone)]
pub struct CompilerCommand {
    /// usually this very program
    pub program: PathBuf,
    /// usually a hidden subcommand
    pub arguments: Vec<OsString>,
}

/// What a compiling process gave.
pub(crate) struct Apart {
    pub(crate) artefact: Vec<u8>,
    /// most bytes of memory that it held
    pub(crate) memory: Option<u64>,
}

/// The whole work of the compiling process: reads a component, writes its machine code or why there is none.
///
/// Lowers the limits and the priority of the process it is called in, so call it from a process that does nothing
/// else.
pub fn compile_worker(mut input: impl Read, mut output: impl Write) -> Result<(), Problem> {
    let fault = |what: &str, error: &dyn std::fmt::Display| {
        Problem::new(ErrorCode::HostFault, format!("the compiling process cannot {what}: {error}"))
    };
    restrain();
    let mut bytes = Vec::new();
    input
        .by_ref()
        .take(MAX_COMPONENT_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| fault("read", &error))?;
    let engine = crate::engine::build_for_compiling()?;
    let (kind, answer) = match compile(&engine, &bytes) {
        Ok(artefact) => {
            let mut answer = peak_memory().unwrap_or(0).to_le_bytes().to_vec();
            answer.extend_from_slice(&artefact);
            (ARTEFACT, answer)
        }
        Err(problem) => (REFUSED, problem.message().to_owned().into_bytes()),
    };
    let written = output.write_all(&[kind]).and_then(|()| output.write_all(&answer));
    written.and_then(|()| output.flush()).map_err(|error| fault("write", &error))
}

/// Machine code of a component.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    // The compiler has asserts; a component that trips one is that component's problem.
    match catch_unwind(AssertUnwindSafe(|| engine.precompile_component(bytes))) {
        Ok(Ok(artefact)) => Ok(artefact),
        Ok(Err(error)) => {
            let causes: Vec<String> = error.chain().map(|cause| escape(&cause.to_string(), 200)).collect();
            Err(invalid(format!("the component does not compile: {}", causes.join(": "))))
        }
        Err(_) => Err(invalid("the component makes the compiler fail".into())),
    }
}

/// Machine code of a component from a child process, which is killed when it takes too long. It compiles on so many
/// threads at once.
pub(crate) fn compile_apart(
    command: &CompilerCommand,
    bytes: &[u8],
    threads: usize,
) -> Result<Apart, Problem> {
    let (child, stdin, stdout) = start(command, threads)?;
    let child = Mutex::new(child);
    let answer = thread::scope(|scope| {
        let (done, over) = channel::<()>();
        scope.spawn(|| feed(stdin, bytes));
        scope.spawn(|| {
            // `done` is dropped when the answer is complete; until then this waits.
            let over = over;
            if over.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
                child.lock().kill().ok();
            }
        });
        let mut answer = Vec::new();
        let read = stdout.take(MAX_ARTEFACT_BYTES).read_to_end(&mut answer);
        drop(done);
        read.map(|_| answer)
    });
    let status = child.into_inner().wait();
    let answer =
        answer.map_err(|error| host_fault(format!("the compiling process cannot be read: {error}")))?;
    match (answer.split_first(), status) {
        // A child that was killed while it wrote leaves half an artefact: only a finished answer counts.
        (Some((&ARTEFACT, answer)), Ok(status)) if status.success() => Apart::parse(answer),
        (Some((&REFUSED, message)), Ok(status)) if status.success() => {
            Err(invalid(escape(&String::from_utf8_lossy(message), 1000)))
        }
        (_, Ok(status)) if status.signal().is_none() => {
            Err(host_fault(format!("the compiler {} gave no answer ({status})", command.program.display())))
        }
        (_, status) => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let limits = format!("{} s and {} GiB", TIME_LIMIT.as_secs(), MEMORY_LIMIT >> 30);
            Err(invalid(format!("the component did not compile within {limits} ({status})"))
                .with_hint("split very large functions, or build with less optimisation"))
        }
    }
}

fn start(command: &CompilerCommand, threads: usize) -> Result<(Child, ChildStdin, ChildStdout), Problem> {
    let name = command.program.display();
    let started = Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child =
        started.map_err(|error| host_fault(format!("the compiler {name} does not start: {error}")))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => Ok((child, stdin, stdout)),
        _ => Err(host_fault(format!("the compiler {name} has no pipes"))),
    }
}

impl Apart {
    fn parse(answer: &[u8]) -> Result<Self, Problem> {
        let Some((memory, artefact)) = answer.split_first_chunk() else {
            return Err(host_fault("the compiling process gave half an answer".into()));
        };
        let memory = Some(u64::from_le_bytes(*memory)).filter(|bytes| *bytes > 0);
        Ok(Self { artefact: artefact.to_vec(), memory })
    }
}

/// Most memory that this process has held so far, as the kernel counts it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// A child that dies early breaks the pipe; its answer says why.
fn feed(mut stdin: ChildStdin, bytes: &[u8]) {
    stdin.write_all(bytes).ok();
}

/// Lowers what this process may use. Where a limit cannot be set, the parent's clock remains.
fn restrain() {
    nice(NICE).ok();
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).ok();
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    let limit = |resource, wanted: u64| {
        let maximum = getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
        setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) }).ok();
    };
    limit(Resource::As, MEMORY_LIMIT);
    limit(Resource::Cpu, CPU_LIMIT.as_secs());
    limit(Resource::Core, 0);
    limit(Resource::Fsize, 0);
    limit(Resource::Nofile, MAX_FILES);
}

fn invalid(message: String) -> Problem {
    Problem::new(ErrorCode::InvalidComponent, message)
}

fn host_fault(message: String) -> Problem {
    Problem::new(ErrorCode::HostFault, message)
}
