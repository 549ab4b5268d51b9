//! The error reference says what the code says, and has a section for everything that can go wrong.

use super::*;

const PAGE: &str = include_str!("../../../docs/reference/errors.md");

/// Rows of the table whose first column has that head; links and code marks are taken off the first cell.
fn rows(head: &str) -> Vec<Vec<String>> {
    let table = PAGE.split_once(&format!("\n| {head} |")).unwrap_or_else(|| panic!("no table of {head}s")).1;
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let bare = |cell: &str| {
        let cell = cell.trim().replace('`', "");
        cell.strip_prefix('[').and_then(|link| link.split(']').next()).unwrap_or(&cell).to_owned()
    };
    let cells = |line: &str| line.trim_matches('|').split('|').map(bare).collect();
    lines.map(cells).collect()
}

/// A section says what it means, what to do and how a message reads.
fn check_section(name: &str) {
    let section =
        PAGE.split_once(&format!("\n### {name}\n")).unwrap_or_else(|| panic!("no section {name}")).1;
    let section = section.split("\n#").next().unwrap();
    let paragraphs: Vec<&str> =
        section.split("\n\n").map(str::trim).filter(|text| !text.is_empty()).collect();
    assert!(
        matches!(paragraphs.as_slice(), [_, todo, example] if todo.starts_with("**What to do.** ") && example.starts_with("> ")),
        "{name}: {paragraphs:?}"
    );
}

#[test]
fn the_reference_has_every_code_with_its_statuses() {
    let word = |yes| if yes { "yes" } else { "no" };
    let row = |code: ErrorCode| {
        let http = Problem::new(code, "").http_status().to_string();
        let cells = [
            code.as_str(),
            code.source().as_str(),
            code.grpc().as_str(),
            &http,
            word(code.retryable()),
            word(code.has_no_side_effects()),
        ];
        cells.map(str::to_owned).to_vec()
    };
    assert_eq!(rows("code"), ErrorCode::ALL.map(row));
    ErrorCode::ALL.iter().for_each(|code| check_section(code.as_str()));
}

#[test]
fn the_reference_has_every_limit_with_its_code() {
    let told: Vec<(String, String)> =
        rows("limit").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let known = LimitKind::ALL.map(|kind| (kind.as_str().to_owned(), kind.code().as_str().to_owned()));
    assert_eq!(told, known);
    LimitKind::ALL.iter().for_each(|kind| check_section(kind.as_str()));
}

/// A list that is written by hand can forget; the compiler counts what a match on all variants would name.
#[test]
fn lists_are_whole() {
    let is_ordered = |numbers: Vec<usize>| numbers.iter().zip(0..).all(|(number, place)| *number == place);
    assert!(is_ordered(ErrorCode::ALL.map(|code| code as usize).to_vec()));
    assert!(is_ordered(LimitKind::ALL.map(|kind| kind as usize).to_vec()));
    assert_eq!(ErrorCode::HostFault as usize + 1, ErrorCode::ALL.len());
    assert_eq!(LimitKind::KeyValueBytes as usize + 1, LimitKind::ALL.len());
}

#[test]
fn the_source_of_a_deadline_is_who_took_too_long() {
    let check = |problem: Problem, expected: &str| {
        let shown = serde_json::to_value(&problem).unwrap();
        assert_eq!((shown["source"].as_str(), problem.http_status()), (Some(expected), 504));
    };
    check(Problem::new(ErrorCode::DeadlineExceeded, "late"), "client");
    check(Problem::limit(LimitKind::WallTime, 5, "slow"), "guest");
}
