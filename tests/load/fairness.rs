//! Fair shares: what a quiet tenant waits beside one that spins on every core, with and without the scheduler, and how
//! processor time follows the weights. Also drawn, as target/fairness.svg.
//!
//! The quiet tenant calls once, pauses, and calls again, as somebody does who is not alone on a host; the loud one has
//! sixty-four endless calls in flight. Conditions take turns in rounds, because the machine is shared, and all rounds
//! of one condition count together: a percentile of a percentile says nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_domain::document::DocumentListBuilder;
use lockgate_domain::spec::{InstanceMode, PoolOptions};
use lockgate_domain::{DocumentList, EndpointName, FuelBudget, Limits, Parameters, RequestContext};
use lockgate_runtime::{
    InstancePool, Invocation, PoolSetup, Runtime, RuntimeOptions, TenantShare, worker_threads,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::hops::context;
use crate::measure::{Row, Target};

const SECTION: &str = "fair shares (a quiet tenant beside one that spins on every core)";
const ROUNDS: usize = 4;
/// Calls of one condition in one round.
const CALLS: usize = 60;
const PAUSE: Duration = Duration::from_millis(4);
const SPINNING: u32 = 64;
/// How long two spinning tenants compete for each pair of weights.
const CONTEST: Duration = Duration::from_millis(1500);

/// Beside whom the quiet tenant calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Alone,
    Fair,
    Unfair,
}

const CONDITIONS: [Condition; 3] = [Condition::Alone, Condition::Fair, Condition::Unfair];

impl Condition {
    fn words(self) -> &'static str {
        match self {
            Condition::Alone => "alone",
            Condition::Fair => "beside a spinning tenant",
            Condition::Unfair => "the same without the scheduler",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Condition::Alone => "#2a7f62",
            Condition::Fair => "#2b5fb4",
            Condition::Unfair => "#b4402b",
        }
    }
}

/// Latencies of one load in milliseconds, sorted, by condition.
struct Curves {
    load: String,
    samples: [Vec<f64>; 3],
}

/// Measures, draws, and gives the rows of the table.
pub(crate) fn rows(tokio: &tokio::runtime::Runtime, bytes: &[u8], picture: &std::path::Path) -> Vec<Row> {
    let host = |fair_shares| {
        let options = RuntimeOptions { max_instances: 256, fair_shares, ..RuntimeOptions::default() };
        Runtime::new(options).expect("an engine")
    };
    let (fair, unfair) = (host(true), host(false));
    let mut curves = Vec::new();
    for (load, documents) in [("short calls", 1), ("long calls", 20)] {
        let mut samples: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (condition, samples) in CONDITIONS.iter().zip(&mut samples) {
                let runtime = if *condition == Condition::Unfair { &unfair } else { &fair };
                samples.extend(tokio.block_on(quiet(runtime, bytes, documents, *condition)));
            }
        }
        samples.iter_mut().for_each(|samples| samples.sort_by(f64::total_cmp));
        curves.push(Curves { load: load.into(), samples });
    }
    let mut rows: Vec<Row> = curves.iter().flat_map(latency_rows).collect();
    for weights in [[1, 1], [1, 3]] {
        rows.extend(tokio.block_on(contest(&fair, bytes, weights)));
    }
    std::fs::write(picture, draw(&curves)).expect("the picture can be written");
    rows
}

fn latency_rows(curves: &Curves) -> Vec<Row> {
    let Curves { load, samples } = curves;
    let at = |condition: Condition, part: f64| {
        samples.get(condition as usize).map_or(f64::NAN, |samples| percentile(samples, part))
    };
    let mut rows = Vec::new();
    for condition in CONDITIONS {
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let value = at(condition, part);
            rows.push(Row::new(SECTION, format!("{load}, {}: {name}", condition.words()), value, "ms"));
        }
    }
    let ratio = |condition| at(condition, 0.99) / at(Condition::Alone, 0.99);
    let figures = json!({ "calls": samples.first().map(Vec::len), "spinning": SPINNING, "cores": cores() });
    let row = Row::new(SECTION, format!("{load}: p99 beside over alone"), ratio(Condition::Fair), "x");
    rows.push(row.with_target(Target::AtMost(2.0)).with_figures(figures));
    let row =
        Row::new(SECTION, format!("{load}: the same without the scheduler"), ratio(Condition::Unfair), "x");
    rows.push(row);
    rows
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The value that this part of the sorted samples does not exceed.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Threads as a host has them.
pub(crate) fn threads() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(worker_threads()).enable_all().build().expect("a runtime")
}

fn pool(runtime: &Runtime, bytes: &[u8], share: &TenantShare, max: u32) -> InstancePool {
    let component = runtime.load(bytes).expect("the guest loads");
    let options = PoolOptions {
        min: 1,
        max,
        mode: InstanceMode::Reused,
        queue: 1024,
        grow_after_ms: 0,
        idle_ms: 60_000,
        max_calls: None,
        recycle_memory_bytes: None,
    };
    let limits = Limits { fuel: u64::MAX / 4, wall_time_ms: 600_000, ..Limits::default() };
    let setup = PoolSetup::new("bench".parse().expect("a name"), component, options);
    InstancePool::new(runtime, PoolSetup { limits, share: share.clone(), ..setup })
}

fn invocation(endpoint: &str, documents: DocumentList) -> Invocation {
    Invocation {
        endpoint: EndpointName::parse(endpoint).expect("a name"),
        documents,
        parameters: Parameters::default(),
        inputs: Arc::from([]),
        context: RequestContext { fuel: FuelBudget::new(u64::MAX / 2), ..context() },
        emit: None,
    }
}

fn documents(count: u32) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for _ in 0..count {
        let row = builder.push_root().expect("a row");
        builder.set_text("text", row, "quiet").expect("a text");
    }
    builder.finish().expect("a list")
}

/// Endless calls of one tenant, which end when the set is dropped.
async fn spin(pool: &InstancePool, calls: u32) -> JoinSet<()> {
    let mut set = JoinSet::new();
    for _ in 0..calls {
        let pool = pool.clone();
        set.spawn(async move { drop(pool.invoke(invocation("/spin", documents(1))).await) });
    }
    while pool.stats().calls < u64::from(calls) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    set
}

/// Latencies of a quiet tenant's calls in milliseconds.
async fn quiet(runtime: &Runtime, bytes: &[u8], count: u32, condition: Condition) -> Vec<f64> {
    let share = |name: &str| TenantShare::new(name.parse().expect("a name"));
    let loud = pool(runtime, bytes, &share("loud"), SPINNING);
    let pool = pool(runtime, bytes, &share("quiet"), 2);
    let documents = documents(count);
    let spinning = match condition {
        Condition::Alone => JoinSet::new(),
        Condition::Fair | Condition::Unfair => spin(&loud, SPINNING).await,
    };
    // On a task of its own, as requests are: the thread that waits for all of this is none of the host's.
    let mut caller = JoinSet::new();
    caller.spawn(async move {
        pool.prewarm().await.expect("an instance");
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            tokio::time::sleep(PAUSE).await;
            let invocation = invocation("/work", documents.clone());
            let start = Instant::now();
            pool.invoke(invocation).await.expect("the guest answers");
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times
    });
    let times = caller.join_next().await.expect("one caller").expect("it ends");
    drop(spinning);
    loud.close();
    times
}

/// Two tenants that both spin: the second one's part of the processor against its part of the weights.
async fn contest(runtime: &Runtime, bytes: &[u8], weights: [u32; 2]) -> Option<Row> {
    let shares = ["one", "two"].map(|name| TenantShare::new(name.parse().expect("a name")));
    let pools = shares.each_ref().map(|share| pool(runtime, bytes, share, SPINNING));
    for (share, weight) in shares.iter().zip(weights) {
        share.set_weight(100 * weight);
    }
    let [first, second] = &pools;
    let _spinning = (spin(first, 32).await, spin(second, 32).await);
    let time = |share: &TenantShare| share.processor_time().as_secs_f64();
    let [one_before, two_before] = shares.each_ref().map(time);
    tokio::time::sleep(CONTEST).await;
    let [one_after, two_after] = shares.each_ref().map(time);
    let (one, two) = (one_after - one_before, two_after - two_before);
    let [light, heavy] = weights;
    let (share, wanted) = (two / (one + two), f64::from(heavy) / f64::from(light + heavy));
    let name = format!("weights {light}:{heavy}: the second tenant's part of the processor");
    let figures = json!({ "wanted": wanted, "seconds": [one, two] });
    Some(Row::new(SECTION, name, share * 100.0, "%").with_figures(figures))
}

// === the picture ===

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 60.0;

/// Latency by percentile, one panel for each load. Both axes are logarithmic: the percentile's distance from 100.
fn draw(curves: &[Curves]) -> String {
    let panels = curves.len() as f64;
    let (width, height) = (panels * (WIDTH + MARGIN) + MARGIN, HEIGHT + 2.0 * MARGIN + 40.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, curves) in curves.iter().enumerate() {
        panel(&mut svg, curves, MARGIN + index as f64 * (WIDTH + MARGIN));
    }
    for (index, condition) in CONDITIONS.iter().enumerate() {
        let (x, y) = (MARGIN + index as f64 * 230.0, height - 18.0);
        let (colour, words) = (condition.colour(), condition.words());
        line(
            &mut svg,
            format_args!(
                "<path d=\"M{x},{y} h24\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{tx}\" y=\"{ty}\">{words}</text>",
                tx = x + 30.0,
                ty = y + 4.0
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, element: std::fmt::Arguments<'_>) {
    svg.push_str(&element.to_string());
    svg.push('\n');
}

fn panel(svg: &mut String, curves: &Curves, left: f64) {
    let all = || curves.samples.iter().flatten().copied().filter(|value| *value > 0.0);
    let (low, high) =
        (all().fold(f64::MAX, f64::min).log10().floor(), all().fold(0.0, f64::max).log10().ceil());
    let parts = [0.0, 0.5, 0.9, 0.99, 0.999];
    let x = |part: f64| left + WIDTH * (-(1.0 - part).log10() / 3.0).min(1.0);
    let y = |value: f64| MARGIN + HEIGHT * (1.0 - (value.log10() - low) / (high - low).max(1.0));
    line(
        svg,
        format_args!(
            "<text x=\"{left}\" y=\"{}\" font-size=\"14\">{}: ms by percentile</text>",
            MARGIN - 14.0,
            curves.load
        ),
    );
    for part in parts {
        let (at, bottom) = (x(part), MARGIN + HEIGHT);
        let label = format!("{}", part * 100.0);
        line(
            svg,
            format_args!(
                "<path d=\"M{at},{MARGIN} V{bottom}\" stroke=\"#ddd\"/><text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 16.0
            ),
        );
    }
    for power in low as i32..=high as i32 {
        let value = 10f64.powi(power);
        let at = y(value);
        line(
            svg,
            format_args!(
                "<path d=\"M{left},{at} h{WIDTH}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{value}</text>",
                left - 6.0,
                at + 4.0
            ),
        );
    }
    for (condition, samples) in CONDITIONS.iter().zip(&curves.samples) {
        let mut path = String::new();
        for step in 0..=150 {
            let part = 1.0 - 10f64.powf(-f64::from(step) / 50.0);
            let word = if step == 0 { "M" } else { "L" };
            path.push_str(&format!("{word}{:.1},{:.1} ", x(part), y(percentile(samples, part))));
        }
        line(
            svg,
            format_args!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
                condition.colour()
            ),
        );
    }
}
