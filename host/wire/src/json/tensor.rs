//! Nested lists of numbers as tensors.
//!
//! Elements go straight into bytes: 64-bit integers until the first float, 64-bit floats from then on; booleans only
//! among themselves; null is NaN. Every list of one level has as many elements as the others.

use std::fmt;

use lockgate_domain::document::{DType, Tensor};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::fault::{Fault, Result};

/// The tensor of a JSON text.
pub(crate) fn from_json(json: &[u8]) -> Result<Tensor> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match TensorSeed.deserialize(&mut deserializer) {
        Ok(Some(tensor)) => tensor,
        Ok(None) => Err(Fault::new("there are no numbers")),
        Err(error) => Err(Fault::new(error.to_string())),
    }
}

/// Reads a tensor; none for null.
pub(super) struct TensorSeed;

impl<'de> DeserializeSeed<'de> for TensorSeed {
    type Value = Option<Result<Tensor>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed {
    type Value = Option<Result<Tensor>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers in nested lists, or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let mut draft = Draft::default();
        LevelSeed { draft: &mut draft, depth: 0 }.deserialize(deserializer)?;
        Ok(Some(draft.finish()))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Elements {
    #[default]
    None,
    Booleans,
    Integers,
    Floats,
}

#[derive(Default)]
struct Draft {
    elements: Elements,
    data: Vec<u8>,
    /// Elements of the lists of each level, once one is complete.
    extents: Vec<Option<u32>>,
    /// The level of the numbers.
    leaf: Option<usize>,
}

impl Draft {
    fn open(&mut self, depth: usize) -> Result<(), String> {
        if depth >= Tensor::MAX_DIMENSIONS {
            return Err(format!("the list has more than {} dimensions", Tensor::MAX_DIMENSIONS));
        }
        if self.leaf.is_some_and(|leaf| depth >= leaf) {
            return Err("the list is ragged: a list stands beside a number".to_owned());
        }
        if self.extents.len() == depth {
            self.extents.push(None);
        }
        Ok(())
    }

    fn close(&mut self, depth: usize, count: usize) -> Result<(), String> {
        let count = u32::try_from(count).map_err(|_| "the list is too long".to_owned())?;
        match self.extents.get_mut(depth) {
            Some(Some(extent)) if *extent != count => {
                Err(format!("the list is ragged: one list has {extent} elements, another {count}"))
            }
            Some(extent) => {
                *extent = Some(count);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn leaf(&mut self, depth: usize) -> Result<(), String> {
        if self.leaf == Some(depth) {
            return Ok(());
        }
        if self.leaf.is_some() || self.extents.len() > depth {
            return Err("the list is ragged: a number stands beside a list".to_owned());
        }
        self.leaf = Some(depth);
        Ok(())
    }

    fn boolean(&mut self, value: bool) -> Result<(), String> {
        match self.elements {
            Elements::None | Elements::Booleans => self.elements = Elements::Booleans,
            Elements::Integers | Elements::Floats => return Err(MIXED.to_owned()),
        }
        self.data.push(u8::from(value));
        Ok(())
    }

    fn integer(&mut self, value: i64) -> Result<(), String> {
        match self.elements {
            Elements::None | Elements::Integers => {
                self.elements = Elements::Integers;
                self.data.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            Elements::Floats => self.float(value as f64),
            Elements::Booleans => Err(MIXED.to_owned()),
        }
    }

    fn float(&mut self, value: f64) -> Result<(), String> {
        match self.elements {
            Elements::None | Elements::Floats => {}
            Elements::Integers => {
                for cell in self.data.as_chunks_mut::<8>().0 {
                    *cell = (i64::from_le_bytes(*cell) as f64).to_le_bytes();
                }
            }
            Elements::Booleans => return Err(MIXED.to_owned()),
        }
        self.elements = Elements::Floats;
        self.data.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn finish(self) -> Result<Tensor> {
        let dtype = match self.elements {
            Elements::Booleans => DType::Boolean,
            Elements::Integers => DType::Int64,
            Elements::None | Elements::Floats => DType::Float64,
        };
        let shape: Vec<u32> = self.extents.iter().map(|extent| extent.unwrap_or(0)).collect();
        Tensor::new(dtype, shape, self.data.into()).map_err(Fault::from)
    }
}

const MIXED: &str = "the list mixes booleans and numbers";

struct LevelSeed<'d> {
    draft: &'d mut Draft,
    depth: usize,
}

impl LevelSeed<'_> {
    fn element<E: Error>(self, put: impl FnOnce(&mut Draft) -> Result<(), String>) -> Result<(), E> {
        self.draft.leaf(self.depth).and_then(|()| put(self.draft)).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for LevelSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LevelSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of them")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.element(|draft| draft.boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.element(|draft| draft.integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.element(|draft| match i64::try_from(value) {
            Ok(value) => draft.integer(value),
            Err(_) => draft.float(value as f64),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.element(|draft| draft.float(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.element(|draft| draft.float(f64::NAN))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.draft.open(self.depth).map_err(A::Error::custom)?;
        let mut count = 0;
        while seq.next_element_seed(LevelSeed { draft: self.draft, depth: self.depth + 1 })?.is_some() {
            count += 1;
        }
        self.draft.close(self.depth, count).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Tensor, String> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let tensor = TensorSeed.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
        tensor.ok_or("null")?.map_err(|fault| fault.to_string())
    }

    #[test]
    fn lists_become_tensors() {
        let check = |json: &str, dtype: DType, shape: &[u32]| {
            let tensor = read(json).unwrap();
            assert_eq!((tensor.dtype(), &**tensor.shape()), (dtype, shape), "{json}");
        };
        check("[1,2,3]", DType::Int64, &[3]);
        check("[[1,2.5],[3,4]]", DType::Float64, &[2, 2]);
        check("[true,false]", DType::Boolean, &[2]);
        check("[null,1]", DType::Float64, &[2]);
        check("[]", DType::Float64, &[0]);
        check("[[],[]]", DType::Float64, &[2, 0]);
        check("7", DType::Int64, &[]);
        let mixed = read("[1,2.5]").unwrap();
        assert_eq!(mixed.data().as_ref(), [1f64.to_le_bytes(), 2.5f64.to_le_bytes()].concat());
    }

    #[test]
    fn what_is_no_tensor_is_refused() {
        let check = |json: &str, expected: &str| {
            let error = read(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        };
        check("[[1],[1,2]]", "ragged");
        check("[1,[2]]", "ragged");
        check("[[2],1]", "ragged");
        check("[[],[[]]]", "ragged");
        check("[[[]],[]]", "ragged");
        check("[true,1]", "mixes");
        check("[1,true]", "mixes");
        check("[\"x\"]", "expected a number");
        check(&format!("{}{}", "[".repeat(33), "]".repeat(33)), "dimensions");
    }
}
