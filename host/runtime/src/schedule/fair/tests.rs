//! Tenants, weights and demands go in, shares of the processor come out. Time is a number here.

use std::collections::BTreeMap;

use super::*;

/// What one tenant wants.
#[derive(Clone, Copy)]
struct Demand {
    weight: u32,
    /// calls at once
    calls: u64,
    /// slices of a call
    slices: u64,
    /// pause between two calls of one caller
    pause: Nanos,
    /// when it begins
    from: Nanos,
}

const SPIN: Demand = Demand { weight: 100, calls: 64, slices: u64::MAX, pause: 0, from: 0 };

/// One caller of a tenant.
struct Caller {
    lane: LaneId,
    left: u64,
    asked_at: Nanos,
}

/// What one tenant got.
#[derive(Default)]
struct Got {
    time: Nanos,
    longest_wait: Nanos,
}

/// Plays `length` of time on `cores`. A slice that runs beyond the cores is free: it takes no core from others here, so
/// shares are those that the core decides.
fn play(cores: usize, demands: &[Demand], length: Nanos) -> Vec<Got> {
    let mut fair = Fair::new(cores);
    let mut got: Vec<Got> = demands.iter().map(|_| Got::default()).collect();
    let mut callers = Vec::new();
    // What happens when: a caller asks (false), or its slice ends (true).
    let mut events: BTreeMap<(Nanos, u64), (usize, bool)> = BTreeMap::new();
    let mut sequence = 0;
    for (lane, demand) in demands.iter().enumerate() {
        for _ in 0..demand.calls {
            events.insert((demand.from, sequence), (callers.len(), false));
            callers.push(Caller { lane: lane as u64, left: demand.slices, asked_at: 0 });
            sequence += 1;
        }
    }
    while let Some(((now, _), (index, ends))) = events.pop_first() {
        if now > length {
            break;
        }
        let (lane, left) = (callers[index].lane, callers[index].left);
        let demand = demands[lane as usize];
        let mut start = |who: usize, callers: &mut Vec<Caller>, got: &mut Vec<Got>| {
            let wait = now - callers[who].asked_at;
            let tenant = &mut got[callers[who].lane as usize];
            tenant.longest_wait = tenant.longest_wait.max(wait);
            events.insert((now + SLICE, sequence), (who, true));
            sequence += 1;
        };
        let goes_on = ends && left > 1;
        if ends {
            fair.end(lane, SLICE);
            got[lane as usize].time += SLICE;
            callers[index].left = left - 1;
        }
        if goes_on || !ends {
            callers[index].asked_at = now;
            let ticket = index as u64;
            let entry = if goes_on {
                fair.ask_again(lane, demand.weight, ticket)
            } else {
                fair.ask(lane, demand.weight, ticket)
            };
            if entry != Entry::Wait {
                start(index, &mut callers, &mut got);
            }
        }
        while let Some(ticket) = fair.next(now) {
            assert!(fair.pick_up(ticket));
            start(ticket as usize, &mut callers, &mut got);
        }
        if ends && !goes_on {
            callers[index].left = demand.slices;
            events.insert((now + demand.pause.max(1), sequence), (index, false));
            sequence += 1;
        }
        assert!(fair.running() <= 2 * cores);
        assert!(fair.running() >= cores.min(fair.waiting()), "no core stands idle while somebody waits");
    }
    got
}

/// Shares of the time that all got together.
fn shares(cores: usize, demands: &[Demand]) -> Vec<f64> {
    let got = play(cores, demands, 4_000 * SLICE);
    let sum: Nanos = got.iter().map(|got| got.time).sum();
    got.iter().map(|got| got.time as f64 / sum as f64).collect()
}

#[test]
fn processor_time_follows_the_weights() {
    let check = |cores: usize, demands: &[Demand], expected: &[f64]| {
        let shares = shares(cores, demands);
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() <= 0.03, "{cores} cores: {shares:?}, expected {expected:?}");
        }
    };
    let weighing = |weight| Demand { weight, ..SPIN };
    for cores in [1, 2, 8] {
        check(cores, &[SPIN, SPIN], &[0.5, 0.5]);
        check(cores, &[SPIN, weighing(300)], &[0.25, 0.75]);
        check(cores, &[weighing(1), weighing(99)], &[0.01, 0.99]);
        check(cores, &[SPIN, weighing(200), weighing(700)], &[0.1, 0.2, 0.7]);
        // A thousand calls at once bring no more than sixty-four do.
        check(cores, &[Demand { calls: 1000, ..SPIN }, SPIN], &[0.5, 0.5]);
        check(cores, &[SPIN; 10], &[0.1; 10]);
        // Many short calls are as good as few long ones.
        check(cores, &[Demand { slices: 1, ..SPIN }, SPIN], &[0.5, 0.5]);
    }
    // One caller that computes all the time gets its weight even on one core.
    check(1, &[SPIN, Demand { calls: 1, ..weighing(300) }], &[0.25, 0.75]);
    // What one tenant leaves goes to the others.
    let pausing = Demand { calls: 1, slices: 1, pause: 9 * SLICE, ..SPIN };
    check(1, &[SPIN, pausing], &[10.0 / 11.0, 1.0 / 11.0]);
}

#[test]
fn a_quiet_tenant_never_waits_for_a_spinning_one() {
    let check = |cores: usize, spinners: usize, quiet: Demand, most: Nanos| {
        let mut demands = vec![SPIN; spinners];
        demands.push(quiet);
        let waited = play(cores, &demands, 4_000 * SLICE).pop().unwrap().longest_wait;
        assert!(waited <= most, "{cores} cores, {spinners} spinners: waited {waited}");
    };
    let quiet = Demand { calls: 1, slices: 1, pause: 40 * SLICE, from: 200 * SLICE, ..SPIN };
    for cores in [1, 2, 8] {
        for spinners in [1, 5, 20] {
            check(cores, spinners, quiet, 0);
            check(cores, spinners, Demand { slices: 3, pause: 100 * SLICE, ..quiet }, 0);
        }
    }
}

#[test]
fn nobody_starves() {
    let got = play(2, &[Demand { weight: 1, ..SPIN }, Demand { weight: 10_000, ..SPIN }], 60_000 * SLICE);
    assert!(got[0].time >= 5 * SLICE, "{}", got[0].time);
    // Tenants that come and go with their credit do not keep a busy one from computing.
    let mut demands = vec![Demand { calls: 1, slices: 3, pause: 2 * SLICE, ..SPIN }; 20];
    demands.push(SPIN);
    let got = play(1, &demands, 4_000 * SLICE);
    let last = got.last().unwrap();
    assert!(last.time >= 4_000 * SLICE / 21 / 2, "{}", last.time);
}

#[test]
fn a_pause_is_not_saved_up() {
    let mut fair = Fair::new(1);
    // Lane 1 computes alone for a long time, then lane 2 appears.
    for _ in 0..1000 {
        assert_eq!(fair.ask(1, 100, 1), Entry::Run);
        fair.end(1, SLICE);
    }
    let mut turns = [0, 0];
    assert_eq!(fair.ask(1, 100, 1), Entry::Run);
    assert_eq!(fair.ask(2, 100, 2), Entry::RunBeyond, "it is owed its credit");
    fair.end(2, SLICE);
    fair.end(1, SLICE);
    for now in 0..100 {
        // Both always wait; the core decides.
        for lane in [1, 2] {
            if !fair.lanes[&lane].waiting.contains(&lane) {
                fair.lanes.get_mut(&lane).unwrap().waiting.push_back(lane);
                let clock = fair.lanes[&lane].clock;
                fair.ready.insert((clock, lane));
            }
        }
        let ticket = fair.next(now).unwrap();
        assert!(fair.pick_up(ticket));
        turns[ticket as usize - 1] += 1;
        fair.end(ticket, SLICE);
    }
    assert!(turns[1] - turns[0] <= CREDIT as i32 + 1, "{turns:?}");
}

#[test]
fn a_call_that_goes_leaves_nothing_behind() {
    let mut fair = Fair::new(1);
    assert_eq!(fair.ask(1, 100, 1), Entry::Run);
    assert_eq!(fair.ask(1, 100, 2), Entry::Wait);
    assert_eq!(fair.ask(2, 100, 3), Entry::Wait);
    assert_eq!(fair.waiting(), 2);
    assert!(fair.leave(1, 2), "from the queue");
    fair.end(1, SLICE);
    assert_eq!(fair.next(0), Some(3));
    assert_eq!(fair.running(), 1);
    assert!(fair.leave(2, 3), "with its grant");
    assert_eq!((fair.running(), fair.waiting(), fair.next(0)), (0, 0, None));
    assert!(!fair.leave(2, 3), "once");
}

#[test]
fn a_grant_that_nobody_picks_up_goes_to_the_next() {
    let mut fair = Fair::new(1);
    assert_eq!(fair.ask(1, 100, 1), Entry::Run);
    assert_eq!(fair.ask(1, 100, 2), Entry::Wait);
    assert_eq!(fair.ask(2, 100, 3), Entry::Wait);
    fair.end(1, SLICE);
    let first = fair.next(0).unwrap();
    assert_eq!(fair.lapse(LAPSE - 1), 0);
    assert_eq!(fair.next(LAPSE - 1), None);
    assert_eq!(fair.lapse(LAPSE), 1);
    let second = fair.next(LAPSE).unwrap();
    assert_ne!(first, second);
    assert!(!fair.pick_up(first), "too late");
    assert!(fair.pick_up(second));
}

#[test]
fn lanes_are_forgotten() {
    let mut fair = Fair::new(1);
    for lane in 0..3 * MAX_IDLE_LANES as u64 {
        assert_eq!(fair.ask(lane, 100, lane), Entry::Run);
        fair.end(lane, 5 * SLICE);
    }
    assert!(fair.lanes.len() <= MAX_IDLE_LANES + 1, "{}", fair.lanes.len());
}

#[test]
fn a_call_goes_on_until_another_tenant_is_to_be_served() {
    let mut fair = Fair::new(1);
    assert_eq!(fair.ask(1, 100, 1), Entry::Run);
    assert_eq!(fair.ask(1, 100, 2), Entry::Wait);
    assert!((0..100).all(|_| fair.go_on(1, SLICE)), "calls of its own tenant wait");
    assert_eq!(fair.ask(2, 100, 3), Entry::RunBeyond, "the core is not needed for it");
    assert!(fair.go_on(1, SLICE));
    assert_eq!(fair.ask(2, 100, 4), Entry::Wait);
    assert!(!fair.go_on(1, SLICE), "it waits with the smaller clock");
    assert_eq!(fair.running(), 2);
}
