//! numpy arrays on the wire: raw bytes, a shape, and numpy's `dtype.str`.

use bytes::Bytes;
use lockgate_domain::document::{DType, Tensor};

use crate::fault::{Fault, Result};
use crate::protobuf::{Malformed, Payload, Reader, Writer};

const DENSE_HINT: &str = "send a dense array, such as numpy's";

/// An array and the name of the class it came from (v1 only).
pub(super) struct Decoded<'a> {
    pub(super) tensor: Tensor,
    pub(super) class: Option<&'a str>,
}

/// Reads v1's `NdArrayProto`.
pub(super) fn decode_v1<'a>(root: &Bytes, message: &'a [u8]) -> Result<Decoded<'a>> {
    let (mut dense, mut class) = (None, None);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => dense = Some(field.payload.bytes()?),
            2 => return Err(Fault::with_hint("sparse arrays are not supported", DENSE_HINT)),
            3 => class = Some(field.payload.text()?),
            _ => {}
        }
    }
    Ok(Decoded { tensor: decode_dense(root, dense)?, class })
}

/// Reads v2's `NdArrayProto`.
pub(super) fn decode_v2(root: &Bytes, message: &[u8]) -> Result<Tensor> {
    let mut dense = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            dense = Some(field.payload.bytes()?);
        }
    }
    decode_dense(root, dense)
}

fn decode_dense(root: &Bytes, message: Option<&[u8]>) -> Result<Tensor> {
    let message = message.ok_or_else(|| Fault::with_hint("the array has no content", DENSE_HINT))?;
    let (mut buffer, mut shape, mut dtype): (&[u8], Vec<u32>, &str) = (&[], Vec::new(), "");
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => buffer = field.payload.bytes()?,
            2 => push_extents(field.payload, &mut shape)?,
            3 => dtype = field.payload.text()?,
            _ => {}
        }
    }
    let (dtype, big_endian) = parse_dtype(dtype)?;
    let data = if big_endian { swapped(buffer, dtype.size()) } else { root.slice_ref(buffer) };
    Ok(Tensor::new(dtype, shape, data)?)
}

fn push_extents(payload: Payload<'_>, shape: &mut Vec<u32>) -> Result<(), Malformed> {
    payload.each_uint32(|extent| {
        // One past what a tensor may have is enough to be refused for it.
        if shape.len() <= Tensor::MAX_DIMENSIONS {
            shape.push(extent);
        }
        Ok(())
    })
}

/// Writes an array; `class` only in v1.
pub(super) fn encode(writer: &mut Writer, number: u32, tensor: &Tensor, class: Option<&str>) {
    let bytes = tensor.data().len();
    let estimate = bytes + 24 + tensor.shape().len();
    writer.nested(number, estimate, |writer| {
        writer.nested(1, estimate, |writer| {
            writer.bytes(1, tensor.data());
            if !tensor.shape().is_empty() {
                writer.nested(2, tensor.shape().len(), |writer| {
                    tensor.shape().iter().for_each(|&extent| writer.raw_varint(u64::from(extent)));
                });
            }
            writer.text(3, dtype_text(tensor.dtype()));
        });
        if let Some(class) = class {
            writer.text(3, class);
        }
    });
}

/// numpy's `dtype.str` or `dtype.name`, and whether the bytes are big endian.
fn parse_dtype(text: &str) -> Result<(DType, bool)> {
    let (big_endian, rest) = match text.as_bytes() {
        [b'>', ..] => (true, text.get(1..)),
        [b'<' | b'|' | b'=', ..] => (false, text.get(1..)),
        _ => (false, Some(text)),
    };
    let dtype = match rest.unwrap_or("") {
        "b1" | "?" => Some(DType::Boolean),
        "u1" => Some(DType::Uint8),
        "i1" => Some(DType::Int8),
        "u2" => Some(DType::Uint16),
        "i2" => Some(DType::Int16),
        "u4" => Some(DType::Uint32),
        "i4" => Some(DType::Int32),
        "u8" => Some(DType::Uint64),
        "i8" => Some(DType::Int64),
        "f2" => Some(DType::Float16),
        "f4" => Some(DType::Float32),
        "f8" => Some(DType::Float64),
        name => DType::ALL.into_iter().find(|dtype| dtype.name() == name),
    };
    match dtype {
        Some(dtype) => Ok((dtype, big_endian)),
        None => {
            let shown: String = text.chars().take(32).collect();
            let message = format!("arrays of type {shown:?} are not supported");
            Err(Fault::with_hint(message, "convert it to booleans, integers of up to 64 bits, or floats"))
        }
    }
}

/// numpy's `dtype.str`; the name where numpy has none.
fn dtype_text(dtype: DType) -> &'static str {
    match dtype {
        DType::Boolean => "|b1",
        DType::Uint8 => "|u1",
        DType::Int8 => "|i1",
        DType::Uint16 => "<u2",
        DType::Int16 => "<i2",
        DType::Uint32 => "<u4",
        DType::Int32 => "<i4",
        DType::Uint64 => "<u8",
        DType::Int64 => "<i8",
        DType::Float16 => "<f2",
        DType::Float32 => "<f4",
        DType::Float64 => "<f8",
        DType::Float8E4m3 | DType::Float8E5m2 | DType::Bfloat16 => dtype.name(),
    }
}

fn swapped(buffer: &[u8], size: usize) -> Bytes {
    let mut data = buffer.to_vec();
    data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    data.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_numpy_writes_them() {
        let check = |text: &str, expected: Option<(DType, bool)>| {
            assert_eq!(parse_dtype(text).ok(), expected, "{text}");
        };
        check("<f4", Some((DType::Float32, false)));
        check("|b1", Some((DType::Boolean, false)));
        check(">i4", Some((DType::Int32, true)));
        check("float32", Some((DType::Float32, false)));
        check("<V2", None);
        check("", None);
        for dtype in DType::ALL {
            check(dtype_text(dtype), Some((dtype, false)));
            check(dtype.name(), Some((dtype, false)));
        }
    }

    #[test]
    fn big_endian_becomes_little() {
        let mut writer = Writer::default();
        writer.nested(1, 0, |writer| {
            writer.bytes(1, &[0, 0, 0, 1, 0, 0, 0, 2]);
            writer.varint(2, 2);
            writer.text(3, ">i4");
        });
        let message = Bytes::from(writer.finish());
        let tensor = decode_v2(&message, &message).unwrap();
        assert_eq!(tensor.data().as_ref(), [1, 0, 0, 0, 2, 0, 0, 0]);
    }
}
