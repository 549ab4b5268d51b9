//! The socket under every connection: one for all of this host's listeners.

pub(crate) use lockgate_socket::PatientSocket;
