//! `wasi:io` and `wasi:clocks` with a journal: which of them is ready, how many bytes came at once and what time it was
//! differ from run to run.
//!
//! wasmtime-wasi does the work; these functions take its place in the linker, and each passes its answer through the
//! journal. In a replay nothing is waited for. What a guest writes still reaches its stream, so that its log lines are
//! seen again; whether that worked is the journal's answer.

use serde::{Deserialize, Serialize};
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::io::streams::{self, HostInputStream as _, HostOutputStream as _};
use wasmtime_wasi::p2::bindings::io::{error, poll};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use super::Host;
use super::offer::WASI_VERSION;
use crate::journal::{Blob, answered};
use crate::state::InstanceState;

/// The answer of a stream as a journal has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told<T> {
    Done(T),
    Closed,
    Failed(String),
}

/// What a guest gets.
type Answer<T> = Result<T, streams::StreamError>;

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    link_clocks(linker)?;
    link_poll(linker)?;
    link_input(linker)?;
    link_output(linker)
}

fn link_clocks(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut wall = linker.instance(&format!("wasi:clocks/wall-clock@{WASI_VERSION}"))?;
    let datetime = |(seconds, nanoseconds)| wall_clock::Datetime { seconds, nanoseconds };
    wall.func_wrap("now", move |mut store: Host<'_>, (): ()| {
        let now = answered!(
            store,
            "wall-clock.now",
            &[],
            wall_clock::Host::now(&mut store.data_mut().clocks()).map(|now| (now.seconds, now.nanoseconds))
        );
        Ok((datetime(now),))
    })?;
    wall.func_wrap("resolution", move |mut store: Host<'_>, (): ()| {
        let resolution = answered!(
            store,
            "wall-clock.resolution",
            &[],
            wall_clock::Host::resolution(&mut store.data_mut().clocks())
                .map(|resolution| (resolution.seconds, resolution.nanoseconds))
        );
        Ok((datetime(resolution),))
    })?;
    let mut monotonic = linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI_VERSION}"))?;
    monotonic.func_wrap("now", |mut store: Host<'_>, (): ()| {
        let now: u64 = answered!(
            store,
            "monotonic-clock.now",
            &[],
            monotonic_clock::Host::now(&mut store.data_mut().clocks())
        );
        Ok((now,))
    })?;
    monotonic.func_wrap("resolution", |mut store: Host<'_>, (): ()| {
        let resolution: u64 = answered!(
            store,
            "monotonic-clock.resolution",
            &[],
            monotonic_clock::Host::resolution(&mut store.data_mut().clocks())
        );
        Ok((resolution,))
    })
}

fn link_poll(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut polls = linker.instance(&format!("wasi:io/poll@{WASI_VERSION}"))?;
    type Pollables = (Vec<Resource<DynPollable>>,);
    polls.func_wrap_async("poll", |mut store: Host<'_>, (pollables,): Pollables| {
        Box::new(async move {
            let asked = (pollables.len() as u64).to_le_bytes();
            let ready: Vec<u32> =
                answered!(store, "poll", &asked, poll::Host::poll(table(&mut store), pollables).await);
            Ok((ready,))
        })
    })?;
    polls.func_wrap_async(
        "[method]pollable.ready",
        |mut store: Host<'_>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let is_ready: bool = answered!(
                    store,
                    "pollable.ready",
                    &[],
                    poll::HostPollable::ready(table(&mut store), pollable).await
                );
                Ok((is_ready,))
            })
        },
    )?;
    polls.func_wrap_async(
        "[method]pollable.block",
        |mut store: Host<'_>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let (): () = answered!(
                    store,
                    "pollable.block",
                    &[],
                    poll::HostPollable::block(table(&mut store), pollable).await
                );
                Ok(())
            })
        },
    )?;
    let mut errors = linker.instance(&format!("wasi:io/error@{WASI_VERSION}"))?;
    errors.func_wrap(
        "[method]error.to-debug-string",
        |mut store: Host<'_>, (failed,): (Resource<wasmtime::Error>,)| {
            let words: String = answered!(
                store,
                "error.to-debug-string",
                &[],
                error::HostError::to_debug_string(table(&mut store), failed)
            );
            Ok((words,))
        },
    )
}

/// A function of a stream: its name, arguments and answer, how it is done, and what is done of it in a replay.
macro_rules! stream_function {
    ($streams:expr, $name:literal, |$table:ident, $($argument:ident: $type:ty),*| -> $answer:ty,
     $live:expr, replay $replay:expr) => {
        $streams.func_wrap_async(
            concat!("[method]", $name),
            |mut store: Host<'_>, ($($argument,)*): ($($type,)*)| {
                Box::new(async move {
                    if let Some(told) = store.data_mut().journal.next::<Told<$answer>>($name, &[])? {
                        let $table = table(&mut store);
                        // Its own answer counts for nothing here.
                        let done = $replay;
                        let _ = (&*$table, done);
                        return Ok((retell(table(&mut store), told)?.map(Lowered::lowered),));
                    }
                    let done: StreamResult<$answer> = {
                        let $table = table(&mut store);
                        $live
                    };
                    Ok((tell(&mut store, $name, done)?.map(Lowered::lowered),))
                })
            },
        )?
    };
}

fn link_input(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(&format!("wasi:io/streams@{WASI_VERSION}"))?;
    stream_function!(streams, "input-stream.read", |table, stream: Input, len: u64| -> Blob,
        bytes(table.read(stream, len)), replay ());
    stream_function!(streams, "input-stream.blocking-read", |table, stream: Input, len: u64| -> Blob,
        bytes(table.blocking_read(stream, len).await), replay ());
    stream_function!(streams, "input-stream.skip", |table, stream: Input, len: u64| -> u64,
        table.skip(stream, len), replay ());
    stream_function!(streams, "input-stream.blocking-skip", |table, stream: Input, len: u64| -> u64,
        table.blocking_skip(stream, len).await, replay ());
    Ok(())
}

fn link_output(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(&format!("wasi:io/streams@{WASI_VERSION}"))?;
    stream_function!(streams, "output-stream.check-write", |table, stream: Output| -> u64,
        table.check_write(stream), replay ());
    stream_function!(streams, "output-stream.write", |table, stream: Output, bytes: Vec<u8>| -> (),
        table.write(stream, bytes), replay table.write(stream, bytes).ok());
    stream_function!(streams, "output-stream.blocking-write-and-flush",
        |table, stream: Output, bytes: Vec<u8>| -> (),
        table.blocking_write_and_flush(stream, bytes).await, replay table.write(stream, bytes).ok());
    stream_function!(streams, "output-stream.flush", |table, stream: Output| -> (),
        table.flush(stream), replay ());
    stream_function!(streams, "output-stream.blocking-flush", |table, stream: Output| -> (),
        table.blocking_flush(stream).await, replay ());
    stream_function!(streams, "output-stream.write-zeroes", |table, stream: Output, len: u64| -> (),
        table.write_zeroes(stream, len), replay ());
    stream_function!(streams, "output-stream.blocking-write-zeroes-and-flush",
        |table, stream: Output, len: u64| -> (),
        table.blocking_write_zeroes_and_flush(stream, len).await, replay ());
    stream_function!(streams, "output-stream.splice", |table, to: Output, from: Input, len: u64| -> u64,
        table.splice(to, from, len), replay ());
    stream_function!(streams, "output-stream.blocking-splice",
        |table, to: Output, from: Input, len: u64| -> u64,
        table.blocking_splice(to, from, len).await, replay ());
    Ok(())
}

// === answers ===

fn bytes(done: StreamResult<Vec<u8>>) -> StreamResult<Blob> {
    done.map(Blob)
}

/// What a guest gets of an answer.
trait Lowered {
    type Guest;
    fn lowered(self) -> Self::Guest;
}

impl Lowered for Blob {
    type Guest = Vec<u8>;
    fn lowered(self) -> Vec<u8> {
        self.0
    }
}

impl Lowered for u64 {
    type Guest = u64;
    fn lowered(self) -> u64 {
        self
    }
}

impl Lowered for () {
    type Guest = ();
    fn lowered(self) {}
}

fn table<'a>(store: &'a mut Host<'_>) -> &'a mut ResourceTable {
    store.data_mut().table()
}

/// Writes a stream's answer down and gives it to the guest.
fn tell<T: Serialize>(
    store: &mut Host<'_>,
    call: &'static str,
    done: StreamResult<T>,
) -> wasmtime::Result<Answer<T>> {
    let journal = &mut store.data_mut().journal;
    match done {
        Ok(value) => {
            let told = Told::Done(value);
            journal.note(call, &[], &told);
            match told {
                Told::Done(value) => Ok(Ok(value)),
                Told::Closed | Told::Failed(_) => Ok(Err(streams::StreamError::Closed)),
            }
        }
        Err(StreamError::Trap(error)) => {
            journal.note_trap(call, &[], &error);
            Err(error)
        }
        Err(StreamError::Closed) => {
            journal.note(call, &[], &Told::<T>::Closed);
            Ok(Err(streams::StreamError::Closed))
        }
        Err(StreamError::LastOperationFailed(error)) => {
            journal.note(call, &[], &Told::<T>::Failed(error.to_string()));
            let error = table(store).push(error)?;
            Ok(Err(streams::StreamError::LastOperationFailed(error)))
        }
    }
}

/// Gives the guest what it was told before.
fn retell<T>(table: &mut ResourceTable, told: Told<T>) -> wasmtime::Result<Answer<T>> {
    Ok(match told {
        Told::Done(value) => Ok(value),
        Told::Closed => Err(streams::StreamError::Closed),
        Told::Failed(words) => {
            Err(streams::StreamError::LastOperationFailed(table.push(wasmtime::Error::msg(words))?))
        }
    })
}
