//! A queue and a clock that is a number.

use std::collections::BTreeSet;

use lockgate_domain::document::DocumentListBuilder;
use proptest::prelude::*;

use super::*;
use crate::batching::tests::{RULE, list};

fn key(parameters: &str) -> Key {
    Key {
        tenant: TenantName::local(),
        endpoint: EndpointName::parse("/x").unwrap(),
        parameters: parameters.into(),
        sticky: None,
    }
}

/// A queue under test; batches are known by their numbers.
struct Stand {
    queues: Queues<u32, u64>,
    start: Instant,
    tickets: BTreeMap<u32, Ticket>,
    log: Vec<String>,
}

impl Stand {
    fn new() -> Self {
        Self { queues: Queues::default(), start: Instant::now(), tickets: BTreeMap::new(), log: Vec::new() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn enter(&mut self, ms: u64, name: u32, documents: &DocumentList, bytes: u64, deadline: Option<u64>) {
        let deadline = deadline.map(|deadline| self.at(deadline));
        let arrival = Arrival { documents, bytes, now: self.at(ms), deadline };
        let entered =
            self.queues.enter(key(""), &arrival, &RULE, &Limits::default(), name, |_, number| number);
        match entered {
            None => self.log.push(format!("{name} refused")),
            Some(entered) => {
                self.tickets.insert(name, entered.ticket);
                entered.closed.into_iter().for_each(|(_, closed)| self.sent(closed));
            }
        }
    }

    fn sent(&mut self, closed: Closed<u32>) {
        let Closed { members, documents, reason, .. } = closed;
        self.log.push(format!("{members:?} {documents} {}", reason.as_str()));
    }

    fn due(&mut self, ms: u64, name: u32) {
        let (key, batch) = (self.tickets[&name].key.clone(), self.tickets[&name].batch);
        match self.queues.due(&key, batch, self.at(ms)) {
            Due::Now(closed) => self.sent(closed),
            Due::At(then) => self.log.push(format!("at {}", (then - self.start).as_millis())),
            Due::Gone => self.log.push("gone".into()),
        }
    }

    fn leave(&mut self, name: u32) {
        let (member, handle) = self.queues.leave(&self.tickets[&name]);
        let is_last = if handle.is_some() { " and the batch" } else { "" };
        self.log
            .push(member.map_or_else(|| "nobody left".into(), |member| format!("{member} left{is_last}")));
    }
}

fn check_queue(script: impl FnOnce(&mut Stand), expected: &[&str]) {
    let mut stand = Stand::new();
    script(&mut stand);
    assert_eq!(stand.log, expected);
}

#[test]
fn batches_are_sent_when_there_is_enough_or_time_is_up() {
    let one = &list(&["1"]);
    let three = &list(&["1", "2", "3"]);
    check_queue(
        |stand| {
            stand.enter(0, 1, one, 1, None);
            stand.enter(10, 2, three, 1, None);
            stand.enter(20, 3, three, 1, None);
            stand.due(69, 3);
            stand.due(70, 3);
            stand.due(70, 3);
        },
        &["[1, 2] 4 size", "at 70", "[3] 3 timeout", "gone"],
    );
    check_queue(
        |stand| {
            stand.enter(0, 1, one, 60, None);
            stand.enter(0, 2, one, 40, None);
        },
        &["[1, 2] 2 bytes"],
    );
    // Half of the time that is left, unless the timeout is sooner.
    check_queue(
        |stand| {
            stand.enter(0, 1, one, 1, None);
            stand.enter(4, 2, one, 1, Some(24));
            stand.due(13, 1);
            stand.due(14, 1);
            stand.enter(20, 3, one, 1, Some(1000));
            stand.due(20, 3);
        },
        &["at 14", "[1, 2] 2 deadline", "at 70"],
    );
    // A deadline that is over waits for nobody.
    check_queue(
        |stand| {
            stand.enter(10, 1, one, 1, Some(5));
            stand.due(10, 1);
        },
        &["[1] 1 deadline"],
    );
}

#[test]
fn who_leaves_takes_its_documents_along() {
    let one = &list(&["1"]);
    let three = &list(&["1", "2", "3"]);
    check_queue(
        |stand| {
            stand.enter(0, 1, three, 1, None);
            stand.enter(10, 2, one, 1, None);
            stand.leave(1);
            stand.enter(20, 3, three, 1, None);
            stand.enter(30, 4, one, 1, None);
            stand.leave(4);
            stand.leave(4);
            stand.enter(40, 5, one, 1, None);
            stand.leave(5);
        },
        // The first one's leaving came too late.
        &[
            "[1, 2] 4 size",
            "nobody left",
            "[3, 4] 4 size",
            "nobody left",
            "nobody left",
            "5 left and the batch",
        ],
    );
    check_queue(
        |stand| {
            stand.enter(0, 1, one, 1, None);
            stand.enter(10, 2, one, 1, None);
            stand.leave(1);
            stand.due(50, 2);
            stand.due(60, 2);
        },
        &["1 left", "at 60", "[2] 1 timeout"],
    );
}

#[test]
fn no_more_wait_than_may_and_none_while_draining() {
    let none = &list(&[]);
    let one = &list(&["1"]);
    check_queue(
        |stand| {
            (0..6).for_each(|name| stand.enter(0, name, none, 0, None));
            stand.leave(0);
            stand.enter(0, 6, none, 0, None);
            for (_, closed) in stand.queues.drain() {
                stand.sent(closed);
            }
            stand.enter(0, 7, one, 0, None);
            assert_eq!(stand.queues.waiting(), 0);
        },
        &["5 refused", "0 left", "[1, 2, 3, 4, 6] 0 drain", "[7] 1 drain"],
    );
}

#[test]
fn documents_that_fit_no_common_list_do_not_wait_together() {
    let tagged = |value: &dyn Fn(&mut DocumentListBuilder, u32)| {
        let mut builder = DocumentListBuilder::new(Limits::default());
        let row = builder.push_root().unwrap();
        value(&mut builder, row);
        builder.finish().unwrap()
    };
    let number = tagged(&|builder, row| builder.set_number("price", row, 1.5).unwrap());
    let integer = tagged(&|builder, row| builder.set_integer("price", row, 1).unwrap());
    let hinted = tagged(&|builder, row| {
        builder.set_number("price", row, 1.5).unwrap();
        builder.set_hint("price", &Arc::from("money"));
    });
    let other = tagged(&|builder, row| builder.set_text("text", row, "x").unwrap());
    check_queue(
        |stand| {
            stand.enter(0, 1, &number, 1, None);
            stand.enter(0, 2, &other, 1, None);
            stand.enter(0, 3, &integer, 1, None);
            stand.enter(0, 4, &number, 1, None);
            stand.enter(0, 5, &hinted, 1, None);
        },
        &["[1, 2] 2 misfit", "[3] 1 misfit", "[4] 1 misfit"],
    );
}

#[derive(Debug, Clone)]
enum Event {
    Enter { documents: u32, bytes: u64, parameters: u8, deadline: Option<u64> },
    Leave(prop::sample::Index),
    Tick(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u32..6, 0u64..60, 0u8..3, prop::option::of(0u64..200)).prop_map(
            |(documents, bytes, parameters, deadline)| Event::Enter { documents, bytes, parameters, deadline }
        ),
        1 => any::<prop::sample::Index>().prop_map(Event::Leave),
        2 => (0u64..40).prop_map(Event::Tick),
    ]
}

proptest! {
    /// Each request that got in leaves once: sent, or by itself; never more wait than may, and none beyond its time.
    #[test]
    fn every_request_leaves_once(events in prop::collection::vec(event(), 0..120)) {
        let (mut queues, start, mut ms) = (Queues::<u32, u64>::default(), Instant::now(), 0);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut inside: BTreeMap<u32, (Ticket, u64)> = BTreeMap::new();
        let (mut entered, mut sent) = (0u32, BTreeSet::new());
        let mut send = |closed: Closed<u32>, inside: &mut BTreeMap<u32, (Ticket, u64)>| {
            for name in closed.members {
                assert!(inside.remove(&name).is_some() && sent.insert(name), "{name} was sent twice");
            }
        };
        for event in events {
            match event {
                Event::Enter { documents, bytes, parameters, deadline } => {
                    let names: Vec<String> = (0..documents).map(|row| row.to_string()).collect();
                    let documents = list(&names.iter().map(String::as_str).collect::<Vec<_>>());
                    let deadline_at = deadline.map(|wait| at(ms + wait));
                    let arrival = Arrival { documents: &documents, bytes, now: at(ms), deadline: deadline_at };
                    let key = key(&parameters.to_string());
                    let was = queues.waiting();
                    let place = queues.enter(key, &arrival, &RULE, &Limits::default(), entered, |_, number| number);
                    prop_assert_eq!(place.is_none(), was >= RULE.max_waiting);
                    if let Some(place) = place {
                        let latest = ms + deadline.map_or(50, |wait| (wait / 2).min(50));
                        inside.insert(entered, (place.ticket, latest));
                        entered += 1;
                        place.closed.into_iter().for_each(|(_, closed)| send(closed, &mut inside));
                    }
                }
                Event::Leave(index) if !inside.is_empty() => {
                    let names: Vec<u32> = inside.keys().copied().collect();
                    let name = *index.get(&names);
                    let (ticket, _) = inside.remove(&name).unwrap();
                    prop_assert_eq!(queues.leave(&ticket).0, Some(name));
                }
                Event::Leave(_) => {}
                Event::Tick(by) => {
                    ms += by;
                    let batches: BTreeMap<u64, Arc<Key>> =
                        inside.values().map(|(ticket, _)| (ticket.batch, ticket.key.clone())).collect();
                    for (batch, key) in batches {
                        match queues.due(&key, batch, at(ms)) {
                            Due::Now(closed) => send(closed, &mut inside),
                            Due::At(then) => prop_assert!(then > at(ms)),
                            Due::Gone => prop_assert!(false, "a batch was lost"),
                        }
                    }
                    prop_assert!(inside.values().all(|(_, latest)| *latest + 1 > ms));
                }
            }
            prop_assert!(queues.waiting() <= RULE.max_waiting);
            prop_assert_eq!(queues.waiting() as usize, inside.len());
        }
        queues.drain().into_iter().for_each(|(_, closed)| send(closed, &mut inside));
        prop_assert!(inside.is_empty() && queues.waiting() == 0);
    }
}
