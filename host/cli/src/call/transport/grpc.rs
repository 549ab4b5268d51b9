//! Jina's gRPC services: one answer per request, or one document in and documents out.

use std::time::Duration;

use lockgate_socket::ClientTls;
use lockgate_wire::envelope::{Answer, Request};
use lockgate_wire::grpc;
use lockgate_wire::proto::jina_single_data_request_rpc_client::JinaSingleDataRequestRpcClient;
use lockgate_wire::proto::jina_single_document_request_rpc_client::JinaSingleDocumentRequestRpcClient;
use serde_json::Value;
use tonic::Code;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;

use super::{MAX_ANSWER_BYTES, Take, channel, innermost, limits, refused, unreadable};
use crate::call::target::Target;
use crate::failure::{Failure, Report};

/// Where a gateway puts the whole problem of a refused request.
const ERROR: &str = "lockgate-error";
/// What Jina says of an endpoint that does not stream.
const NO_GENERATOR: &str = "endpoint must be generator";

pub(super) struct GrpcConnection {
    target: Target,
    answers: JinaSingleDataRequestRpcClient<Channel>,
    streams: JinaSingleDocumentRequestRpcClient<Channel>,
    marks: MetadataMap,
}

impl GrpcConnection {
    pub(super) async fn open(
        target: &Target,
        secure: Option<&ClientTls>,
        marks: MetadataMap,
    ) -> Result<Self, Report> {
        let channel = channel(target, secure).await?;
        let answers = JinaSingleDataRequestRpcClient::new(channel.clone())
            .max_decoding_message_size(MAX_ANSWER_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES);
        let streams = JinaSingleDocumentRequestRpcClient::new(channel)
            .max_decoding_message_size(MAX_ANSWER_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { target: target.clone(), answers, streams, marks })
    }

    pub(super) async fn call(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Answer, Report> {
        let message = grpc::encode_request(request).map_err(|problem| refused(&problem))?;
        let message = self.marked(message, timeout);
        let reply = self.answers.process_single_data(message).await;
        let reply = reply.map_err(|status| explain(&status, self.target.tls))?;
        grpc::decode_reply(reply.into_inner(), &limits()).map_err(|problem| unreadable(&problem))
    }

    /// Hands over each document as it comes, and the failure if there is one.
    pub(super) async fn stream(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
        take: &mut Take<'_>,
    ) -> Result<(), Failure> {
        let message = grpc::encode_single(request).map_err(|problem| refused(&problem))?;
        let message = self.marked(message, timeout);
        let told = |status: tonic::Status| match status.code() {
            Code::Unimplemented => Report::new(format!("{} does not stream", self.target))
                .hint("leave --stream out for whole answers; Jina streams from 3.20 on"),
            _ => explain(&status, self.target.tls),
        };
        let mut messages = self.streams.stream_doc(message).await.map_err(told)?.into_inner();
        while let Some(message) = messages.message().await.map_err(told)? {
            let answer =
                grpc::decode_single_reply(message, &limits()).map_err(|problem| unreadable(&problem))?;
            if answer.failure.as_ref().is_some_and(|problem| problem.message().contains(NO_GENERATOR)) {
                let endpoint = request.endpoint.as_deref().unwrap_or("/");
                return Err(Report::new(format!(
                    "the endpoint {endpoint} of {} does not stream",
                    self.target
                ))
                .hint("leave --stream out for whole answers")
                .into());
            }
            take(&answer)?;
        }
        Ok(())
    }

    fn marked<M>(&self, message: M, timeout: Option<Duration>) -> tonic::Request<M> {
        let mut message = tonic::Request::new(message);
        *message.metadata_mut() = self.marks.clone();
        if let Some(timeout) = timeout {
            message.set_timeout(timeout);
        }
        message
    }
}

/// A gRPC status in the words of the gateway, whose whole problem travels in the metadata.
fn explain(status: &tonic::Status, tls: bool) -> Report {
    let problem =
        status.metadata().get(ERROR).and_then(|json| serde_json::from_slice::<Value>(json.as_bytes()).ok());
    if let Some(report) = problem.as_ref().and_then(Report::from_json) {
        return report;
    }
    if let Some(error) = std::error::Error::source(status) {
        // The gateway did not say so: the connection did. What a TLS port answers to plain HTTP/2 is often lost with it.
        let report = Report::new("the connection to the gateway broke off").because(innermost(error));
        return if tls { report } else { report.hint("where this port speaks TLS, write grpcs://") };
    }
    match (status.message(), status.message().split_once("; hint: ")) {
        ("", _) => Report::new(format!("the gateway answered {:?}", status.code())),
        (_, Some((message, hint))) => Report::new(message).hint(hint),
        (message, None) => Report::new(message),
    }
}
