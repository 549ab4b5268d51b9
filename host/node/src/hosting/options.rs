//! Configuration of a host with tenants: what its operator decides at the start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockgate_domain::spec::GatewaySpec;
use lockgate_gateway::GatewayOptions;
use lockgate_registry::jwt::JwtOptions;
use lockgate_registry::oci::OciOptions;
use lockgate_runtime::CompilerCommand;
use lockgate_socket::Certificate;

/// What a host with tenants is made of.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where everything is kept; made if it is not there.
    pub data_dir: PathBuf,
    /// Where calls come in.
    pub data_address: SocketAddr,
    /// Where the control API listens.
    pub control_address: SocketAddr,
    /// What the data plane shows to callers; none speaks no TLS.
    pub data_certificate: Option<Certificate>,
    /// What the control API shows to callers; none speaks no TLS.
    pub control_certificate: Option<Certificate>,
    /// Whether nobody has to say who it is. Refused unless both addresses are loopback.
    pub dev: bool,
    /// The process that compiles; none compiles in this one, which only tests should do.
    pub compiler: Option<CompilerCommand>,
    /// Bytes of compiled code kept on disk.
    pub cache_bytes: u64,
    /// Largest component in bytes.
    pub max_component_bytes: u64,
    /// Most instances of all executors at once.
    pub max_instances: u32,
    /// The key of the secrets, unless it is the one in the data directory.
    pub vault_key_file: Option<PathBuf>,
    /// Which JSON Web Tokens are taken; none takes API keys only.
    pub tokens: Option<JwtOptions>,
    /// Registries that components may be pulled from.
    pub oci: OciOptions,
    /// Time without a call after which an executor's code leaves memory.
    pub evict_after: Duration,
    /// Revisions whose code may be in memory at once.
    pub max_resident: usize,
    /// Sizes, counts and waiting times of the data plane.
    pub gateway: GatewayOptions,
}

impl HostOptions {
    /// The usual port of the data plane.
    pub const DATA_PORT: u16 = 8080;
    /// The usual port of the control API.
    pub const CONTROL_PORT: u16 = 8081;

    /// The usual host with this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data_dir: data_dir.into(),
            data_address: loopback(Self::DATA_PORT),
            control_address: loopback(Self::CONTROL_PORT),
            data_certificate: None,
            control_certificate: None,
            dev: false,
            compiler: None,
            cache_bytes: 4 << 30,
            max_component_bytes: 64 << 20,
            max_instances: 1024,
            vault_key_file: None,
            tokens: None,
            oci: OciOptions::default(),
            evict_after: Duration::from_secs(60),
            max_resident: 512,
            // Its page is read on the control socket; callers of the data plane are strangers.
            gateway: GatewayOptions { metrics: false, ..GatewayOptions::from_spec(&GatewaySpec::default()) },
        }
    }

    /// A file or folder in the data directory.
    pub(crate) fn place(&self, name: impl AsRef<Path>) -> PathBuf {
        self.data_dir.join(name)
    }
}
