//! Which imports are offered, and what to say about the others.
//!
//! A component is judged by the names it imports before anything of it is compiled: wasmtime's own words for a missing
//! import name neither its version nor a way out.

use lockgate_domain::{ErrorCode, Problem};

use super::{http, wasi};
use crate::component::GrantedBy;
use crate::log::escape;

/// Version of the contract that this host offers; executors built for any 0.1.x fit.
pub(crate) const CONTRACT_VERSION: &str = "0.1.2";
/// The interface that every executor exports, without its version.
pub(crate) const EXECUTOR: &str = "lockgate:executor/executor";

const PACKAGE: &str = "lockgate:executor";
pub(super) const WASI_VERSION: &str = "0.2.12";
const MAX_NAME_BYTES: usize = 128;

/// Functions of the contract's interfaces, by interface.
const CONTRACT: &[(&str, &[&str])] = &[
    ("types", &[]),
    (
        "docs",
        &[
            "len",
            "total",
            "columns",
            "get-text",
            "set-text",
            "get-text-packed",
            "set-text-packed",
            "get-bytes",
            "set-bytes",
            "get-bytes-range",
            "get-integer",
            "set-integer",
            "get-number",
            "set-number",
            "get-boolean",
            "set-boolean",
            "get-json",
            "set-json",
            "get-tensor",
            "set-tensor",
            "get-stacked",
            "set-stacked",
            "get-link",
            "set-link",
            "append",
            "select",
            "emit",
        ],
    ),
    (
        "request",
        &["id", "header", "parameters", "parameter", "remaining", "cancelled", "inputs", "set-results"],
    ),
    ("host", &["log", "record-metric", "configuration", "configured"]),
    ("key-value", &["get", "set", "delete", "keys"]),
];

/// What becomes of one import.
#[derive(Debug)]
pub(crate) enum Offered {
    /// it is in the linker
    Yes(GrantedBy),
    /// it is not, and why
    No(Problem),
}

/// The full name of an interface of the contract.
pub(super) fn contract(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{CONTRACT_VERSION}")
}

/// Functions that the host has in an interface of the contract; none for other interfaces.
pub(crate) fn functions_of(import: &str) -> Option<&'static [&'static str]> {
    let name = Name::parse(import)?;
    if name.package != PACKAGE {
        return None;
    }
    CONTRACT.iter().find(|(interface, _)| *interface == name.interface).map(|(_, functions)| *functions)
}

/// Says whether an import is offered.
pub(crate) fn judge(import: &str) -> Offered {
    let shown = escape(import, MAX_NAME_BYTES);
    let Some(name) = Name::parse(import) else {
        let problem = Problem::new(
            ErrorCode::InvalidComponent,
            format!("the component imports {shown:?}, which is no interface of a package"),
        );
        return Offered::No(problem.with_hint(
            "build it for the world `lockgate:executor/executor-world`, for example with `lockgate build`",
        ));
    };
    let offered = offered_version(&name);
    match offered {
        Some((version, by)) if name.fits(version) => Offered::Yes(by),
        Some((version, _)) => Offered::No(
            Problem::new(
                ErrorCode::InvalidComponent,
                format!("the component imports {shown}, this host offers version {version} of it"),
            )
            .with_hint("rebuild it with the SDK of this host's version, or upgrade the host"),
        ),
        None => Offered::No(refusal(&name, &shown)),
    }
}

fn offered_version(name: &Name<'_>) -> Option<(&'static str, GrantedBy)> {
    let has = |interfaces: &[(&str, &[&str])], package: &str| {
        interfaces.iter().any(|(owner, names)| *owner == package && names.contains(&name.interface))
    };
    if name.package == PACKAGE && CONTRACT.iter().any(|(interface, _)| *interface == name.interface) {
        return Some((CONTRACT_VERSION, GrantedBy::Lockgate));
    }
    let is_wasi = has(wasi::INTERFACES, name.package) || has(http::INTERFACES, name.package);
    is_wasi.then_some((WASI_VERSION, GrantedBy::Wasi))
}

fn refusal(name: &Name<'_>, shown: &str) -> Problem {
    let message = format!("the component imports {shown}, which this host does not grant");
    match name.package {
        "wasi:sockets" => Problem::new(ErrorCode::CapabilityDenied, message).with_hint(
            "executors have no sockets, only `wasi:http/outgoing-handler` where it is granted; a Python component \
             imports this by default: build it with `componentize-py ... --stub-wasi`",
        ),
        package if package.starts_with("wasi:") => {
            let hint =
                format!("the nearest interface offered is {}; build without this import", nearest(name));
            Problem::new(ErrorCode::CapabilityDenied, message).with_hint(hint)
        }
        _ => Problem::new(
            ErrorCode::InvalidComponent,
            format!("the component imports {shown}, which does not exist here"),
        )
        .with_hint(format!("the nearest interface offered is {}", nearest(name))),
    }
}

fn nearest(name: &Name<'_>) -> String {
    let ours = CONTRACT.iter().map(|(interface, _)| format!("{PACKAGE}/{interface}@{CONTRACT_VERSION}"));
    let wasi = wasi::INTERFACES.iter().chain(http::INTERFACES).flat_map(|(package, interfaces)| {
        interfaces.iter().map(move |interface| format!("{package}/{interface}@{WASI_VERSION}"))
    });
    let wanted = format!("{}/{}", name.package, name.interface);
    let score = |candidate: &String| (strsim::jaro_winkler(candidate, &wanted) * 1e6) as u64;
    ours.chain(wasi).max_by_key(score).unwrap_or_default()
}

/// `package/interface@version`
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn parse(import: &'a str) -> Option<Self> {
        let (path, version) = match import.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (import, None),
        };
        let (package, interface) = path.split_once('/')?;
        package.contains(':').then_some(Self { package, interface, version })
    }

    /// Whether wasmtime links this import to `offered`: same major version, and for 0.x the same minor.
    fn fits(&self, offered: &str) -> bool {
        fn track(version: &str) -> Option<&str> {
            if version.contains('-') {
                return Some(version);
            }
            let mut dots = version.match_indices('.').map(|(index, _)| index);
            let (first, second) = (dots.next()?, dots.next()?);
            if version.starts_with("0.") { version.get(..second) } else { version.get(..first) }
        }
        self.version.and_then(track).is_some_and(|wanted| Some(wanted) == track(offered))
    }
}
