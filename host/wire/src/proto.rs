//! The generated messages and services, and the descriptors that reflection shows.
//!
//! In these messages documents are raw bytes: [`crate::docs`] turns them into columns without a struct per document.
//! Decoding is bounded by prost's recursion limit; sizes are bounded by whoever reads the message from the socket.

/// Messages, servers and clients of package `jina`.
#[expect(
    missing_docs,
    non_camel_case_types,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated from proto/jina.proto, which documents them"
)]
pub mod jina {
    include!(concat!(env!("OUT_DIR"), "/served/jina.rs"));
}

pub use jina::*;

/// The true schema with documents of DocArray v1.
pub const FILE_DESCRIPTOR_SET_V1: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docarray_v1.bin"));
/// The true schema with documents of DocArray v2.
pub const FILE_DESCRIPTOR_SET_V2: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docarray_v2.bin"));
/// What a reflection service shows. Both versions of DocArray use the same names, so there is one to choose: the
/// newer.
pub const FILE_DESCRIPTOR_SETS: &[&[u8]] = &[FILE_DESCRIPTOR_SET_V2];

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    #[test]
    fn descriptors_are_complete_and_true() {
        let check = |set: &[u8], documents: &str| {
            let set = FileDescriptorSet::decode(set).unwrap();
            let names: Vec<&str> = set.file.iter().map(|file| file.name()).collect();
            for file in &set.file {
                assert!(file.dependency.iter().all(|name| names.contains(&name.as_str())), "{names:?}");
            }
            let jina = set.file.iter().find(|file| file.name() == "jina.proto").unwrap();
            let request =
                jina.message_type.iter().find(|message| message.name() == "DataRequestProto").unwrap();
            assert_eq!(request.nested_type[0].field[0].type_name(), documents);
            assert_eq!(jina.service.len(), 7);
        };
        check(FILE_DESCRIPTOR_SET_V1, ".docarray.DocumentArrayProto");
        check(FILE_DESCRIPTOR_SET_V2, ".docarray.DocListProto");
    }
}
