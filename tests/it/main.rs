//! Integration tests: the real binary, real guests, real clients.
//!
//! One binary with one module per promise. Each test starts a host of its own on a free port; guests, compiled code
//! and the Python environment are made once and kept in the target folder (see `lockgate-testkit`).
#![cfg(test)]

mod batching;
mod capabilities;
mod clients;
mod command_line;
mod departures;
mod examples;
mod export;
mod external;
mod familiar;
mod graphs;
mod grpc;
mod hosting;
mod isolation;
mod jina;
mod kill;
mod lifecycle;
mod metrics;
mod new;
mod oci;
mod protocols;
mod readme;
mod refused_components;
mod replay;
mod strangers;
mod streaming;
mod support;
mod tls;
