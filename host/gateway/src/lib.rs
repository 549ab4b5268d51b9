//! The data plane: gRPC, HTTP and WebSocket on one port.
