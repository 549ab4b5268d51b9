//! Asks a component what it is: one instance, granted nothing, with little fuel and time.

use std::sync::Arc;
use std::time::Duration;

use lockgate_domain::{ComponentDigest, ErrorCode, Limits, Manifest, Problem};

use super::Linked;
use crate::instance::Instance;
use crate::meter::Metered;
use crate::runtime::Runtime;
use crate::slots::Slot;
use crate::state::{Setting, Standing};

/// What `describe` may use: a Python interpreter starts well within it.
pub(super) const LIMITS: Limits = Limits {
    fuel: 2_000_000_000,
    wall_time_ms: 5_000,
    memory_bytes: 256 << 20,
    table_elements: 100_000,
    core_instances: 32,
    host_call_bytes: 4 << 20,
    written_bytes: 0,
    documents: 0,
    columns: 0,
    log_line_bytes: 1 << 10,
    log_lines: 16,
};

/// The manifest of a component, and how long instantiating it took. Blocks; runs on a thread of its own, so that it may be called from anywhere.
pub(super) fn describe(
    runtime: &Runtime,
    digest: ComponentDigest,
    linked: &Linked,
) -> Result<(Manifest, Duration), Problem> {
    let ask = || -> Result<(String, Duration), Problem> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let executor = executor.map_err(|error| host_fault(format!("no thread to describe on: {error}")))?;
        executor.block_on(async {
            let slot: Slot = runtime.slots().take_spare().await?;
            let (commons, meter) = (runtime.commons().clone(), Metered::default());
            let standing = Standing { share: commons.examining.clone(), meter, commons };
            let setting = Arc::new(Setting::new(None, digest, LIMITS, serde_json::Map::new(), standing));
            Instance::describe(linked, setting, slot).await
        })
    };
    let (text, instantiated) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("describe".into()).spawn_scoped(scope, ask);
        let thread = thread.map_err(|error| host_fault(format!("no thread to describe on: {error}")))?;
        thread
            .join()
            // The engine has asserts; a component that trips one is that component's problem.
            .unwrap_or_else(|_| Err(fails_the_engine(digest)))
    })?;
    let manifest = Manifest::parse(&text).map_err(|error| {
        Problem::new(
            ErrorCode::InvalidComponent,
            format!("the component's {error}", error = lower_the(&error)),
        )
        .with_digest(digest)
        .with_hint("`describe` must return the JSON object that wit/executor.wit shows")
    })?;
    Ok((manifest, instantiated))
}

/// "the manifest ..." without its article.
fn lower_the(error: &impl ToString) -> String {
    let text = error.to_string();
    text.strip_prefix("the ").map(str::to_owned).unwrap_or(text)
}

fn fails_the_engine(digest: ComponentDigest) -> Problem {
    Problem::new(ErrorCode::InvalidComponent, "the component makes the engine fail when it is instantiated")
        .with_digest(digest)
        .with_hint("rebuild it with a current toolchain; the host's log has the engine's own words")
}

fn host_fault(message: String) -> Problem {
    Problem::new(ErrorCode::HostFault, message)
}
