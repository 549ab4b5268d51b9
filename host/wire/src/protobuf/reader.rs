//! Reads one message: a sequence of numbered fields.

/// Bytes that are no protobuf, or not of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the message ends in the middle of a field")]
    Truncated,
    #[error("a field has the number 0 or an unknown wire type")]
    BadTag,
    #[error("a number has more than 64 bits")]
    BadVarint,
    #[error("a field has another type than the schema says")]
    WrongType,
    #[error("a text is not UTF-8")]
    BadText,
}

/// A field's number and what stands in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) payload: Payload<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Where in a message we are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::BadTag)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed::BadTag);
        }
        let payload = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.array()?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Payload::Bytes(self.take(len)?)
            }
            5 => Payload::Fixed32(self.array()?),
            _ => return Err(Malformed::BadTag),
        };
        Ok(Some(Field { number, payload }))
    }

    /// A bare number: the elements of packed fields.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                return Err(Malformed::BadVarint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or(&[]);
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Malformed::Truncated } else { Malformed::BadVarint })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Payload<'a> {
    /// A nested message, a blob.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Payload::Bytes(bytes) => Ok(bytes),
            Payload::Varint(_) | Payload::Fixed64(_) | Payload::Fixed32(_) => Err(Malformed::WrongType),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::BadText)
    }

    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Payload::Varint(value) => Ok(value),
            Payload::Bytes(_) | Payload::Fixed64(_) | Payload::Fixed32(_) => Err(Malformed::WrongType),
        }
    }

    /// A `uint32`: protobuf's parsers drop the upper half.
    pub(crate) fn uint32(self) -> Result<u32, Malformed> {
        Ok((self.varint()? & 0xffff_ffff) as u32)
    }

    /// An `int32`: protobuf's parsers drop the upper half.
    pub(crate) fn int32(self) -> Result<i32, Malformed> {
        Ok(self.uint32()? as i32)
    }

    pub(crate) fn float(self) -> Result<f32, Malformed> {
        match self {
            Payload::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            Payload::Bytes(_) | Payload::Fixed64(_) | Payload::Varint(_) => Err(Malformed::WrongType),
        }
    }

    pub(crate) fn double(self) -> Result<f64, Malformed> {
        match self {
            Payload::Fixed64(bytes) => Ok(f64::from_le_bytes(bytes)),
            Payload::Bytes(_) | Payload::Fixed32(_) | Payload::Varint(_) => Err(Malformed::WrongType),
        }
    }

    /// Elements of a `repeated uint32`, packed or single.
    pub(crate) fn each_uint32(
        self,
        mut keep: impl FnMut(u32) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match self {
            Payload::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    keep((reader.varint()? & 0xffff_ffff) as u32)?;
                }
                Ok(())
            }
            single => keep(single.uint32()?),
        }
    }

    /// Elements of a `repeated float`, packed or single.
    pub(crate) fn each_float(self, mut keep: impl FnMut(f32)) -> Result<(), Malformed> {
        match self {
            Payload::Bytes(packed) => {
                let (values, rest) = packed.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(Malformed::Truncated);
                }
                values.iter().for_each(|value| keep(f32::from_le_bytes(*value)));
            }
            single => keep(single.float()?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_message() {
        let check = |message: &[u8], expected: Result<usize, Malformed>| {
            let mut reader = Reader::new(message);
            let mut fields = 0;
            let result = loop {
                match reader.next() {
                    Ok(Some(_)) => fields += 1,
                    Ok(None) => break Ok(fields),
                    Err(error) => break Err(error),
                }
            };
            assert_eq!(result, expected, "{message:?}");
        };
        check(&[], Ok(0));
        check(&[0x08, 0x01, 0x12, 0x00], Ok(2));
        check(&[0x0a, 0x05, 1], Err(Malformed::Truncated));
        check(&[0x00, 0x01], Err(Malformed::BadTag));
        check(&[0x0b], Err(Malformed::BadTag));
        check(&[0x08, 0x80], Err(Malformed::Truncated));
        check(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Err(Malformed::BadVarint));
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Err(Malformed::Truncated));
    }
}
