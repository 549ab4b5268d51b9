//! What a stage with several needs gets: one list, and which rows of it came from where.
//!
//! Concatenated lists stand one behind the other, so each upstream stage has its own rows. Reduced lists share rows: an
//! upstream stage is then named with the documents that it was the first to bring.

use std::collections::HashSet;
use std::sync::Arc;

use lockgate_domain::document::{BuildError, concat, names, reduce};
use lockgate_domain::{DocumentList, ErrorCode, ExecutorName, Limits, Problem};

use crate::client::StageInput;

/// The joined list and where its rows come from. `parts` are in the order of `needs`.
pub(crate) fn join(
    parts: &[(&ExecutorName, &DocumentList)],
    is_reduced: bool,
    limits: &Limits,
) -> Result<(DocumentList, Arc<[StageInput]>), Problem> {
    if let [(executor, list)] = parts {
        return Ok(((*list).clone(), single(executor, list)));
    }
    let lists: Vec<&DocumentList> = parts.iter().map(|(_, list)| *list).collect();
    let joined = if is_reduced { reduce(&lists, limits) } else { concat(&lists, limits) };
    let joined = joined.map_err(|error| problem(parts, &error))?;
    let counts =
        if is_reduced { new_rows(&lists, joined.len()) } else { lists.iter().map(|l| l.len()).collect() };
    let mut first = 0;
    let inputs = parts.iter().zip(counts).map(|((executor, _), count)| {
        let input = StageInput { executor: (*executor).clone(), first, count };
        first += count;
        input
    });
    Ok((joined, inputs.collect()))
}

/// The one upstream list of a stage with one need.
pub(crate) fn single(executor: &ExecutorName, list: &DocumentList) -> Arc<[StageInput]> {
    Arc::new([StageInput { executor: executor.clone(), first: 0, count: list.len() }])
}

/// How many rows of the reduced list each list was the first to bring; they stand together, in the order of the lists.
fn new_rows(lists: &[&DocumentList], total: u32) -> Vec<u32> {
    let (mut seen, mut left) = (HashSet::new(), total);
    lists
        .iter()
        .map(|list| {
            let is_new = |row: &u32| list.text(names::ID, *row).is_none_or(|id| seen.insert(id));
            let count = u32::try_from((0..list.len()).filter(is_new).count()).unwrap_or(u32::MAX).min(left);
            left -= count;
            count
        })
        .collect()
}

fn problem(parts: &[(&ExecutorName, &DocumentList)], error: &BuildError) -> Problem {
    let names: Vec<&str> = parts.iter().map(|(executor, _)| executor.as_str()).collect();
    let message = format!("the documents of {} cannot be joined: {error}", names.join(", "));
    match error {
        BuildError::Arrange(error) => match error.limit() {
            Some((kind, value)) => Problem::limit(kind, value, format!("{message}: {error}")),
            None => Problem::new(ErrorCode::HostFault, format!("{message}: {error}")),
        },
        BuildError::TooManyColumns { limit } => {
            Problem::limit(lockgate_domain::LimitKind::Columns, u64::from(*limit), message)
        }
        BuildError::MixedKinds { .. } => Problem::new(ErrorCode::ContractViolation, message).with_hint(
            "let the executors of all branches write the field with one kind, or under different names",
        ),
        BuildError::WrongKind { .. } | BuildError::TooManyCells { .. } | BuildError::BadName { .. } => {
            Problem::new(ErrorCode::ContractViolation, message)
        }
    }
}
