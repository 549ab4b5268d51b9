//! Which of a stage's documents it gets, and the order in which an answer leaves that went through conditions.
//!
//! A condition is a flow author's and documents are a caller's, so together they may cost much: the work is done in
//! slices, other tasks have their turn between them, and the request's deadline is kept.

use std::collections::HashMap;
use std::time::Instant;

use lockgate_domain::condition::Matcher;
use lockgate_domain::document::{ArrangeError, names};
use lockgate_domain::{Condition, DocumentList, ErrorCode, Problem};

use crate::stage::now;

/// Cost after which others have a turn: about a millisecond's work.
const SLICE: u64 = 256 << 10;

/// The documents that satisfy a condition, in their order; what they hold is shared.
pub(crate) async fn satisfying(
    condition: &Condition,
    documents: &DocumentList,
    deadline: Option<Instant>,
) -> Result<DocumentList, Problem> {
    let mut matcher = Matcher::new(condition, documents);
    let (mut rows, mut spent) = (Vec::new(), 0u64);
    for row in 0..documents.len() {
        let holds = matcher.holds(row).map_err(|error| {
            Problem::new(ErrorCode::InvalidRequest, format!("`when` cannot be decided: {error}"))
                .with_hint("send shorter texts, or compare another field")
        })?;
        if holds {
            rows.push(row);
        }
        spent = spent.saturating_add(matcher.take_cost());
        if spent >= SLICE {
            spent = 0;
            tokio::task::yield_now().await;
            if deadline.is_some_and(|deadline| deadline <= now()) {
                let message = "the request's deadline passed while `when` chose its documents";
                return Err(Problem::new(ErrorCode::DeadlineExceeded, message));
            }
        }
    }
    select(documents, &rows)
}

/// The documents in the order in which the request had them; those that it had not come last, in their own order.
pub(crate) fn in_order_of(request: &DocumentList, documents: DocumentList) -> DocumentList {
    let mut places: HashMap<&str, u32> = HashMap::with_capacity(request.len() as usize);
    for row in 0..request.len() {
        if let Some(id) = request.text(names::ID, row) {
            places.entry(id).or_insert(row);
        }
    }
    let place = |row: &u32| {
        documents.text(names::ID, *row).and_then(|id| places.get(id).copied()).unwrap_or(u32::MAX)
    };
    let mut rows: Vec<u32> = (0..documents.len()).collect();
    rows.sort_by_key(place);
    // The same rows in another order always make a list.
    select(&documents, &rows).unwrap_or(documents)
}

fn select(documents: &DocumentList, rows: &[u32]) -> Result<DocumentList, Problem> {
    documents.select(rows).map_err(|error: ArrangeError| {
        Problem::new(ErrorCode::HostFault, format!("documents cannot be chosen: {error}"))
    })
}
