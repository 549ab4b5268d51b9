//! A gRPC client for the tests: requests with DocArray v1 documents, written and read by hand so that the host's own
//! codecs are not their own judges.

use lockgate_testkit::RunningHost;
use lockgate_wire::proto::data_request_proto::DataContentProto;
use lockgate_wire::proto::data_request_proto::data_content_proto::Documents;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use lockgate_wire::proto::{DataRequestProto, HeaderProto};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::transport::Channel;
use tonic::{Response, Status};

/// A request with texts as documents and numbers as parameters.
pub(crate) fn request(endpoint: &str, texts: &[&str], parameters: &[(&str, f64)]) -> DataRequestProto {
    let mut documents = Vec::new();
    for text in texts {
        let mut document = Vec::new();
        write_field(&mut document, 4, text.as_bytes());
        write_field(&mut documents, 1, &document);
    }
    let fields = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value { kind: Some(Kind::NumberValue(*value)) }))
        .collect();
    DataRequestProto {
        header: Some(HeaderProto {
            request_id: format!("request-{}", texts.join("-")),
            exec_endpoint: Some(endpoint.to_owned()),
            ..HeaderProto::default()
        }),
        parameters: Some(Struct { fields }),
        routes: Vec::new(),
        data: Some(DataContentProto { documents: Some(Documents::Docs(documents.into())) }),
    }
}

/// The texts of a reply's documents.
pub(crate) fn texts(reply: &DataRequestProto) -> Vec<String> {
    let Some(Documents::Docs(documents)) = reply.data.as_ref().and_then(|data| data.documents.clone()) else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    for (number, document) in fields(&documents) {
        assert_eq!(number, 1, "a list has documents only");
        let text = fields(&document).into_iter().find(|(number, _)| *number == 4);
        texts.push(text.map(|(_, text)| String::from_utf8(text).unwrap()).unwrap_or_default());
    }
    texts
}

/// A channel to the host.
pub(crate) async fn channel(host: &RunningHost) -> Channel {
    channel_to(&host.url("")).await
}

/// A channel to whoever serves at a URL.
pub(crate) async fn channel_to(url: &str) -> Channel {
    Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap()
}

/// One unary call on a channel of its own.
pub(crate) async fn unary(
    host: &RunningHost,
    request: DataRequestProto,
) -> Result<Response<DataRequestProto>, Status> {
    JinaSingleDataRequestRpcClient::new(channel(host).await).process_single_data(request).await
}

fn write_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Numbers and bytes of the length-delimited fields; others are passed over.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = prost::encoding::decode_varint(&mut bytes).unwrap();
        match key & 7 {
            0 => drop(prost::encoding::decode_varint(&mut bytes).unwrap()),
            1 => bytes = &bytes[8..],
            5 => bytes = &bytes[4..],
            _ => {
                let len = prost::encoding::decode_varint(&mut bytes).unwrap() as usize;
                let (value, rest) = bytes.split_at(len);
                found.push((key >> 3, value.to_vec()));
                bytes = rest;
            }
        }
    }
    found
}
