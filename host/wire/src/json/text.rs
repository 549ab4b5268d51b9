//! JSON's primitives, appended to a buffer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A quoted text.
pub(crate) fn write_text(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(value.len() + 2);
    out.push(b'"');
    let mut rest = value.as_bytes();
    while let Some(at) = first_escape(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, after)) = tail.split_first() else { break };
        match escape_of(byte) {
            b'u' => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            escape => out.extend_from_slice(&[b'\\', escape]),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that needs a backslash. Sixteen at once, which the compiler makes vector instructions of.
fn first_escape(bytes: &[u8]) -> Option<usize> {
    let needs = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (chunks, tail) = bytes.as_chunks::<16>();
    let has_none = |chunk: &[u8; 16]| !chunk.iter().fold(false, |found, &byte| found | needs(byte));
    let plain = chunks.iter().take_while(|chunk| has_none(chunk)).count();
    let rest = if plain == chunks.len() { tail } else { bytes.get(plain * 16..)? };
    Some(plain * 16 + rest.iter().position(|&byte| needs(byte))?)
}

/// What follows the backslash for a byte that needs one, `u` for \u00xx; 0 for a byte that stands as it is.
fn escape_of(byte: u8) -> u8 {
    match byte {
        b'"' | b'\\' => byte,
        0x20.. => 0,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => b'u',
    }
}

pub(crate) fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn write_unsigned(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A float that reads back as the same float; null if JSON has no such number.
pub(crate) fn write_number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// A 32-bit float, with no more digits than it takes to tell it from its neighbours.
pub(crate) fn write_float(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// A number of which only the value is known: integral ones as JSON integers.
pub(crate) fn write_integral(out: &mut Vec<u8>, value: f64) {
    match integral(value) {
        Some(integer) => write_integer(out, integer),
        None => write_number(out, value),
    }
}

/// The integer that a double stands for, if it is one without doubt.
pub(crate) fn integral(value: f64) -> Option<i64> {
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    let is_integral =
        value.fract() == 0.0 && value.abs() <= MAX_EXACT && !(value == 0.0 && value.is_sign_negative());
    is_integral.then_some(value as i64)
}

pub(crate) fn write_boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// A list, element by element.
pub(crate) fn write_list<T>(
    out: &mut Vec<u8>,
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, element);
    }
    out.push(b']');
}

/// Bytes as a quoted base64 text.
pub(crate) fn write_base64(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let start = out.len();
    let len = base64::encoded_len(value.len(), true).unwrap_or(0);
    out.resize(start + len, 0);
    if let Some(target) = out.get_mut(start..) {
        // The room is exactly what the encoding takes, so this cannot fail.
        let written = STANDARD.encode_slice(value, target).unwrap_or(0);
        out.truncate(start + written);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_serde_does() {
        let check = |text: &str| {
            let mut out = Vec::new();
            write_text(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(text).unwrap());
        };
        check("");
        check("plain été 🦀");
        check("sixteen plain characters, then a \" and as many again, then a \\");
        check("a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}d");
        check("\"");
    }

    #[test]
    fn numbers_keep_their_value() {
        let check = |value: f64, expected: &str| {
            let mut out = Vec::new();
            write_integral(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(3.0, "3");
        check(-0.0, "-0.0");
        check(0.1, "0.1");
        check(1e300, "1e300");
        check(f64::NAN, "null");
        check(f64::INFINITY, "null");
    }
}
