//! The part of WASI 0.2 that plain programs need to start, without any grant: no arguments, no environment, no file,
//! no socket. Standard output and error become log lines; clocks and random numbers are the host's own.
//!
//! These functions come from wasmtime-wasi and charge no fuel of ours: a loop of them ends at the deadline, and the
//! epoch takes the thread from it every few milliseconds.

use bytes::Bytes;
use lockgate_domain::ClockGrant;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, filesystem};
use wasmtime_wasi::p2::{self, OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, async_trait};

use super::offer::WASI_VERSION;
use super::{clocks, random};
use crate::log::{GuestLog, Stream};
use crate::state::InstanceState;

/// Bytes that a stream takes at once; also what `write-zeroes` may allocate.
const STREAM_BYTES: usize = 64 << 10;

/// Interfaces that [`link`] offers, by package.
pub(super) const INTERFACES: &[(&str, &[&str])] = &[
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
    ("wasi:filesystem", &["types", "preopens"]),
];

pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    // io, clocks, random, and the three standard streams; random is replaced by ours
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    linker.allow_shadowing(true);
    random::link(linker, WASI_VERSION)?;
    linker.allow_shadowing(false);
    cli::environment::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, InstanceState::cli)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, InstanceState::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, InstanceState::filesystem)
}

/// A context that grants nothing.
pub(crate) fn context(log: &GuestLog, clock: ClockGrant) -> WasiCtx {
    let pipe = |stream| Pipe { log: log.clone(), stream };
    let mut builder = WasiCtx::builder();
    builder.stdout(pipe(Stream::Out)).stderr(pipe(Stream::Err));
    clocks::set(&mut builder, clock);
    builder.build()
}

/// A standard stream that ends in the log.
#[derive(Clone)]
struct Pipe {
    log: GuestLog,
    stream: Stream,
}

impl IsTerminal for Pipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Pipe {
    /// Used by WASI 0.3 only, which is not offered.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STREAM_BYTES)
    }
}
