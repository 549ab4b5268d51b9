//! The native twins of the benchmark guest: the same change to the same documents, in this process, without wasm.

use lockgate_domain::document::{DocumentListBuilder, Overlay, Tensor, names};
use lockgate_domain::{DocumentList, Limits};

/// Width of the vectors that `/embed` writes; the guest has the same.
pub(crate) const WIDTH: usize = 768;

/// A list of short texts (64 bytes each).
pub(crate) fn texts(count: u32) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for index in 0..count {
        let row = builder.push_root().expect("within limits");
        let text = format!("{index:04} the quick brown fox jumps over the lazy dog and goes away");
        builder.set_text(names::ID, row, &format!("document-{index}")).expect("a text");
        builder.set_text(names::TEXT, row, text.get(..64).unwrap_or(&text)).expect("a text");
    }
    builder.finish().expect("a list")
}

/// A list of documents with a blob of 100 KiB each.
pub(crate) fn blobs(count: u32) -> DocumentList {
    let mut builder = DocumentListBuilder::new(Limits::default());
    for index in 0..count {
        let row = builder.push_root().expect("within limits");
        builder.set_text(names::ID, row, &format!("document-{index}")).expect("a text");
        builder.set_bytes(names::BLOB, row, vec![index as u8; 100 << 10].into()).expect("a blob");
    }
    builder.finish().expect("a list")
}

/// Changes every text; the twin of the guest's text endpoints.
pub(crate) fn map_texts(list: &DocumentList, change: impl Fn(&str) -> String) -> DocumentList {
    let mut overlay = Overlay::new(list.clone(), &Limits::default());
    let (mut data, mut ends) = (String::new(), Vec::with_capacity(list.len() as usize));
    for row in 0..list.len() {
        data.push_str(&change(list.text(names::TEXT, row).unwrap_or("")));
        ends.push(data.len() as u32);
    }
    overlay.set_text_packed(names::TEXT, 0, data, ends, Vec::new()).expect("texts that fit");
    overlay.commit().expect("a list")
}

/// Writes a vector to every document; the twin of `/embed`.
pub(crate) fn embed(list: &DocumentList) -> DocumentList {
    let mut overlay = Overlay::new(list.clone(), &Limits::default());
    let rows = list.len() as usize;
    let values: Vec<f32> = (0..rows * WIDTH).map(|index| (index % WIDTH) as f32).collect();
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![list.len(), WIDTH as u32];
    let tensor =
        Tensor::new(lockgate_domain::document::DType::Float32, shape, data.into()).expect("a tensor");
    overlay.set_stacked(names::EMBEDDING, 0, tensor).expect("a tensor that fits");
    overlay.commit().expect("a list")
}
