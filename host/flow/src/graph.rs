//! Whether stages and their needs make a graph that can be run, and in which order.
//!
//! Pure, and shared by the reader of flow files, which knows lines, and the planner, which does not. Every fault is
//! found, not only the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lockgate_domain::{ExecutorName, StageSpec};

/// The name that stands for the request itself.
pub(crate) const GATEWAY: &str = "gateway";

/// Most stages of a flow.
pub(crate) const MAX_STAGES: usize = 256;

/// What is wrong with a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GraphFault {
    Empty,
    TooManyStages { count: usize },
    Reserved { stage: usize },
    Duplicate { stage: usize, name: ExecutorName },
    UnknownNeed { stage: usize, name: ExecutorName, need: ExecutorName, nearest: Option<String> },
    NeedsItself { stage: usize, name: ExecutorName },
    DoubleNeed { stage: usize, name: ExecutorName, need: ExecutorName },
    Cycle { stage: usize, names: Vec<ExecutorName> },
}

impl GraphFault {
    /// The stage to point at, by its place in the flow.
    pub(crate) fn stage(&self) -> Option<usize> {
        match self {
            GraphFault::Empty | GraphFault::TooManyStages { .. } => None,
            GraphFault::Reserved { stage }
            | GraphFault::Duplicate { stage, .. }
            | GraphFault::UnknownNeed { stage, .. }
            | GraphFault::NeedsItself { stage, .. }
            | GraphFault::DoubleNeed { stage, .. }
            | GraphFault::Cycle { stage, .. } => Some(*stage),
        }
    }

    /// The need to point at.
    pub(crate) fn need(&self) -> Option<&ExecutorName> {
        match self {
            GraphFault::UnknownNeed { need, .. } | GraphFault::DoubleNeed { need, .. } => Some(need),
            GraphFault::NeedsItself { name, .. } => Some(name),
            GraphFault::Empty
            | GraphFault::TooManyStages { .. }
            | GraphFault::Reserved { .. }
            | GraphFault::Duplicate { .. }
            | GraphFault::Cycle { .. } => None,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            GraphFault::Empty => Some("add an entry with `name` and `uses` under `executors:`".to_owned()),
            GraphFault::Reserved { .. } => Some("give the executor another name".to_owned()),
            GraphFault::UnknownNeed { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            GraphFault::Cycle { .. } => Some("take one of these needs away".to_owned()),
            GraphFault::TooManyStages { .. }
            | GraphFault::Duplicate { .. }
            | GraphFault::UnknownNeed { .. }
            | GraphFault::NeedsItself { .. }
            | GraphFault::DoubleNeed { .. } => None,
        }
    }
}

impl fmt::Display for GraphFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GraphFault::Empty => f.write_str("the flow has no executors"),
            GraphFault::TooManyStages { count } => {
                write!(f, "the flow has {count} executors, at most {MAX_STAGES} are taken")
            }
            GraphFault::Reserved { .. } => {
                write!(f, "the name `{GATEWAY}` stands for the request and cannot name an executor")
            }
            GraphFault::Duplicate { name, .. } => write!(f, "two executors are named `{name}`"),
            GraphFault::UnknownNeed { name, need, .. } => {
                write!(f, "executor `{name}` needs `{need}`, which does not exist")
            }
            GraphFault::NeedsItself { name, .. } => write!(f, "executor `{name}` needs itself"),
            GraphFault::DoubleNeed { name, need, .. } => {
                write!(f, "executor `{name}` needs `{need}` twice")
            }
            GraphFault::Cycle { names, .. } => {
                f.write_str("executors need each other in a circle: ")?;
                for name in names {
                    write!(f, "`{name}` needs ")?;
                }
                match names.first() {
                    Some(first) => write!(f, "`{first}`"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The stages in an order in which each comes after its needs; among those that could come next, the first of the
/// file.
pub(crate) fn order(stages: &[StageSpec]) -> Result<Vec<usize>, Vec<GraphFault>> {
    let mut faults = Vec::new();
    if stages.is_empty() {
        faults.push(GraphFault::Empty);
    }
    if stages.len() > MAX_STAGES {
        return Err(vec![GraphFault::TooManyStages { count: stages.len() }]);
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (spec, stage) in stages.iter().zip(0..) {
        if spec.name.as_str() == GATEWAY {
            faults.push(GraphFault::Reserved { stage });
        } else if places.contains_key(spec.name.as_str()) {
            faults.push(GraphFault::Duplicate { stage, name: spec.name.clone() });
        } else {
            places.insert(spec.name.as_str(), stage);
        }
    }
    for (spec, stage) in stages.iter().zip(0..) {
        check_needs(spec, stage, &places, &mut faults);
    }
    let order = sort(stages, &places);
    if faults.is_empty() && order.len() < stages.len() {
        faults.push(find_cycle(stages, &places, &order));
    }
    if faults.is_empty() { Ok(order) } else { Err(faults) }
}

/// What gives the answer: the last stage of the file that does not float; none if all do.
pub(crate) fn last(stages: &[StageSpec]) -> Option<&StageSpec> {
    stages.iter().rev().find(|stage| !stage.floating)
}

/// Stages that nothing needs, that are not the answer and are not said to float: as often as not a mistake.
pub(crate) fn unheard(stages: &[StageSpec]) -> Vec<usize> {
    let last = last(stages).map(|stage| &stage.name);
    let is_needed = |name: &ExecutorName| stages.iter().any(|stage| stage.needs.contains(name));
    let is_unheard =
        |stage: &StageSpec| !stage.floating && Some(&stage.name) != last && !is_needed(&stage.name);
    stages.iter().zip(0..).filter(|(stage, _)| is_unheard(stage)).map(|(_, place)| place).collect()
}

fn check_needs(spec: &StageSpec, stage: usize, places: &BTreeMap<&str, usize>, faults: &mut Vec<GraphFault>) {
    let name = || spec.name.clone();
    for (need, place) in spec.needs.iter().zip(0..) {
        if spec.needs.iter().take(place).any(|earlier| earlier == need) {
            faults.push(GraphFault::DoubleNeed { stage, name: name(), need: need.clone() });
        } else if *need == spec.name {
            // By name a second executor of that name cannot tell itself from the first: that it is the second is told.
            if places.get(need.as_str()).is_none_or(|first| *first != stage) {
                continue;
            }
            faults.push(GraphFault::NeedsItself { stage, name: name() });
        } else if need.as_str() != GATEWAY && !places.contains_key(need.as_str()) {
            let known = places.keys().copied().filter(|known| *known != spec.name.as_str());
            let nearest = nearest(need.as_str(), known.chain([GATEWAY]));
            faults.push(GraphFault::UnknownNeed { stage, name: name(), need: need.clone(), nearest });
        }
    }
}

/// The known word that a misspelt one was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let score = |candidate: &str| {
        if candidate.starts_with(word) || word.starts_with(candidate) {
            0.9
        } else {
            strsim::jaro_winkler(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase())
        }
    };
    let scored = known.into_iter().map(|candidate| (score(candidate), candidate));
    let best = scored.filter(|(score, _)| *score >= 0.84).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, candidate)| candidate.to_owned())
}

fn sort(stages: &[StageSpec], places: &BTreeMap<&str, usize>) -> Vec<usize> {
    let mut missing: Vec<usize> = vec![0; stages.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); stages.len()];
    for ((spec, stage), missing) in stages.iter().zip(0..).zip(&mut missing) {
        for need in &spec.needs {
            if let Some(list) = places.get(need.as_str()).and_then(|place| dependents.get_mut(*place)) {
                list.push(stage);
                *missing += 1;
            }
        }
    }
    let mut ready: BTreeSet<usize> =
        missing.iter().zip(0..).filter(|(missing, _)| **missing == 0).map(|(_, stage)| stage).collect();
    let mut order = Vec::with_capacity(stages.len());
    while let Some(stage) = ready.pop_first() {
        order.push(stage);
        for &dependent in dependents.get(stage).into_iter().flatten() {
            if let Some(missing) = missing.get_mut(dependent) {
                *missing -= 1;
                if *missing == 0 {
                    ready.insert(dependent);
                }
            }
        }
    }
    order
}

/// Walks needs backwards from a stage that was never ready until a stage comes twice.
fn find_cycle(stages: &[StageSpec], places: &BTreeMap<&str, usize>, order: &[usize]) -> GraphFault {
    let is_stuck = |stage: &usize| !order.contains(stage);
    let mut path: Vec<usize> = Vec::new();
    let mut next = (0..stages.len()).find(is_stuck);
    while let Some(stage) = next {
        if let Some(start) = path.iter().position(|seen| *seen == stage) {
            path.drain(..start);
            break;
        }
        path.push(stage);
        let needs = stages.get(stage).map(|spec| spec.needs.as_slice()).unwrap_or_default();
        next = needs.iter().filter_map(|need| places.get(need.as_str()).copied()).find(is_stuck);
    }
    let names = path.iter().filter_map(|stage| stages.get(*stage)).map(|spec| spec.name.clone()).collect();
    GraphFault::Cycle { stage: path.first().copied().unwrap_or(0), names }
}
