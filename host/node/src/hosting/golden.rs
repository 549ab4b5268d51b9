//! Golden examples: what an executor must answer, compared field by field.
//!
//! Only the fields that an example names are compared, so an executor may add others; lists must have the same length,
//! numbers lie within the example's tolerance. What differs first is told by its path. An example that the executor
//! fails is an outcome like any other; only the host's own failure is an error.

use std::time::{Duration, Instant};

use lockgate_domain::hosting::{ExampleOutcome, GoldenExample};
use lockgate_domain::{
    DocumentList, ErrorSource, FuelBudget, Limits, Parameters, Problem, RequestContext, RequestId, TenantName,
};
use lockgate_flow::client::{ExecutorCall, ExecutorClient};
use lockgate_wire::json;
use serde_json::{Map, Value};

/// Characters of a value in a difference.
const SHOWN_CHARACTERS: usize = 80;

/// Runs all examples, one after the other, on an executor of its own.
pub(crate) async fn run(
    client: &dyn ExecutorClient,
    tenant: &TenantName,
    limits: &Limits,
    examples: &[GoldenExample],
) -> Result<Vec<ExampleOutcome>, Problem> {
    let mut outcomes = Vec::with_capacity(examples.len());
    for example in examples {
        outcomes.push(run_one(client, tenant, limits, example).await?);
    }
    Ok(outcomes)
}

async fn run_one(
    client: &dyn ExecutorClient,
    tenant: &TenantName,
    limits: &Limits,
    example: &GoldenExample,
) -> Result<ExampleOutcome, Problem> {
    let outcome = |fuel, difference| ExampleOutcome { endpoint: example.endpoint.clone(), fuel, difference };
    let documents = match input(example, limits) {
        Ok(documents) => documents,
        Err(problem) => return Ok(outcome(0, Some(format!("the example cannot be read: {problem}")))),
    };
    let fuel = FuelBudget::new(limits.fuel);
    let wait = Duration::from_millis(limits.wall_time_ms);
    let context = RequestContext {
        deadline: Instant::now().checked_add(wait),
        ..RequestContext::new(RequestId::fresh(), tenant.clone(), fuel.clone())
    };
    let call = ExecutorCall {
        endpoint: example.endpoint.clone(),
        documents,
        parameters: Parameters::new(example.parameters.clone()),
        inputs: Vec::new().into(),
        context,
        emit: None,
    };
    match client.call(call).await {
        Ok(reply) => Ok(outcome(reply.fuel, answer_difference(example, &reply.documents))),
        Err(problem) if problem.code().source() == ErrorSource::Host => Err(problem),
        Err(problem) => {
            let burned = fuel.total().saturating_sub(fuel.left());
            Ok(outcome(burned, Some(format!("the call failed: {}: {problem}", problem.code()))))
        }
    }
}

/// The example's documents, each with an id.
fn input(example: &GoldenExample, limits: &Limits) -> Result<DocumentList, Problem> {
    let mut body = Map::new();
    body.insert("data".to_owned(), Value::Array(example.data.clone()));
    let body = Value::Object(body).to_string();
    Ok(json::decode_request(body.as_bytes(), limits)?.documents.with_ids())
}

fn answer_difference(example: &GoldenExample, documents: &DocumentList) -> Option<String> {
    let text = json::encode_documents(documents);
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(answer)) => difference(&example.expect, &answer, example.tolerance),
        _ => Some("the answer cannot be written as JSON".to_owned()),
    }
}

/// Where the answer differs first from what is expected; none if all that is expected is there.
pub(crate) fn difference(expect: &[Value], answer: &[Value], tolerance: f64) -> Option<String> {
    lists("data", expect, answer, tolerance)
}

fn lists(path: &str, expect: &[Value], answer: &[Value], tolerance: f64) -> Option<String> {
    if expect.len() != answer.len() {
        return Some(format!("{path}: expected {} elements, got {}", expect.len(), answer.len()));
    }
    let mut pairs = expect.iter().zip(answer).enumerate();
    pairs.find_map(|(place, (expect, answer))| {
        values(&format!("{path}[{place}]"), expect, Some(answer), tolerance)
    })
}

fn values(path: &str, expect: &Value, answer: Option<&Value>, tolerance: f64) -> Option<String> {
    match (expect, answer) {
        (Value::Object(expect), Some(Value::Object(answer))) => expect.iter().find_map(|(key, expect)| {
            values(&format!("{path}.{}", shorten(key)), expect, answer.get(key), tolerance)
        }),
        (Value::Array(expect), Some(Value::Array(answer))) => lists(path, expect, answer, tolerance),
        (Value::Number(a), Some(Value::Number(b))) if near(a, b, tolerance) => None,
        // A field without a value is left out of answers.
        (Value::Null, None) => None,
        (expect, Some(answer)) if expect == answer => None,
        (expect, answer) => {
            let got = answer.map_or_else(|| "nothing".to_owned(), |answer| shorten(&answer.to_string()));
            Some(format!("{path}: expected {}, got {got}", shorten(&expect.to_string())))
        }
    }
}

fn near(a: &serde_json::Number, b: &serde_json::Number, tolerance: f64) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance.max(0.0),
        _ => a == b,
    }
}

fn shorten(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(SHOWN_CHARACTERS).collect();
    if characters.next().is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests;
