//! Compiles the protobuf schema without protoc.
//!
//! `proto/jina.proto` is written once, against DocArray v2. Two variants are derived from its descriptor: the same
//! against DocArray v1, and the one that is decoded, in which documents are raw bytes (a message and a `bytes` field
//! look alike on the wire), so that documents of either version go straight into columns.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let v2 = protox::compile(["jina.proto"], ["proto", "proto/v2"])?;
    let v1_documents = protox::compile(["docarray.proto"], ["proto/v1"])?;
    let v1 = against_v1(&v2, &v1_documents)?;
    std::fs::write(out.join("docarray_v1.bin"), v1.encode_to_vec())?;
    std::fs::write(out.join("docarray_v2.bin"), v2.encode_to_vec())?;
    generate(with_raw_documents(&v2), &out.join("served"), true)?;
    generate(v1, &out.join("v1"), false)?;
    generate(v2, &out.join("v2"), false)?;
    Ok(())
}

fn generate(set: FileDescriptorSet, folder: &Path, services: bool) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    tonic_prost_build::configure()
        .build_client(services)
        .build_server(services)
        .bytes(".")
        .out_dir(folder)
        .emit_rerun_if_changed(false)
        .compile_fds(set)
}

/// `jina.proto` with DocArray v1's file in place of v2's.
fn against_v1(v2: &FileDescriptorSet, documents: &FileDescriptorSet) -> Result<FileDescriptorSet, String> {
    let mut set = v2.clone();
    for file in &mut set.file {
        match file.name() {
            "docarray.proto" => {
                let twin = documents.file.iter().find(|twin| twin.name() == "docarray.proto");
                *file = twin.ok_or("DocArray v1's descriptor is missing")?.clone();
            }
            "jina.proto" => each_field(&mut file.message_type, &mut |field| {
                field.type_name = match field.type_name.as_deref() {
                    Some(".docarray.DocListProto") => Some(".docarray.DocumentArrayProto".to_owned()),
                    Some(".docarray.DocProto") => Some(".docarray.DocumentProto".to_owned()),
                    other => other.map(str::to_owned),
                };
            }),
            _ => {}
        }
    }
    Ok(set)
}

/// `jina.proto` with documents as bytes and without the import they came from.
fn with_raw_documents(v2: &FileDescriptorSet) -> FileDescriptorSet {
    let mut set = v2.clone();
    set.file.retain(|file| file.name() != "docarray.proto");
    for file in set.file.iter_mut().filter(|file| file.name() == "jina.proto") {
        file.dependency.retain(|name| name != "docarray.proto");
        each_field(&mut file.message_type, &mut |field| {
            if field.type_name.as_deref().is_some_and(|name| name.starts_with(".docarray.")) {
                field.set_type(Type::Bytes);
                field.type_name = None;
            }
        });
    }
    set
}

fn each_field(messages: &mut [DescriptorProto], change: &mut impl FnMut(&mut FieldDescriptorProto)) {
    for message in messages {
        message.field.iter_mut().for_each(&mut *change);
        each_field(&mut message.nested_type, change);
    }
}
