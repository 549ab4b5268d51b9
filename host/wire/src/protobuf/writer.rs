//! Writes one message into one buffer, nested messages in place.
//!
//! A nested message's length stands before it and is known after it: room is kept for the length that the caller
//! estimates, and what was written moves by a few bytes when the estimate was wrong.

/// A growing message.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.raw_varint(value);
    }

    pub(crate) fn float(&mut self, number: u32, value: f32) {
        self.tag(number, 5);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn double(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.raw_varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    /// A bare number: the elements of packed fields.
    pub(crate) fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Bare bytes: the elements of packed fields.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A nested message (or packed field) of about `estimate` bytes.
    pub(crate) fn nested<R>(
        &mut self,
        number: u32,
        estimate: usize,
        write: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let open = self.open(number, estimate);
        let result = write(self);
        self.close(open);
        result
    }

    /// Opens a nested message whose end is not in one scope with its start.
    pub(crate) fn open(&mut self, number: u32, estimate: usize) -> Open {
        let tag = self.out.len();
        self.tag(number, 2);
        let width = varint_width(estimate as u64);
        let start = self.out.len() + width;
        self.out.resize(start, 0);
        Open { tag, start, width }
    }

    /// Takes a nested message back.
    pub(crate) fn abandon(&mut self, open: Open) {
        self.out.truncate(open.tag);
    }

    pub(crate) fn close(&mut self, open: Open) {
        let len = self.out.len().saturating_sub(open.start);
        let width = varint_width(len as u64);
        let (from, to) = (open.start, open.start - open.width + width);
        if to > from {
            self.out.resize(to + len, 0);
        }
        if to != from {
            self.out.copy_within(from..from + len, to);
            self.out.truncate(to + len);
        }
        let mut value = len as u64;
        for (index, byte) in self.out.iter_mut().skip(open.start - open.width).take(width).enumerate() {
            *byte = value as u8 & 0x7f | if index + 1 < width { 0x80 } else { 0 };
            value >>= 7;
        }
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.raw_varint(u64::from(number << 3 | wire_type));
    }
}

/// A nested message in progress.
#[derive(Debug)]
#[must_use]
pub(crate) struct Open {
    tag: usize,
    start: usize,
    width: usize,
}

fn varint_width(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Reader;

    #[test]
    fn lengths_are_right_whatever_was_estimated() {
        for len in [0usize, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            for estimate in [0usize, 127, 128, 20_000, 1 << 30] {
                let mut writer = Writer::default();
                writer.varint(1, 7);
                writer.nested(2, estimate, |writer| writer.raw(&vec![0xab; len]));
                writer.text(3, "end");
                let message = writer.finish();
                let mut reader = Reader::new(&message);
                assert_eq!(reader.next().unwrap().unwrap().payload.varint(), Ok(7));
                assert_eq!(reader.next().unwrap().unwrap().payload.bytes(), Ok(vec![0xab; len].as_slice()));
                assert_eq!(reader.next().unwrap().unwrap().payload.text(), Ok("end"));
                assert!(reader.next().unwrap().is_none());
            }
        }
    }
}
