//! Tensors: bytes with a type and a shape, row-major and little-endian.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Type of a tensor's elements, with numpy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    Boolean,
    Uint8,
    Int8,
    Uint16,
    Int16,
    Uint32,
    Int32,
    Uint64,
    Int64,
    Float8E4m3,
    Float8E5m2,
    Float16,
    Bfloat16,
    Float32,
    Float64,
}

impl DType {
    /// All types, in the contract's order.
    pub const ALL: [DType; 15] = [
        DType::Boolean,
        DType::Uint8,
        DType::Int8,
        DType::Uint16,
        DType::Int16,
        DType::Uint32,
        DType::Int32,
        DType::Uint64,
        DType::Int64,
        DType::Float8E4m3,
        DType::Float8E5m2,
        DType::Float16,
        DType::Bfloat16,
        DType::Float32,
        DType::Float64,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::Boolean | DType::Uint8 | DType::Int8 | DType::Float8E4m3 | DType::Float8E5m2 => 1,
            DType::Uint16 | DType::Int16 | DType::Float16 | DType::Bfloat16 => 2,
            DType::Uint32 | DType::Int32 | DType::Float32 => 4,
            DType::Uint64 | DType::Int64 | DType::Float64 => 8,
        }
    }

    /// numpy's `dtype.name` (ml_dtypes' names for what numpy lacks).
    pub fn name(self) -> &'static str {
        match self {
            DType::Boolean => "bool",
            DType::Uint8 => "uint8",
            DType::Int8 => "int8",
            DType::Uint16 => "uint16",
            DType::Int16 => "int16",
            DType::Uint32 => "uint32",
            DType::Int32 => "int32",
            DType::Uint64 => "uint64",
            DType::Int64 => "int64",
            DType::Float8E4m3 => "float8_e4m3fn",
            DType::Float8E5m2 => "float8_e5m2",
            DType::Float16 => "float16",
            DType::Bfloat16 => "bfloat16",
            DType::Float32 => "float32",
            DType::Float64 => "float64",
        }
    }
}

impl DType {
    /// The type that [`DType::name`] calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why parts do not make a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// product(shape) * size differs from the bytes.
    #[error("a tensor of shape {shape:?} and type {dtype} takes {expected} bytes, {len} were given")]
    ShapeMismatch {
        /// the shape
        shape: Vec<u32>,
        /// the element type
        dtype: DType,
        /// bytes the shape asks for (saturated)
        expected: u64,
        /// bytes given
        len: usize,
    },
    /// More dimensions than taken.
    #[error("a tensor has at most {limit} dimensions, this one has {given}", limit = Tensor::MAX_DIMENSIONS)]
    TooManyDimensions {
        /// dimensions given
        given: usize,
    },
}

/// One tensor. The bytes are shared with the message they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Arc<[u32]>,
    data: Bytes,
}

impl Tensor {
    /// Most dimensions, as in numpy before 2.0.
    pub const MAX_DIMENSIONS: usize = 32;

    /// Checks that the bytes fit the shape.
    pub fn new(dtype: DType, shape: impl Into<Arc<[u32]>>, data: Bytes) -> Result<Self, TensorError> {
        let shape = shape.into();
        if shape.len() > Self::MAX_DIMENSIONS {
            return Err(TensorError::TooManyDimensions { given: shape.len() });
        }
        let expected = byte_length(dtype, &shape);
        if expected != Some(data.len() as u64) {
            let expected = expected.unwrap_or(u64::MAX);
            return Err(TensorError::ShapeMismatch {
                shape: shape.to_vec(),
                dtype,
                expected,
                len: data.len(),
            });
        }
        Ok(Self { dtype, shape, data })
    }

    /// Bytes it takes: its elements, and two for each nested list that JSON makes of it. Thirty dimensions of 1 add no
    /// elements, but sixty brackets to each.
    pub(super) fn weight(&self) -> u64 {
        let level = |(lists, within): (u64, u64), &extent: &u32| {
            (lists.saturating_add(within), within.saturating_mul(u64::from(extent)))
        };
        let (lists, _) = self.shape.iter().fold((0, 1), level);
        lists.saturating_mul(2).saturating_add(self.data.len() as u64)
    }

    /// A vector of 32-bit floats: the usual embedding.
    pub fn from_f32(values: &[f32]) -> Self {
        let mut data = Vec::with_capacity(values.len() * 4);
        values.iter().for_each(|value| data.extend_from_slice(&value.to_le_bytes()));
        let shape: Arc<[u32]> = Arc::from([u32::try_from(values.len()).unwrap_or(u32::MAX)]);
        Self { dtype: DType::Float32, shape, data: data.into() }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements per dimension; empty for a scalar.
    pub fn shape(&self) -> &Arc<[u32]> {
        &self.shape
    }

    /// The elements, row-major, little-endian.
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

/// Tensors of a column: one by one, or all in one piece when a guest wrote them so.
#[derive(Debug, Clone)]
pub enum TensorColumn {
    /// one tensor per row, shapes may differ
    Rows(Arc<Vec<Option<Tensor>>>),
    /// rows `0..shape[0]` of one tensor
    Stacked(Tensor),
}

impl TensorColumn {
    /// Rows covered.
    pub fn rows(&self) -> u32 {
        match self {
            TensorColumn::Rows(rows) => u32::try_from(rows.len()).unwrap_or(u32::MAX),
            TensorColumn::Stacked(tensor) => tensor.shape.first().copied().unwrap_or(0),
        }
    }

    /// The tensor of a row; shares its bytes.
    pub fn get(&self, row: u32) -> Option<Tensor> {
        match self {
            TensorColumn::Rows(rows) => rows.get(row as usize)?.clone(),
            TensorColumn::Stacked(tensor) => {
                let (&count, shape) = tensor.shape.split_first()?;
                if row >= count {
                    return None;
                }
                let size = tensor.data.len() / count as usize;
                let start = size * row as usize;
                Some(Tensor {
                    dtype: tensor.dtype,
                    shape: shape.into(),
                    data: tensor.data.slice(start..start + size),
                })
            }
        }
    }

    /// Rows `start..start+count` as one tensor; none unless all have a value of one type and shape.
    pub fn stack(&self, start: u32, count: u32) -> Option<Tensor> {
        if let TensorColumn::Stacked(tensor) = self {
            return slice_stacked(tensor, start, count);
        }
        let TensorColumn::Rows(rows) = self else { return None };
        let rows = rows.get(start as usize..(start as usize).checked_add(count as usize)?)?;
        let first = rows.first()?.as_ref()?;
        let mut data = Vec::with_capacity(first.data.len().checked_mul(rows.len())?);
        for tensor in rows {
            let tensor = tensor.as_ref().filter(|t| t.dtype == first.dtype && t.shape == first.shape)?;
            data.extend_from_slice(&tensor.data);
        }
        let shape: Vec<u32> = std::iter::once(count).chain(first.shape.iter().copied()).collect();
        Some(Tensor { dtype: first.dtype, shape: shape.into(), data: data.into() })
    }
}

fn slice_stacked(tensor: &Tensor, start: u32, count: u32) -> Option<Tensor> {
    let (&rows, shape) = tensor.shape.split_first()?;
    if start.checked_add(count)? > rows || count == 0 {
        return None;
    }
    if start == 0 && count == rows {
        return Some(tensor.clone());
    }
    let size = tensor.data.len() / rows as usize;
    let data = tensor.data.slice(size * start as usize..size * (start + count) as usize);
    let shape: Vec<u32> = std::iter::once(count).chain(shape.iter().copied()).collect();
    Some(Tensor { dtype: tensor.dtype, shape: shape.into(), data })
}

fn byte_length(dtype: DType, shape: &[u32]) -> Option<u64> {
    // A zero anywhere makes the tensor empty, however large the other dimensions are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(dtype.size() as u64, |bytes, &extent| bytes.checked_mul(u64::from(extent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_must_fit_the_bytes() {
        let check = |shape: &[u32], bytes: usize, fits: bool| {
            assert_eq!(
                Tensor::new(DType::Float32, shape, vec![0; bytes].into()).is_ok(),
                fits,
                "{shape:?} {bytes}"
            );
        };
        check(&[2], 8, true);
        check(&[], 4, true);
        check(&[0, u32::MAX, u32::MAX], 0, true);
        check(&[2, 2], 15, false);
        check(&[u32::MAX, u32::MAX, u32::MAX], 0, false);
        check(&[1; 33], 4, false);
    }

    #[test]
    fn stacking_is_the_inverse_of_rows() {
        let rows: Vec<_> =
            [[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]].iter().map(|v| Some(Tensor::from_f32(v))).collect();
        let column = TensorColumn::Rows(Arc::new(rows.clone()));
        let stacked = TensorColumn::Stacked(column.stack(0, 3).unwrap());
        assert_eq!(
            (0..4).map(|row| stacked.get(row)).collect::<Vec<_>>(),
            [rows.as_slice(), &[None]].concat()
        );
        assert_eq!(stacked.stack(1, 2), column.stack(1, 2));
        assert_eq!(column.stack(2, 2), None);
    }
}
