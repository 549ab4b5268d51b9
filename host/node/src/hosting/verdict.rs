//! What a shadow's comparisons add up to, and what they mean: pure sums and one pure judgement.

use std::time::Duration;

use lockgate_domain::Problem;
use lockgate_domain::hosting::{RevisionNumber, ShadowBounds, ShadowReport, ShadowVerdict};

use super::compare::Comparison;

/// Differences that a report tells in words.
const MOST_SAMPLES: usize = 20;

/// Fuel and time of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Effort {
    /// Fuel burned.
    pub(crate) fuel: u64,
    /// Wall time, without waiting for the shadow's turn.
    pub(crate) time: Duration,
}

/// The sums of one shadow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    report: ShadowReport,
    fuel: [u128; 2],
    microseconds: [u128; 2],
}

impl Tally {
    pub(crate) fn new(primary: RevisionNumber, shadow: RevisionNumber) -> Self {
        let report = ShadowReport {
            primary,
            shadow,
            requests: 0,
            skipped: 0,
            documents: 0,
            differing_requests: 0,
            failed_requests: 0,
            text_differences: 0,
            tag_differences: 0,
            other_differences: 0,
            max_embedding_distance: 0.0,
            fuel_ratio: 1.0,
            latency_ratio: 1.0,
            samples: Vec::new(),
            verdict: ShadowVerdict::Comparing,
        };
        Self { report, fuel: [0; 2], microseconds: [0; 2] }
    }

    /// A request that was to be compared and was not.
    pub(crate) fn skip(&mut self) {
        self.report.skipped = self.report.skipped.saturating_add(1);
    }

    /// The shadow answered as well.
    pub(crate) fn add(&mut self, primary: Effort, shadow: Effort, found: Comparison) {
        self.count(found.differs);
        let report = &mut self.report;
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut report.documents, found.documents);
        add(&mut report.text_differences, found.texts);
        add(&mut report.tag_differences, found.tags);
        add(&mut report.other_differences, found.others);
        report.max_embedding_distance = report.max_embedding_distance.max(found.embedding_distance);
        found.samples.into_iter().for_each(|sample| self.tell(sample));
        for ((fuel, microseconds), effort) in
            self.fuel.iter_mut().zip(&mut self.microseconds).zip([primary, shadow])
        {
            *fuel = fuel.saturating_add(u128::from(effort.fuel));
            *microseconds = microseconds.saturating_add(effort.time.as_micros());
        }
        self.report.fuel_ratio = ratio(self.fuel);
        self.report.latency_ratio = ratio(self.microseconds);
    }

    /// The shadow failed where the primary answered.
    pub(crate) fn add_failure(&mut self, problem: &Problem) {
        self.count(true);
        self.report.failed_requests = self.report.failed_requests.saturating_add(1);
        let message: String = problem.message().chars().take(200).collect();
        self.tell(format!("the shadow failed: {}: {message}", problem.code()));
    }

    fn count(&mut self, differs: bool) {
        self.report.requests = self.report.requests.saturating_add(1);
        self.report.differing_requests = self.report.differing_requests.saturating_add(u64::from(differs));
    }

    fn tell(&mut self, sample: String) {
        if self.report.samples.len() < MOST_SAMPLES {
            self.report.samples.push(sample);
        }
    }

    /// Judges once enough was compared. Gives the verdict the one time it is reached; afterwards it stands.
    pub(crate) fn decide(&mut self, decide_after: u64, bounds: &ShadowBounds) -> Option<ShadowVerdict> {
        if self.report.verdict != ShadowVerdict::Comparing || self.report.requests < decide_after.max(1) {
            return None;
        }
        self.report.verdict = judge(&self.report, bounds);
        Some(self.report.verdict.clone())
    }

    /// What is known so far.
    pub(crate) fn report(&self) -> &ShadowReport {
        &self.report
    }
}

/// The shadow's sum over the primary's; 1 where neither used anything.
fn ratio([primary, shadow]: [u128; 2]) -> f64 {
    if shadow == 0 && primary == 0 { 1.0 } else { shadow as f64 / primary.max(1) as f64 }
}

/// Whether what was compared lies within the bounds.
pub(crate) fn judge(report: &ShadowReport, bounds: &ShadowBounds) -> ShadowVerdict {
    let mut reasons = Vec::new();
    let part = report.differing_requests as f64 / report.requests.max(1) as f64;
    if !within(part, bounds.differing_requests) {
        reasons.push(format!(
            "{} of {} requests differ, {} of them because the shadow failed; accepted are {} %",
            report.differing_requests,
            report.requests,
            report.failed_requests,
            bounds.differing_requests * 100.0
        ));
    }
    if !within(report.fuel_ratio, bounds.fuel_ratio) {
        reasons.push(format!(
            "it burns {:.2} times the fuel; accepted are {:.2}",
            report.fuel_ratio, bounds.fuel_ratio
        ));
    }
    if !within(report.latency_ratio, bounds.latency_ratio) {
        reasons.push(format!(
            "it takes {:.2} times as long; accepted are {:.2}",
            report.latency_ratio, bounds.latency_ratio
        ));
    }
    if reasons.is_empty() { ShadowVerdict::Within } else { ShadowVerdict::Outside { reasons } }
}

/// What is no number lies outside.
fn within(value: f64, bound: f64) -> bool {
    value <= bound
}

#[cfg(test)]
mod tests {
    use lockgate_domain::ErrorCode;

    use super::*;

    fn tally() -> Tally {
        Tally::new(RevisionNumber::FIRST, RevisionNumber::FIRST.next())
    }

    fn effort(fuel: u64, milliseconds: u64) -> Effort {
        Effort { fuel, time: Duration::from_millis(milliseconds) }
    }

    fn same() -> Comparison {
        Comparison { documents: 2, ..Comparison::default() }
    }

    fn different() -> Comparison {
        let samples = vec!["data[0].text: \"A\", the shadow gives \"B\"".into()];
        Comparison { documents: 2, texts: 1, differs: true, samples, ..Comparison::default() }
    }

    #[test]
    fn verdicts_follow_the_bounds() {
        let check = |fill: &dyn Fn(&mut Tally), bounds: ShadowBounds, expected: &[&str]| {
            let mut tally = tally();
            fill(&mut tally);
            let verdict = tally.decide(2, &bounds).unwrap();
            assert_eq!(tally.report().verdict, verdict);
            let reasons = match verdict {
                ShadowVerdict::Outside { reasons } => reasons,
                ShadowVerdict::Within => Vec::new(),
                ShadowVerdict::Comparing => panic!("it was to decide"),
            };
            assert_eq!(reasons, expected);
            assert_eq!(tally.decide(2, &bounds), None, "once");
        };
        let usual = ShadowBounds::default();
        check(&|tally| (0..2).for_each(|_| tally.add(effort(10, 10), effort(15, 20), same())), usual, &[]);
        check(&|tally| (0..2).for_each(|_| tally.add(effort(0, 0), effort(0, 0), same())), usual, &[]);
        check(
            &|tally| (0..2).for_each(|_| tally.add(effort(10, 10), effort(16, 21), same())),
            usual,
            &[
                "it burns 1.60 times the fuel; accepted are 1.50",
                "it takes 2.10 times as long; accepted are 2.00",
            ],
        );
        let mixed = |tally: &mut Tally| {
            tally.add(effort(10, 10), effort(10, 10), same());
            tally.add(effort(10, 10), effort(10, 10), different());
            tally.add_failure(&Problem::new(ErrorCode::GuestTrap, "it trapped"));
            tally.add(effort(10, 10), effort(10, 10), same());
        };
        check(
            &mixed,
            usual,
            &["2 of 4 requests differ, 1 of them because the shadow failed; accepted are 0 %"],
        );
        check(&mixed, ShadowBounds { differing_requests: 0.5, ..usual }, &[]);
        let never = ShadowBounds { differing_requests: f64::NAN, ..usual };
        check(
            &|tally| (0..2).for_each(|_| tally.add(effort(1, 1), effort(1, 1), same())),
            never,
            &["0 of 2 requests differ, 0 of them because the shadow failed; accepted are NaN %"],
        );
    }

    #[test]
    fn nothing_is_decided_too_early() {
        let mut tally = tally();
        tally.skip();
        assert_eq!(tally.decide(0, &ShadowBounds::default()), None);
        tally.add(effort(1, 1), effort(1, 1), different());
        assert_eq!(tally.decide(2, &ShadowBounds::default()), None);
        let report = tally.report();
        assert_eq!((report.requests, report.skipped, report.differing_requests), (1, 1, 1));
        assert_eq!((report.documents, report.text_differences), (2, 1));
        assert_eq!(report.samples.len(), 1);
        assert_eq!(report.verdict, ShadowVerdict::Comparing);
    }

    #[test]
    fn samples_are_bounded() {
        let mut tally = tally();
        (0..100).for_each(|_| tally.add(effort(1, 1), effort(1, 1), different()));
        assert_eq!((tally.report().samples.len(), tally.report().requests), (MOST_SAMPLES, 100));
    }
}
