//! What guests may import: the contract's interfaces and the part of WASI that plain programs need to start.
//!
//! Nothing else is in the linker, so nothing else can be reached: no sockets, no file. HTTP and key-value are in it for
//! everybody and do nothing without a grant. The shims translate types and charge fuel; what a value means is checked
//! where the documents live.

mod clocks;
mod documents;
mod http;
mod io;
mod key_value;
mod offer;
mod random;
mod records;
mod request;
mod services;
pub(crate) mod wasi;

pub(crate) use http::{HttpAccess, Outbound};
pub(crate) use offer::{CONTRACT_VERSION, EXECUTOR, Offered, functions_of, judge};
pub(crate) use random::Random;
pub(crate) use records::GuestError;

use wasmtime::component::Linker;
use wasmtime::{AsContextMut, Engine, StoreContextMut, Trap};

use crate::state::InstanceState;

/// The store inside a host function.
type Host<'a> = StoreContextMut<'a, InstanceState>;

/// Fuel of one host call: about what it costs in the host, counted in the guest's instructions.
const CALL_FUEL: u64 = 1000;
/// Bytes moved for one unit of fuel.
const BYTES_PER_FUEL: u64 = 4;

/// The linker of all components. A component uses of it what it imports.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(engine);
    documents::link(&mut linker.instance(&offer::contract("docs"))?)?;
    request::link(&mut linker.instance(&offer::contract("request"))?)?;
    services::link(&mut linker.instance(&offer::contract("host"))?)?;
    key_value::link(&mut linker.instance(&offer::contract("key-value"))?)?;
    wasi::link(&mut linker)?;
    http::link(&mut linker)?;
    // From here on functions of the originals are replaced.
    linker.allow_shadowing(true);
    io::link(&mut linker)?;
    http::link_journaled(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// Charges for one host call that moves `bytes`, so that ten million cheap calls are not cheap.
fn charge(store: &mut Host<'_>, bytes: u64) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let price = CALL_FUEL + bytes / BYTES_PER_FUEL;
    match store.get_fuel()?.checked_sub(price) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}
