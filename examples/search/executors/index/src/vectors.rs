//! Vectors by slot, and the exact nearest ones to a query.
//!
//! Every search compares with every vector: exact, and fast enough for some ten thousand. All vectors are as long as
//! the first one that came, and kept at length 1, so that a product is the cosine. Each has memory of its own: one
//! block that doubles as it grows would need three times its size at that moment.

/// Values that are multiplied side by side, which the compiler turns into wide instructions.
const LANES: usize = 8;

/// Vectors by slot.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    width: usize,
    slots: Vec<Option<Box<[f32]>>>,
}

/// A vector that has no direction that one could compare: a value is infinite or not a number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotFinite;

impl Vectors {
    /// Values per vector; 0 before the first.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// Keeps a vector of length 1 in a slot. Its number of values is the width of the first one.
    pub(crate) fn put(&mut self, slot: usize, vector: Vec<f32>) {
        if self.width == 0 {
            self.width = vector.len();
        }
        if self.slots.len() <= slot {
            self.slots.resize_with(slot.saturating_add(1), || None);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(vector.into_boxed_slice());
        }
    }

    /// Forgets the vector of a slot.
    pub(crate) fn remove(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
    }

    /// The cosines of a query of length 1 with all vectors, by slot, those above `min` only.
    pub(crate) fn near(&self, query: &[f32], min: f64) -> Vec<(usize, f64)> {
        let vectors =
            self.slots.iter().enumerate().filter_map(|(slot, vector)| Some((slot, vector.as_ref()?)));
        let cosines = vectors.map(|(slot, vector)| (slot, f64::from(product(query, vector))));
        cosines.filter(|(_, cosine)| *cosine > min).collect()
    }
}

/// The vector at length 1; zeros stay zeros.
pub(crate) fn unit(vector: &[f32]) -> Result<Vec<f32>, NotFinite> {
    // Scaled first, so that squares neither overflow nor vanish.
    let largest = vector
        .iter()
        .fold(0.0_f32, |largest, value| if value.is_nan() { f32::NAN } else { largest.max(value.abs()) });
    if vector.iter().any(|value| !value.is_finite()) || !largest.is_finite() {
        return Err(NotFinite);
    }
    if largest == 0.0 {
        return Ok(vector.to_vec());
    }
    let scaled: Vec<f32> = vector.iter().map(|value| value / largest).collect();
    let length = product(&scaled, &scaled).sqrt();
    Ok(scaled.into_iter().map(|value| value / length).collect())
}

/// The sum of products, in [`LANES`] independent sums.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_by_cosine() {
        let mut vectors = Vectors::default();
        for (slot, vector) in [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]].into_iter().enumerate() {
            vectors.put(slot, vector.to_vec());
        }
        let near = vectors.near(&[1.0, 0.0], 0.0);
        assert_eq!(near.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0, 2]);
        assert!((near[1].1 - 0.6).abs() < 1e-6);
        vectors.put(0, vec![0.0, 1.0]);
        vectors.remove(2);
        vectors.remove(7);
        assert_eq!(vectors.near(&[1.0, 0.0], 0.0), []);
    }

    #[test]
    fn what_has_no_direction() {
        assert_eq!(unit(&[1.0, f32::NAN]), Err(NotFinite));
        assert_eq!(unit(&[f32::INFINITY]), Err(NotFinite));
        assert_eq!(unit(&[0.0, 0.0]), Ok(vec![0.0, 0.0]));
        assert_eq!(unit(&[f32::MAX, 0.0]), Ok(vec![1.0, 0.0]));
        assert_eq!(unit(&[1e-38, 0.0]), Ok(vec![1.0, 0.0]));
    }

    proptest! {
        #[test]
        fn the_product_is_the_sum(pairs in proptest::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..40)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            prop_assert!((product(&a, &b) - expected).abs() < 1e-4);
        }
    }
}
