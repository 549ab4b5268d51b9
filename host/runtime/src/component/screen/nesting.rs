//! Types within types, measured without recursion.
//!
//! A component or instance type may hold further ones, three bytes a level, and wasmparser reads them by recursion
//! without a bound: a few hundred kilobytes would overflow its stack and end the process. So the depth is found here
//! first, by a walk whose stack is a list of numbers.

use std::ops::Range;

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentAlias, ComponentExternName, ComponentImport, ComponentType,
    ComponentTypeRef, CoreType,
};

const COMPONENT: u8 = 0x41;
const INSTANCE: u8 = 0x42;

/// How deep the types of a section are nested, at most `limit + 1`. `bytes` is the whole component.
pub(super) fn depth(bytes: &[u8], section: Range<usize>, limit: usize) -> Result<usize, BinaryReaderError> {
    let start = section.start;
    let mut reader = BinaryReader::new(bytes.get(section).unwrap_or_default(), start);
    let mut deepest = 0;
    // Declarations that are left on each level; the section itself is a list of types.
    let mut open = vec![reader.read_var_u32()?];
    let mut in_section = true;
    while let Some(left) = open.last_mut() {
        let Some(less) = left.checked_sub(1) else {
            open.pop();
            in_section = open.len() == 1;
            continue;
        };
        *left = less;
        let is_type = in_section || declaration(&mut reader)?;
        if !is_type {
            continue;
        }
        let mut ahead = reader.clone();
        if matches!(ahead.read_u8()?, COMPONENT | INSTANCE) {
            open.push(ahead.read_var_u32()?);
            reader = ahead;
            in_section = false;
            deepest = deepest.max(open.len() - 1);
            if deepest > limit {
                break;
            }
        } else {
            reader.read::<ComponentType<'_>>()?;
        }
    }
    Ok(deepest)
}

/// Reads a declaration up to the type that it holds; whether it holds one.
fn declaration(reader: &mut BinaryReader<'_>) -> Result<bool, BinaryReaderError> {
    let mut ahead = reader.clone();
    let kind = ahead.read_u8()?;
    if kind <= 0x04 {
        *reader = ahead;
    }
    match kind {
        0x00 => reader.read::<CoreType<'_>>().map(|_| false),
        0x01 => Ok(true),
        0x02 => reader.read::<ComponentAlias<'_>>().map(|_| false),
        0x03 => reader.read::<ComponentImport<'_>>().map(|_| false),
        0x04 => {
            reader.read::<ComponentExternName<'_>>()?;
            reader.read::<ComponentTypeRef>().map(|_| false)
        }
        // Its own words for what stands here instead.
        _ => reader.read::<wasmparser::InstanceTypeDeclaration<'_>>().map(|_| false),
    }
}
