//! Bytes that no toolchain makes, written by hand: text would take longer to read than the host to refuse it.

/// A whole component of these sections.
pub(super) fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".as_slice(), &sections.concat()].concat()
}

/// A component around one core module of these sections.
pub(super) fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    component(&[section(1, &core(sections))])
}

fn core(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// So many equal entries.
fn list(count: usize, entry: &[u8]) -> Vec<u8> {
    [leb(count), entry.repeat(count)].concat()
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// `(type (func))`
fn one_type() -> Vec<u8> {
    section(1, &list(1, &[0x60, 0, 0]))
}

/// Functions that do nothing.
pub(super) fn many_functions(count: usize) -> Vec<u8> {
    module(&[one_type(), section(3, &list(count, &[0])), section(10, &list(count, &[2, 0, 0x0b]))])
}

/// One function with so many blocks within blocks.
pub(super) fn deep_function(depth: usize) -> Vec<u8> {
    let body = [vec![0], [2, 0x40].repeat(depth), [0x0b].repeat(depth + 1)].concat();
    let code = [leb(1), leb(body.len()), body].concat();
    module(&[one_type(), section(3, &list(1, &[0])), section(10, &code)])
}

/// A component with a core module beside what it needs, within all bounds, that takes a compiler minutes: long functions
/// whose every block may have changed every local.
pub(super) fn slow_to_compile(component: &[u8], salt: u8) -> Vec<u8> {
    const LOCALS: usize = 300;
    const FUNCTIONS: usize = 8;
    let block = |turn: usize| {
        let local = |place: usize| leb(place % LOCALS);
        let (a, b, c) = (local(turn * 7), local(turn * 13 + 1), local(turn * 29 + 3));
        [&[2, 0x40, 0x20], &a[..], &[0x0d, 0, 0x20], &b, &[0x20], &c, &[0x6a, 0x21], &a, &[0x0b]].concat()
    };
    let start = [leb(1), leb(LOCALS), vec![0x7f, 0x41, salt, 0x1a]].concat();
    let body = [start, (0..29_000).flat_map(block).collect(), vec![0x0b]].concat();
    let code = list(FUNCTIONS, &[leb(body.len()), body].concat());
    let module = core(&[one_type(), section(3, &list(FUNCTIONS, &[0])), section(10, &code)]);
    [component, &section(1, &module)].concat()
}

/// A data segment that says it has a gibibyte.
pub(super) fn endless_data() -> Vec<u8> {
    let data = [vec![1, 0, 0x41, 0, 0x0b], leb(1 << 30), b"abc".to_vec()].concat();
    module(&[section(5, &[1, 0, 1]), section(11, &data)])
}

/// Imports of interfaces, each with a name of its own.
pub(super) fn many_imports(count: usize) -> Vec<u8> {
    let import = |index: usize| {
        let name = format!("a:b/i{index}@0.1.0");
        [vec![0], leb(name.len()), name.into_bytes(), vec![5, 0]].concat()
    };
    let imports: Vec<u8> = (0..count).flat_map(import).collect();
    component(&[section(7, &list(1, &[0x42, 0])), section(10, &[leb(count), imports].concat())])
}

/// Components within components.
pub(super) fn nested_components(depth: usize) -> Vec<u8> {
    (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]))
}

/// Instance types within instance types: three bytes a level.
pub(super) fn nested_types(depth: usize) -> Vec<u8> {
    component(&[section(7, &[vec![1], [0x42, 1, 1].repeat(depth), vec![0x42, 0]].concat())])
}

/// Where the outermost sections of a component begin, up to the last of its exports: what is cut off there lacks something.
pub(super) fn cuts(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut starts, mut exports) = (8, Vec::new(), 0);
    while at < bytes.len() {
        starts.push(at);
        if bytes[at] == 11 {
            exports = starts.len();
        }
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(bytes[at] & 0x7f) << shift;
            shift += 7;
            if bytes[at] < 0x80 {
                break;
            }
        }
        at += 1 + size;
    }
    starts.truncate(exports);
    starts
}
