//! The socket of the gateway, and what to say when there is none.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use lockgate_domain::spec::{GatewaySpec, Protocol};
use lockgate_node::{Certificate, Listener, Port};
use tokio::net::TcpListener;

use crate::console::Console;
use crate::failure::Report;

/// Where a flow is served unless something else is asked for.
pub(crate) const DEFAULT_HOST: &str = "127.0.0.1";
/// The port of `lockgate up` unless something else is asked for.
pub(crate) const DEFAULT_PORT: u16 = 8080;

/// Binds: the command line wins over the flow, the flow over the defaults. A host that others can reach is warned
/// about.
pub(crate) async fn bind(
    host: Option<&str>,
    port: Option<u16>,
    gateway: &GatewaySpec,
    certificate: Option<Certificate>,
    console: &Console,
) -> Result<Vec<Port>, Report> {
    let host = host.or(gateway.host.as_deref()).unwrap_or(DEFAULT_HOST);
    let wanted: Vec<(u16, Option<Protocol>)> = match port {
        None if !gateway.ports.is_empty() => {
            gateway.ports.iter().map(|port| (port.port, Some(port.protocol))).collect()
        }
        port => vec![(port.or(gateway.port).unwrap_or(DEFAULT_PORT), None)],
    };
    let mut ports = Vec::with_capacity(wanted.len());
    for (port, protocol) in wanted {
        let address = resolve(host, port)?;
        let listener = TcpListener::bind(address).await.map_err(|error| explain(&error, address))?;
        ports.push(Port { listener: Listener::new(listener, certificate.clone()), protocol });
    }
    let address = resolve(host, DEFAULT_PORT)?;
    if !address.ip().is_loopback() {
        console.warn(format_args!(
            "{} can be reached from other machines, and 'lockgate up' asks nobody for a key: anybody who reaches the port may call the flow",
            show_host(address.ip())
        ));
    }
    Ok(ports)
}

/// The address that a host and a port stand for.
pub(crate) fn resolve(host: &str, port: u16) -> Result<SocketAddr, Report> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = (bare, port).to_socket_addrs().map(|mut addresses| addresses.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(unknown_host(host)),
        Err(error) => Err(unknown_host(host).because(&error)),
    }
}

fn unknown_host(host: &str) -> Report {
    Report::new(format!("{host:?} is no address to listen on"))
        .hint("--host 127.0.0.1 serves this machine, --host 0.0.0.0 every network it is in")
}

fn explain(error: &io::Error, address: SocketAddr) -> Report {
    let report = Report::new(format!("cannot listen on {address}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => Report::new(format!("port {} is in use", address.port()))
            .hint(format!(
                "choose another one with --port {}, or let the system choose with --port 0",
                address.port().wrapping_add(1).max(1024)
            ))
            .hint(format!("'ss -ltnp sport = :{}' shows who has it", address.port())),
        io::ErrorKind::PermissionDenied => {
            report.because(error).hint("ports below 1024 need privileges; --port 8080 needs none")
        }
        io::ErrorKind::AddrNotAvailable => report
            .because(error)
            .hint("--host must be an address of this machine; 0.0.0.0 stands for all of them"),
        _ => report.because(error),
    }
}

/// The host to write into URLs: an unspecified address is no address to call.
pub(crate) fn callable(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".into(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".into(),
        ip => show_host(ip),
    };
    format!("{ip}:{}", address.port())
}

fn show_host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_that_can_be_called() {
        let check = |address: &str, expected: &str| assert_eq!(callable(address.parse().unwrap()), expected);
        check("127.0.0.1:8080", "127.0.0.1:8080");
        check("0.0.0.0:80", "127.0.0.1:80");
        check("[::]:80", "[::1]:80");
        check("[::1]:80", "[::1]:80");
        check("10.0.0.7:80", "10.0.0.7:80");
    }

    #[tokio::test]
    async fn a_taken_port_is_told() {
        let console = Console::new(crate::args::Color::Never, crate::args::LogLines::Pretty);
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let report = bind(None, Some(port), &GatewaySpec::default(), None, &console).await.unwrap_err();
        let text = anstream::adapter::strip_str(&report.render()).to_string();
        assert!(
            text.starts_with(&format!("error: port {port} is in use\nhint: choose another one")),
            "{text}"
        );
    }
}
