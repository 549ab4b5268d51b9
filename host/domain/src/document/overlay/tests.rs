//! The overlay natively: what a guest may write, and what becomes of it.

use super::*;
use crate::document::DocumentListBuilder;

fn list(texts: &[&str]) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for text in texts {
        let row = builder.push_root().unwrap();
        builder.set_text("id", row, &format!("id{row}")).unwrap();
        builder.set_text("text", row, text).unwrap();
    }
    builder.finish().unwrap()
}

fn overlay(texts: &[&str]) -> Overlay {
    Overlay::new(list(texts), &Limits::default())
}

fn texts(list: &DocumentList) -> Vec<Option<&str>> {
    (0..list.total()).map(|row| list.text("text", row)).collect()
}

#[test]
fn untouched_columns_are_shared() {
    let mut overlay = overlay(&["a", "b"]);
    let base = overlay.base().clone();
    overlay.set_number("weight", 0, vec![Some(1.0), None]).unwrap();
    let reply = overlay.commit().unwrap();
    let data = |list: &DocumentList| match list.column("text").unwrap().values() {
        Values::Text(column) => Arc::as_ptr(column.parts().0),
        _ => panic!("text"),
    };
    assert_eq!(data(&base), data(&reply));
    assert_eq!(base.columns().len(), 2, "the request's list is as it was");
}

#[test]
fn a_packed_write_is_read_back_without_a_copy() {
    let mut overlay = overlay(&["a", "b"]);
    overlay.set_text_packed("text", 0, "AB".into(), vec![1, 2], vec![]).unwrap();
    let first = overlay.get_text_packed("text", 0, 2).unwrap();
    let second = overlay.get_text_packed("text", 0, 2).unwrap();
    assert!(Arc::ptr_eq(&first.data, &second.data));
    assert_eq!(overlay.get_text("text", 1, 1).unwrap(), [Some("B".to_owned())]);
}

#[test]
fn rows_can_be_written_one_by_one() {
    let mut overlay = overlay(&["a", "b", "c"]);
    overlay.set_text("text", 2, vec![Some("C".into())]).unwrap();
    overlay.set_text("text", 0, vec![None]).unwrap();
    assert_eq!(overlay.get_text_packed("text", 1, 2).unwrap().data.as_str(), "bC");
    assert_eq!(texts(&overlay.commit().unwrap()), [None, Some("b"), Some("C")]);
}

#[test]
fn appended_rows_live_if_something_reaches_them() {
    let mut overlay = overlay(&["a", "b"]);
    let first = overlay.append(3).unwrap();
    assert_eq!((first, overlay.len(), overlay.total()), (2, 2, 5));
    overlay.set_text("text", first, vec![Some("x".into()), Some("y".into()), Some("z".into())]).unwrap();
    overlay.set_link("chunks", 1, vec![vec![3, 2]]).unwrap();
    let reply = overlay.commit().unwrap();
    assert_eq!((reply.len(), reply.total()), (2, 4));
    assert_eq!(reply.links("chunks", 1), [2, 3]);
    assert_eq!(texts(&reply), [Some("a"), Some("b"), Some("y"), Some("x")]);
    assert_eq!(reply.text("id", 2).map(str::len), Some(32));
}

#[test]
fn select_reorders_drops_and_copies() {
    let check = |rows: Vec<u32>, expected: &[&str]| {
        let mut overlay = overlay(&["a", "b", "c"]);
        overlay.select(rows).unwrap();
        let reply = overlay.commit().unwrap();
        assert_eq!(texts(&reply), expected.iter().map(|text| Some(*text)).collect::<Vec<_>>());
    };
    check(vec![2, 0], &["c", "a"]);
    check(vec![], &[]);
    check(vec![1, 1], &["b", "b"]);
    check(vec![0, 1, 2], &["a", "b", "c"]);
}

#[test]
fn refuses_what_the_contract_refuses() {
    fn check<T: std::fmt::Debug + PartialEq>(
        expected: AccessError,
        act: impl FnOnce(&mut Overlay) -> Access<T>,
    ) {
        let mut overlay = Overlay::new(
            list(&["a", "b"]),
            &Limits { written_bytes: 1000, documents: 10, columns: 4, ..Limits::default() },
        );
        assert_eq!(act(&mut overlay), Err(expected));
        assert_eq!(texts(&overlay.commit().unwrap()), [Some("a"), Some("b")]);
    }
    use AccessError::{Invalid, OutOfRange, TooLarge, WrongKind};
    check(OutOfRange, |o| o.get_text("text", 1, 2));
    check(OutOfRange, |o| o.get_text("text", u32::MAX, 2));
    check(OutOfRange, |o| o.set_number("n", 2, vec![Some(1.0)]));
    check(OutOfRange, |o| o.set_link("chunks", 0, vec![vec![2]]));
    check(OutOfRange, |o| o.select(vec![0, 2]));
    check(WrongKind, |o| o.get_number("text", 0, 1));
    check(WrongKind, |o| o.set_number("text", 0, vec![Some(1.0)]));
    check(WrongKind, |o| o.set_text("embedding", 0, vec![Some("x".into())]));
    check(WrongKind, |o| o.get_stacked("embedding", 0, 2));
    check(Invalid, |o| o.set_json("tags", 0, vec![Some("{".into())]));
    check(Invalid, |o| o.set_text_packed("text", 0, "é".into(), vec![1, 2], vec![]));
    check(Invalid, |o| o.set_text("", 0, vec![None]));
    check(Invalid, |o| o.set_results("[1]"));
    check(TooLarge, |o| o.set_results(&format!("{{\"a\": {}1{}}}", "[".repeat(30), "]".repeat(30))));
    check(TooLarge, |o| o.set_results(&format!("{{\"a\": \"{}\"}}", "x".repeat(300))));
    check(TooLarge, |o| {
        // Each time counts, for each was checked.
        o.set_results("{}")?;
        o.set_results("{}")
    });
    check(TooLarge, |o| o.set_text("text", 0, vec![Some("x".repeat(1000))]));
    check(TooLarge, |o| o.append(9));
    check(TooLarge, |o| o.append(u32::MAX));
    check(TooLarge, |o| {
        o.set_text("x", 0, vec![None])?;
        o.set_text("y", 0, vec![None])?;
        o.set_text("z", 0, vec![None])
    });
}

#[test]
fn the_last_results_that_were_taken_are_given() {
    let mut overlay = overlay(&["a"]);
    assert_eq!(overlay.take_results(), None);
    overlay.set_results(r#"{"n": 1}"#).unwrap();
    overlay.set_results(r#"{"n": 2}"#).unwrap();
    assert_eq!(overlay.set_results("{\"n\": "), Err(AccessError::Invalid));
    assert!(overlay.written() > 0);
    let given = overlay.take_results().unwrap();
    assert_eq!(given.object().get("n"), Some(&serde_json::json!(2)));
    assert_eq!(texts(&overlay.commit().unwrap()), [Some("a")]);
}

#[test]
fn a_field_of_one_document_stays_one() {
    let check = |targets: Vec<u32>, expected: bool| {
        let mut builder = DocumentListBuilder::new(Limits::default());
        let root = builder.push_root().unwrap();
        let child = builder.push_nested().unwrap();
        builder.set_links("child", root, vec![child], true).unwrap();
        let mut overlay = Overlay::new(builder.finish().unwrap(), &Limits::default());
        overlay.append(1).unwrap();
        overlay.set_link("child", 0, vec![targets]).unwrap();
        let reply = overlay.commit().unwrap();
        let is_single = match reply.column("child").unwrap().values() {
            Values::Link(links) => links.is_single(),
            _ => panic!("links"),
        };
        assert_eq!(is_single, expected);
    };
    check(vec![2], true);
    check(vec![], true);
    check(vec![1, 2], false);
}

#[test]
fn hostile_links_end_in_an_error() {
    let mut cycle = overlay(&["a"]);
    cycle.append(2).unwrap();
    cycle.set_link("chunks", 0, vec![vec![1], vec![2], vec![1]]).unwrap();
    assert_eq!(cycle.commit(), Err(ArrangeError::TooDeep { limit: Limits::NESTING }));

    let mut diamonds = overlay(&["a"]);
    diamonds.append(30).unwrap();
    diamonds.set_link("chunks", 0, (1..31).map(|next| vec![next, next]).collect()).unwrap();
    assert_eq!(diamonds.commit(), Err(ArrangeError::TooManyDocuments { limit: Limits::default().documents }));
}

/// The reply may not be much larger than what a call may write, however little of it the call wrote itself.
#[test]
fn names_copies_and_dimensions_count_as_written() {
    let check = |act: &dyn Fn(&mut Overlay), fits: bool| {
        let limits = Limits { written_bytes: 10_000, ..Limits::default() };
        let mut overlay = Overlay::new(list(&["a", &"b".repeat(1000)]), &limits);
        act(&mut overlay);
        let reply = overlay.commit();
        let expected = (!fits).then_some(ArrangeError::TooManyBytes { limit: 10_000 });
        assert_eq!(reply.err(), expected);
    };
    let long = "n".repeat(255);
    let empty_texts = |overlay: &mut Overlay, name: &str| {
        overlay.append(100).unwrap();
        overlay.set_link("chunks", 0, vec![(2..102).collect()]).unwrap();
        overlay.set_text_packed(name, 0, String::new(), vec![0; 102], vec![]).unwrap();
    };
    check(&|overlay| empty_texts(overlay, "n"), true);
    check(&|overlay| empty_texts(overlay, &long), false);
    check(&|overlay| overlay.select(vec![1; 9]).unwrap(), true);
    check(&|overlay| overlay.select(vec![1; 12]).unwrap(), false);
    check(&|overlay| overlay.select(vec![0, 1]).unwrap(), true);

    let mut flat = overlay(&["a", "b"]);
    flat.limits.written_bytes = 1000;
    let tensor =
        |shape: Vec<u32>| Tensor::new(crate::document::DType::Uint8, shape, vec![0; 200].into()).unwrap();
    flat.set_stacked("flat", 0, tensor(vec![2, 100])).unwrap();
    let mut shape = vec![1; 32];
    (shape[0], shape[1]) = (2, 100);
    assert_eq!(flat.set_stacked("deep", 0, tensor(shape)), Err(AccessError::TooLarge));
}

#[test]
fn a_snapshot_leaves_the_call_going_on() {
    let mut overlay = overlay(&["a", "b"]);
    overlay.set_text("text", 1, vec![Some("B".into())]).unwrap();
    let emitted = overlay.snapshot(&[1]).unwrap();
    overlay.set_text("text", 1, vec![Some("BB".into())]).unwrap();
    assert_eq!(texts(&emitted), [Some("B")]);
    assert_eq!(texts(&overlay.commit().unwrap()), [Some("a"), Some("BB")]);
}

/// A snapshot looks at some rows only; it must be what a call that ended now with these rows selected would answer.
#[test]
fn a_snapshot_is_what_a_commit_of_its_rows_would_be() {
    let written = || {
        let mut builder = DocumentListBuilder::new(Limits::default());
        let (a, b) = (builder.push_root().unwrap(), builder.push_root().unwrap());
        let nested = builder.push_nested().unwrap();
        for (row, text) in [(a, "a"), (b, "b"), (nested, "n")] {
            builder.set_text("id", row, text).unwrap();
            builder.set_text("text", row, text).unwrap();
        }
        builder.set_links("matches", b, vec![nested], false).unwrap();
        builder.set_links("child", a, vec![nested], true).unwrap();
        let mut overlay = Overlay::new(builder.finish().unwrap(), &Limits::default());
        let first = overlay.append(3).unwrap();
        overlay.set_text("id", first, ["p", "q", "r"].map(|id| Some(id.to_owned())).to_vec()).unwrap();
        overlay.set_text("text", 1, vec![Some("B".into()), None]).unwrap();
        overlay.set_json("tags", first, vec![Some("{}".into()), None, Some("[1]".into())]).unwrap();
        overlay.set_number("weight", first + 1, vec![Some(0.5)]).unwrap();
        overlay.set_tensor("embedding", 0, vec![Some(Tensor::from_f32(&[1.0])), None]).unwrap();
        overlay.set_link("chunks", a, vec![vec![first, first + 1], vec![first]]).unwrap();
        overlay.set_link("chunks", first, vec![vec![first + 2, 2]]).unwrap();
        overlay
    };
    let check = |rows: &[u32]| {
        let overlay = written();
        let snapshot = overlay.snapshot(rows).unwrap();
        let mut overlay = overlay;
        overlay.select(rows.to_vec()).unwrap();
        let committed = overlay.commit().unwrap();
        assert_eq!(snapshot, committed, "{rows:?}");
        assert_eq!((snapshot.len(), snapshot.total()), (committed.len(), committed.total()), "{rows:?}");
        assert_eq!(snapshot.columns().len(), committed.columns().len(), "{rows:?}");
        let single = |list: &DocumentList| {
            let links = list.columns().iter().filter_map(|column| match column.values() {
                Values::Link(links) => Some((column.name().to_owned(), links.is_single())),
                _ => None,
            });
            links.collect::<Vec<_>>()
        };
        assert_eq!(single(&snapshot), single(&committed), "{rows:?}");
    };
    check(&[]);
    for row in 0..7 {
        check(&[row]);
    }
    check(&[0, 1]);
    check(&[5, 3, 0]);
    check(&[1, 1]);
    check(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(written().snapshot(&[7]), Err(ArrangeError::NoSuchRow { row: 7 }));

    let mut cycle = overlay(&["a"]);
    cycle.append(2).unwrap();
    cycle.set_link("chunks", 0, vec![vec![1], vec![0]]).unwrap();
    assert_eq!(cycle.snapshot(&[0]), Err(ArrangeError::TooDeep { limit: Limits::NESTING }));
}

#[test]
fn stacked_tensors_can_be_opened_row_by_row() {
    let mut overlay = overlay(&["a", "b"]);
    let rows = [Tensor::from_f32(&[1.0, 2.0]), Tensor::from_f32(&[3.0, 4.0])];
    let stacked = Tensor::new(
        crate::document::DType::Float32,
        vec![2, 2],
        rows.iter().flat_map(|t| t.data().to_vec()).collect::<Vec<u8>>().into(),
    );
    overlay.set_stacked("embedding", 0, stacked.unwrap()).unwrap();
    assert_eq!(overlay.get_tensor("embedding", 1, 1).unwrap(), [Some(rows[1].clone())]);
    overlay.set_tensor("embedding", 0, vec![Some(rows[1].clone())]).unwrap();
    let stacked = overlay.get_stacked("embedding", 0, 2).unwrap();
    assert_eq!(stacked.data()[..8], stacked.data()[8..]);
}
