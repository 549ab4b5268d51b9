//! What the host did with a request beside answering it, kept only if its caller asked to be told.
//!
//! Stages write, the gateway reads when the answer is there. A request that did not ask carries nothing. What may be
//! kept is bounded, because retries and branches multiply.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::ids::{EndpointName, ExecutorName, RequestId};

/// Why a batch was sent to its executor at the moment at which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlushReason {
    /// It had as many documents as preferred.
    Size,
    /// It had as many bytes as preferred.
    Bytes,
    /// Its first request had waited for as long as requests wait.
    Timeout,
    /// One of its requests could not wait longer: half of the time that it had left was over.
    Deadline,
    /// The next request's documents could not stand in one list with those that waited.
    Misfit,
    /// The host drains, and nothing waits any longer.
    Drain,
}

impl FlushReason {
    /// All reasons, in the order of the reference.
    pub const ALL: [FlushReason; 6] = [
        FlushReason::Size,
        FlushReason::Bytes,
        FlushReason::Timeout,
        FlushReason::Deadline,
        FlushReason::Misfit,
        FlushReason::Drain,
    ];

    /// The word in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FlushReason::Size => "size",
            FlushReason::Bytes => "bytes",
            FlushReason::Timeout => "timeout",
            FlushReason::Deadline => "deadline",
            FlushReason::Misfit => "misfit",
            FlushReason::Drain => "drain",
        }
    }
}

/// How one request was batched at one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchExplanation {
    /// The stage.
    pub executor: ExecutorName,
    /// The endpoint as the executor names it.
    pub endpoint: EndpointName,
    /// The batch; the same for all its requests.
    pub batch: RequestId,
    /// Requests in it.
    pub requests: u32,
    /// Their documents.
    pub documents: u32,
    /// Bytes of these.
    pub bytes: u64,
    /// Calls of the executor that the batch became.
    pub calls: u32,
    /// Microseconds that this request waited for others.
    pub waited_us: u64,
    /// Why it waited no longer.
    pub flushed: FlushReason,
    /// Whether the batch failed and this request ran again on its own.
    pub alone: bool,
}

impl BatchExplanation {
    fn json(&self) -> Value {
        json!({
            "executor": self.executor,
            "endpoint": self.endpoint,
            "batch": self.batch.as_str(),
            "requests": self.requests,
            "documents": self.documents,
            "bytes": self.bytes,
            "calls": self.calls,
            "waited_ms": self.waited_us as f64 / 1e3,
            "flushed": self.flushed,
            "alone": self.alone,
        })
    }
}

/// Where stages write what became of one request. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Explanations(Arc<Mutex<Vec<BatchExplanation>>>);

impl Explanations {
    /// Most entries of one request; the rest is dropped.
    pub const MOST: usize = 64;

    /// Adds one.
    pub fn add(&self, explanation: BatchExplanation) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < Self::MOST {
            list.push(explanation);
        }
    }

    /// What was written so far, as callers read it: `{"batches": [...]}`.
    pub fn json(&self) -> Value {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        json!({ "batches": list.iter().map(BatchExplanation::json).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_read_words_and_no_more_than_fits() {
        let explanations = Explanations::default();
        for requests in 0..100 {
            explanations.clone().add(BatchExplanation {
                executor: "encoder".parse().unwrap(),
                endpoint: EndpointName::parse("/encode").unwrap(),
                batch: RequestId::accept("b"),
                requests,
                documents: 12,
                bytes: 300,
                calls: 2,
                waited_us: 1500,
                flushed: FlushReason::Size,
                alone: false,
            });
        }
        let json = explanations.json();
        assert_eq!(json["batches"].as_array().map(Vec::len), Some(Explanations::MOST));
        let expected = json!({
            "executor": "encoder", "endpoint": "/encode", "batch": "b", "requests": 0, "documents": 12,
            "bytes": 300, "calls": 2, "waited_ms": 1.5, "flushed": "size", "alone": false,
        });
        assert_eq!(json["batches"][0], expected);
        for reason in FlushReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
