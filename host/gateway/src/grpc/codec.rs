//! The gRPC codec: requests stay bytes until they are admitted, replies are written straight into the frame.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Bytes in, messages out.
#[derive(Debug)]
pub(super) struct ReplyCodec<M>(PhantomData<M>);

/// Hands a message's bytes on as they are.
#[derive(Debug)]
pub(super) struct RawDecoder;

impl<M> ReplyCodec<M> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: Message + 'static> Codec for ReplyCodec<M> {
    type Encode = M;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> Self {
        Self::new()
    }

    fn decoder(&mut self) -> RawDecoder {
        RawDecoder
    }
}

impl<M: Message> Encoder for ReplyCodec<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, item: M, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.reserve(item.encoded_len());
        item.encode(dst).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for RawDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}
