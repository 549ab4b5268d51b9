//! Tensors as they cross the boundary: dtype, shape and little-endian bytes.
//!
//! [`Tensor`] always fits its shape (checked when built); [`Matrix`] is the comfortable form of a
//! column of equally long `f32` vectors. No arithmetic here: bring a library for that.

use crate::{Error, Result};

/// The type of a tensor's values, by numpy's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are numpy's and say everything")]
pub enum Dtype {
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

impl Dtype {
    /// Bytes per value.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Boolean | Self::Uint8 | Self::Int8 | Self::Float8E4m3 | Self::Float8E5m2 => 1,
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 => 8,
        }
    }
}

/// Row-major, contiguous values of one dtype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: Dtype,
    shape: Vec<u32>,
    data: Vec<u8>,
}

impl Tensor {
    /// A tensor of little-endian bytes.
    ///
    /// # Errors
    /// `invalid_argument` when `data` does not hold product(shape) values.
    pub fn new(dtype: Dtype, shape: Vec<u32>, data: Vec<u8>) -> Result<Self> {
        let bytes = shape
            .iter()
            .try_fold(dtype.size(), |bytes, &side| bytes.checked_mul(usize::try_from(side).ok()?));
        if bytes != Some(data.len()) {
            let message = format!("{} bytes do not fit a {dtype:?} tensor of shape {shape:?}", data.len());
            return Err(Error::invalid_argument(message));
        }
        Ok(Self { dtype, shape, data })
    }

    /// A tensor of these values.
    ///
    /// # Errors
    /// `invalid_argument` when there are not product(shape) values.
    pub fn of<T: Element>(shape: Vec<u32>, values: &[T]) -> Result<Self> {
        Self::new(T::DTYPE, shape, T::to_bytes(values))
    }

    /// A tensor of rank 1.
    #[must_use]
    pub fn vector<T: Element>(values: &[T]) -> Self {
        let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
        Self { dtype: T::DTYPE, shape: vec![length], data: T::to_bytes(values) }
    }

    /// The type of the values.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The sides, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[u32] {
        &self.shape
    }

    /// The values as little-endian bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Dtype, shape and bytes.
    #[must_use]
    pub fn into_parts(self) -> (Dtype, Vec<u32>, Vec<u8>) {
        (self.dtype, self.shape, self.data)
    }

    /// The values in row-major order.
    ///
    /// # Errors
    /// `invalid_argument` when the tensor has another dtype.
    pub fn values<T: Element>(&self) -> Result<Vec<T>> {
        if self.dtype != T::DTYPE {
            let message = format!("the tensor holds {:?} and not {:?}", self.dtype, T::DTYPE);
            return Err(Error::invalid_argument(message));
        }
        Ok(T::from_bytes(&self.data))
    }

    /// The values as `f32`, whatever number they are; wider ones lose precision.
    ///
    /// # Errors
    /// `invalid_argument` for 8-bit floats, which have no conversion here.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        macro_rules! cast {
            ($($type:ty),*) => {
                match self.dtype {
                    $(<$type>::DTYPE => return Ok(<$type>::from_bytes(&self.data).into_iter().map(|value| value as f32).collect()),)*
                    _ => {}
                }
            };
        }
        if self.dtype == Dtype::Float32 {
            return Ok(f32::from_bytes(&self.data));
        }
        cast!(f64, i64, i32, i16, i8, u64, u32, u16, u8);
        let halves = || self.data.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
        match self.dtype {
            Dtype::Boolean => Ok(self.data.iter().map(|byte| f32::from(*byte != 0)).collect()),
            Dtype::Bfloat16 => Ok(halves().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect()),
            Dtype::Float16 => Ok(halves().map(widen_half).collect()),
            other => Err(Error::invalid_argument(format!("{other:?} has no conversion to f32"))),
        }
    }
}

/// A Rust type that is a tensor's value.
pub trait Element: Copy + private::Sealed {
    /// Its dtype.
    const DTYPE: Dtype;

    #[doc(hidden)]
    fn to_bytes(values: &[Self]) -> Vec<u8>;

    #[doc(hidden)]
    fn from_bytes(data: &[u8]) -> Vec<Self>;
}

mod private {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty = $dtype:ident,)*) => {
        $(
            impl private::Sealed for $type {}
            impl Element for $type {
                const DTYPE: Dtype = Dtype::$dtype;

                fn to_bytes(values: &[Self]) -> Vec<u8> {
                    let mut data = vec![0; size_of_val(values)];
                    for (slot, value) in data.as_chunks_mut().0.iter_mut().zip(values) {
                        *slot = value.to_le_bytes();
                    }
                    data
                }

                fn from_bytes(data: &[u8]) -> Vec<Self> {
                    data.as_chunks().0.iter().map(|bytes| Self::from_le_bytes(*bytes)).collect()
                }
            }
        )*
    };
}

elements! {
    u8 = Uint8, i8 = Int8, u16 = Uint16, i16 = Int16, u32 = Uint32, i32 = Int32, u64 = Uint64, i64 = Int64,
    f32 = Float32, f64 = Float64,
}

impl private::Sealed for bool {}
impl Element for bool {
    const DTYPE: Dtype = Dtype::Boolean;

    fn to_bytes(values: &[Self]) -> Vec<u8> {
        values.iter().map(|value| u8::from(*value)).collect()
    }

    fn from_bytes(data: &[u8]) -> Vec<Self> {
        data.iter().map(|byte| *byte != 0).collect()
    }
}

/// Equally long `f32` vectors, one per document, in one allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    width: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self { rows, width, values: vec![0.0; rows.saturating_mul(width)] }
    }

    /// A matrix of these values, row after row.
    ///
    /// # Errors
    /// `invalid_argument` when there are not `rows * width` values.
    pub fn new(rows: usize, width: usize, values: Vec<f32>) -> Result<Self> {
        if rows.checked_mul(width) != Some(values.len()) {
            return Err(Error::invalid_argument(format!(
                "{} values do not fit {rows} x {width}",
                values.len()
            )));
        }
        Ok(Self { rows, width, values })
    }

    /// Number of vectors.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no vector.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Values per vector.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// One vector; `None` past the end.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        let start = row.checked_mul(self.width).filter(|_| row < self.rows)?;
        self.values.get(start..start.checked_add(self.width)?)
    }

    /// One vector, to be written.
    #[must_use]
    pub fn get_mut(&mut self, row: usize) -> Option<&mut [f32]> {
        let start = row.checked_mul(self.width).filter(|_| row < self.rows)?;
        self.values.get_mut(start..start.checked_add(self.width)?)
    }

    /// The vectors in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        (0..self.rows).map(|row| self.get(row).unwrap_or_default())
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn from_stacked(tensor: &Tensor, rows: usize) -> Result<Self> {
        let values = tensor.to_f32()?;
        let width = values.len().checked_div(rows).unwrap_or_default();
        Self::new(rows, width, values)
    }

    pub(crate) fn to_stacked(&self) -> Result<Tensor> {
        let side =
            |length| u32::try_from(length).map_err(|_| Error::out_of_range("a matrix side passes 2^32"));
        Tensor::of(vec![side(self.rows)?, side(self.width)?], &self.values)
    }
}

/// IEEE half to single precision, subnormals, infinities and NaN included.
fn widen_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * (-24_f32).exp2(),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => {
            let widened = (u32::from(bits & 0x7fff) << 13) + (112 << 23);
            f32::from_bits(widened | (u32::from(bits & 0x8000) << 16))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_widens_to_f32() {
        fn check(dtype: Dtype, data: &[u8], expected: &[f32]) {
            let length = u32::try_from(data.len() / dtype.size()).unwrap();
            assert_eq!(Tensor::new(dtype, vec![length], data.to_vec()).unwrap().to_f32().unwrap(), expected);
        }
        check(Dtype::Float16, &[0, 0x3c, 0, 0xc0, 1, 0, 0xff, 0x7b], &[1.0, -2.0, 5.960_464_5e-8, 65504.0]);
        check(Dtype::Bfloat16, &[0x80, 0x3f, 0, 0xc0], &[1.0, -2.0]);
        check(Dtype::Int16, &[255, 255, 1, 0], &[-1.0, 1.0]);
        check(Dtype::Boolean, &[0, 1], &[0.0, 1.0]);
        check(Dtype::Float64, &1.5_f64.to_le_bytes(), &[1.5]);
        check(Dtype::Float32, &0.25_f32.to_le_bytes(), &[0.25]);
    }

    #[test]
    fn a_tensor_fits_its_shape() {
        for (shape, bytes, fits) in [
            (vec![], 4, true),
            (vec![2, 3], 24, true),
            (vec![2, 3], 20, false),
            (vec![u32::MAX; 4], 0, false),
        ] {
            assert_eq!(Tensor::new(Dtype::Float32, shape, vec![0; bytes]).is_ok(), fits);
        }
        let matrix = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(matrix.iter().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(matrix.get(2), None);
        assert_eq!(Matrix::from_stacked(&matrix.to_stacked().unwrap(), 2).unwrap(), matrix);
    }
}
