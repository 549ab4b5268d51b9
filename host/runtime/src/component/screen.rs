//! The static pass: what the bytes are, and whether they are worth compiling.
//!
//! The compiler is not made for hostile input: time and memory per function grow faster than its size. So sizes and
//! counts are bounded here, far below what the format allows and well above what any toolchain makes, by one walk over
//! the sections that allocates next to nothing.

mod nesting;

use lockgate_domain::{ErrorCode, LimitKind, Problem};
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentTypeRef, Encoding, FunctionBody,
    MemoryType, Operator, Parser, Payload,
};

use super::describe::LIMITS;
use crate::log::escape;

/// Nested components and modules.
const MAX_DEPTH: usize = 16;
/// Core modules and nested components in all.
const MAX_PARTS: u64 = 512;
/// Entries of all sections together: types, imports, exports, aliases, segments ...
const MAX_ENTRIES: u64 = 500_000;
/// Types in all, of both kinds.
const MAX_TYPES: u64 = 50_000;
/// Imports and exports of core modules in all.
const MAX_LINKS: u64 = 50_000;
/// Bytes of an import's or export's name.
const MAX_NAME_BYTES: usize = 512;
/// Types within types.
const MAX_TYPE_NESTING: usize = 64;
/// Functions in all.
const MAX_FUNCTIONS: u64 = 150_000;
/// Bytes of one function's body.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Locals of one function.
const MAX_LOCALS: u64 = 20_000;
/// Blocks within blocks in one function.
const MAX_NESTING: usize = 10_000;
/// Branch targets of one function, all jump tables together.
const MAX_TARGETS: u64 = 500_000;
/// Branches and blocks of one function.
const MAX_BRANCHES: u64 = 60_000;
/// Branches and blocks times locals of one function: what the compiler's memory grows with.
const MAX_FLOW: u64 = 20_000_000;
/// Imports and exports of the component itself.
const MAX_NAMES: usize = 1000;

/// What the outermost component asks for and gives.
#[derive(Debug, Default)]
pub(super) struct Screened {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

/// Checks bytes of a stranger without running or compiling anything.
pub(super) fn screen(bytes: &[u8]) -> Result<Screened, Problem> {
    check_header(bytes)?;
    let mut pass = Pass { bytes, ..Pass::default() };
    for payload in Parser::new(0).parse_all(bytes) {
        pass.payload(payload.map_err(malformed)?).map_err(|refusal| match refusal {
            Refusal::Malformed(error) => malformed(error),
            Refusal::Problem(problem) => problem,
        })?;
    }
    if pass.depth > 0 {
        return Err(
            invalid("the component ends in the middle of a part".into()).with_hint("build or copy it again")
        );
    }
    Ok(pass.screened)
}

// === the header ===

fn check_header(bytes: &[u8]) -> Result<(), Problem> {
    if bytes.is_empty() {
        return Err(invalid("the component is empty".into()));
    }
    if !bytes.starts_with(b"\0asm") {
        let text = bytes.iter().take(64).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        let hint = if text && bytes.trim_ascii_start().starts_with(b"(") {
            "this looks like the text format: run `wasm-tools parse` on it first"
        } else if text {
            "this looks like a source file: build it first, for example with `lockgate build`"
        } else {
            "a component starts with the four bytes 00 61 73 6d"
        };
        return Err(invalid("these bytes are no WebAssembly".into()).with_hint(hint));
    }
    match bytes.get(4..8) {
        Some([0x0d, 0, 1, 0]) => Ok(()),
        Some([1, 0, 0, 0]) => Err(core_module(bytes)),
        Some([version, _, 1, 0]) => {
            Err(invalid(format!("the component has encoding version {version}, this host reads version 13"))
                .with_hint("it comes from an older or newer toolchain: rebuild it with a current one"))
        }
        Some(_) => Err(invalid("the WebAssembly version is not one this host reads".into())),
        None => Err(invalid(format!("the component is cut off after {} bytes", bytes.len()))
            .with_hint("build or copy it again")),
    }
}

/// A core module: which command makes a component of it depends on what it imports.
fn core_module(bytes: &[u8]) -> Problem {
    let mut is_wasip1 = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        if let Payload::ImportSection(imports) = payload {
            is_wasip1 =
                imports.into_imports().flatten().any(|import| import.module == "wasi_snapshot_preview1");
            break;
        }
    }
    if is_wasip1 {
        invalid("this is a core module for wasip1, not a component".into()).with_hint(
            "build it for the target wasm32-wasip2, or run `wasm-tools component new in.wasm --adapt \
             wasi_snapshot_preview1=wasi_snapshot_preview1.reactor.wasm -o out.wasm`",
        )
    } else {
        invalid("this is a core module, not a component".into())
            .with_hint("run `wasm-tools component new in.wasm -o out.wasm`, or build it for wasm32-wasip2")
    }
}

// === the walk ===

#[derive(Default)]
struct Pass<'a> {
    bytes: &'a [u8],
    screened: Screened,
    depth: usize,
    parts: u64,
    entries: u64,
    types: u64,
    links: u64,
    functions: u64,
    memory: u64,
}

enum Refusal {
    Malformed(BinaryReaderError),
    Problem(Problem),
}

impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Self {
        Self::Malformed(error)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Pass<'_> {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding, .. } => return Ok(self.part(encoding)?),
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionStart { count, .. } => {
                self.functions += u64::from(count);
                bound("functions", self.functions, MAX_FUNCTIONS)?;
            }
            Payload::CodeSectionEntry(body) => self.function(&body)?,
            Payload::ComponentImportSection(section) => {
                self.entries(section.count())?;
                for import in section {
                    let import = import?;
                    self.import(import.name.name, &import.ty)?;
                }
            }
            Payload::ComponentExportSection(section) => {
                self.entries(section.count())?;
                for export in section {
                    self.export(export?.name.name)?;
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                self.entries(section.count())?;
                for function in section {
                    canonical(&function?)?;
                }
            }
            Payload::ComponentTypeSection(section) => {
                self.types(section.count())?;
                let depth = nesting::depth(self.bytes, section.range(), MAX_TYPE_NESTING)?;
                bound("types within types", depth as u64, MAX_TYPE_NESTING as u64)?;
            }
            Payload::CoreTypeSection(section) => self.types(section.count())?,
            Payload::TypeSection(section) => self.types(section.count())?,
            Payload::ImportSection(section) => self.links(section.count())?,
            Payload::ExportSection(section) => self.links(section.count())?,
            Payload::MemorySection(section) => {
                self.entries(section.count())?;
                for memory in section {
                    self.memory(&memory?)?;
                }
            }
            Payload::TableSection(section) => {
                self.entries(section.count())?;
                for table in section {
                    let table = table?.ty;
                    narrow(table.table64, "table")?;
                    let (least, limit) = (table.initial, u64::from(LIMITS.table_elements));
                    start(LimitKind::Table, "table elements", least, limit)?;
                }
            }
            other => self.entries(entry_count(&other))?,
        }
        Ok(())
    }

    fn types(&mut self, count: u32) -> Result<(), Problem> {
        self.types += u64::from(count);
        bound("types", self.types, MAX_TYPES)?;
        self.entries(count)
    }

    fn links(&mut self, count: u32) -> Result<(), Problem> {
        self.links += u64::from(count);
        bound("imports and exports of core modules", self.links, MAX_LINKS)?;
        self.entries(count)
    }

    /// A memory that is larger at its start than `describe` may use would never start.
    fn memory(&mut self, memory: &MemoryType) -> Result<(), Problem> {
        narrow(memory.memory64, "memory")?;
        let page = memory.page_size_log2.map_or(1 << 16, |log2| 1u64.checked_shl(log2).unwrap_or(u64::MAX));
        self.memory = self.memory.saturating_add(memory.initial.saturating_mul(page));
        start(LimitKind::Memory, "bytes of memory", self.memory, LIMITS.memory_bytes)
    }

    fn part(&mut self, encoding: Encoding) -> Result<(), Problem> {
        self.depth += 1;
        self.parts += 1;
        bound("nested parts", self.depth as u64, MAX_DEPTH as u64)?;
        bound("core modules and nested components", self.parts, MAX_PARTS)?;
        match (self.parts, encoding) {
            (1, Encoding::Module) => Err(invalid("this is a core module, not a component".into())),
            _ => Ok(()),
        }
    }

    fn entries(&mut self, count: u32) -> Result<(), Problem> {
        self.entries += u64::from(count);
        bound("section entries", self.entries, MAX_ENTRIES)
    }

    fn import(&mut self, name: &str, ty: &ComponentTypeRef) -> Result<(), Problem> {
        bound("bytes in the name of an import", name.len() as u64, MAX_NAME_BYTES as u64)?;
        if self.depth != 1 {
            return Ok(());
        }
        if !matches!(ty, ComponentTypeRef::Instance(_)) {
            return Err(invalid(format!(
                "the component imports {:?}, which is no interface; only interfaces are offered",
                escape(name, 80)
            ))
            .with_hint("build it for the world `lockgate:executor/executor-world`"));
        }
        bound("imports", self.screened.imports.len() as u64, MAX_NAMES as u64)?;
        self.screened.imports.push(name.to_owned());
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<(), Problem> {
        bound("bytes in the name of an export", name.len() as u64, MAX_NAME_BYTES as u64)?;
        if self.depth != 1 {
            return Ok(());
        }
        bound("exports", self.screened.exports.len() as u64, MAX_NAMES as u64)?;
        self.screened.exports.push(name.to_owned());
        Ok(())
    }

    fn function(&self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        bound("bytes in one function", body.range().len() as u64, MAX_BODY_BYTES as u64)?;
        let mut locals = 0u64;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
            bound("locals in one function", locals, MAX_LOCALS)?;
        }
        let (mut nesting, mut targets, mut branches) = (0usize, 0u64, 0u64);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => {
                    (nesting, branches) = (nesting + 1, branches + 1);
                    bound("nested blocks in one function", nesting as u64, MAX_NESTING as u64)?;
                }
                Operator::End => nesting = nesting.saturating_sub(1),
                Operator::BrIf { .. } | Operator::Br { .. } => branches += 1,
                Operator::BrTable { targets: table } => {
                    branches += 1;
                    targets += u64::from(table.len());
                    bound("branch targets in one function", targets, MAX_TARGETS)?;
                }
                _ => {}
            }
        }
        bound("branches in one function", branches, MAX_BRANCHES)?;
        Ok(bound("branches times locals in one function", branches.saturating_mul(locals), MAX_FLOW)?)
    }
}

/// UTF-16 strings cost the host a conversion per character and no supported toolchain makes them.
fn canonical(function: &CanonicalFunction) -> Result<(), Problem> {
    let options = match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => options,
        _ => return Ok(()),
    };
    if options.iter().any(|option| matches!(option, CanonicalOption::UTF16 | CanonicalOption::CompactUTF16)) {
        return Err(invalid("the component passes strings as UTF-16, this host takes UTF-8 only".into())
            .with_hint("choose UTF-8 as the string encoding in the toolchain"));
    }
    Ok(())
}

/// The canonical ABI has 32-bit addresses, and wasmtime fails where a part expects a narrow table and gets a wide one.
fn narrow(is_wide: bool, what: &str) -> Result<(), Problem> {
    if is_wide {
        return Err(invalid(format!("the component has a 64-bit {what}, this host runs 32-bit ones"))
            .with_hint("build it for wasm32-wasip2"));
    }
    Ok(())
}

/// What an instance has at its start must fit into what `describe` may use, or nobody could ask what it is.
fn start(kind: LimitKind, what: &str, least: u64, limit: u64) -> Result<(), Problem> {
    if least <= limit {
        return Ok(());
    }
    let message = format!("the component starts with {least} {what}, {limit} are the most");
    Err(Problem::limit(kind, limit, message)
        .with_hint("declare less and let it grow, as far as its executor's limits allow"))
}

fn entry_count(payload: &Payload<'_>) -> u32 {
    match payload {
        Payload::FunctionSection(section) => section.count(),
        Payload::GlobalSection(section) => section.count(),
        Payload::ElementSection(section) => section.count(),
        Payload::DataSection(section) => section.count(),
        Payload::InstanceSection(section) => section.count(),
        Payload::ComponentInstanceSection(section) => section.count(),
        Payload::ComponentAliasSection(section) => section.count(),
        _ => 1,
    }
}

fn bound(what: &str, count: u64, limit: u64) -> Result<(), Problem> {
    if count <= limit {
        return Ok(());
    }
    Err(invalid(format!("the component has more than {limit} {what}"))
        .with_hint("this is a limit of the host, set far above what toolchains make"))
}

fn malformed(error: BinaryReaderError) -> Problem {
    invalid(format!("the component is damaged at byte {}: {}", error.offset(), escape(error.message(), 200)))
        .with_hint("build or copy it again")
}

fn invalid(message: String) -> Problem {
    Problem::new(ErrorCode::InvalidComponent, message)
}
