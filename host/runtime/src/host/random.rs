//! `wasi:random`: numbers of the system, or the same ones in every instance where the revision says `seeded`.
//!
//! All three interfaces draw from one source. The system's numbers are good enough for keys; the seeded ones are for
//! tests and simulations, and an executor that is granted them has no secret from whoever knows the seed.

use bytes::Bytes;
use lockgate_domain::RandomGrant;
use sha2::{Digest, Sha256};
use wasmtime::AsContextMut;
use wasmtime::component::Linker;

use super::{Host, charge};
use crate::journal::{Blob, answered};
use crate::state::InstanceState;

/// Most random bytes in one call.
const MAX_BYTES: u64 = 64 << 10;

/// The numbers of one instance.
#[derive(Debug)]
pub(crate) enum Random {
    /// the system's
    System,
    /// SHA-256 of seed and counter, block after block
    Seeded {
        /// where they start
        seed: u64,
        /// the next block
        block: u64,
        /// what is left of the last one
        rest: Vec<u8>,
    },
}

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system has no random numbers")]
struct NoRandom;

impl Random {
    pub(crate) fn new(grant: RandomGrant) -> Self {
        match grant {
            RandomGrant::System => Random::System,
            RandomGrant::Seeded(seed) => Random::Seeded { seed, block: 0, rest: Vec::new() },
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        match self {
            Random::System => Ok(getrandom::fill(bytes).map_err(|_| std::io::Error::other(NoRandom))?),
            Random::Seeded { seed, block, rest } => {
                for byte in bytes {
                    if rest.is_empty() {
                        let digest = Sha256::new_with_prefix(seed.to_le_bytes());
                        *rest = digest.chain_update(block.to_le_bytes()).finalize().to_vec();
                        *block = block.wrapping_add(1);
                    }
                    *byte = rest.pop().unwrap_or_default();
                }
                Ok(())
            }
        }
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

pub(super) fn link(linker: &mut Linker<InstanceState>, version: &str) -> wasmtime::Result<()> {
    let mut random = linker.instance(&format!("wasi:random/random@{version}"))?;
    random.func_wrap("get-random-bytes", bytes)?;
    random.func_wrap("get-random-u64", number)?;
    let mut insecure = linker.instance(&format!("wasi:random/insecure@{version}"))?;
    insecure.func_wrap("get-insecure-random-bytes", bytes)?;
    insecure.func_wrap("get-insecure-random-u64", number)?;
    let mut seed = linker.instance(&format!("wasi:random/insecure-seed@{version}"))?;
    seed.func_wrap("insecure-seed", |mut store: Host<'_>, (): ()| {
        let (low,) = number(store.as_context_mut(), ())?;
        let (high,) = number(store, ())?;
        Ok(((low, high),))
    })
}

fn bytes(mut store: Host<'_>, (len,): (u64,)) -> wasmtime::Result<(Bytes,)> {
    if len > MAX_BYTES {
        wasmtime::bail!("asked for {len} random bytes, at most {MAX_BYTES} are given");
    }
    charge(&mut store, len * 4)?;
    let Blob(bytes) = answered!(store, "random.bytes", &len.to_le_bytes(), {
        let mut bytes = vec![0; len as usize];
        store.data_mut().random.fill(&mut bytes).map(|()| Blob(bytes))
    });
    Ok((bytes.into(),))
}

fn number(mut store: Host<'_>, (): ()) -> wasmtime::Result<(u64,)> {
    charge(&mut store, 0)?;
    let number: u64 = answered!(store, "random.u64", &[], store.data_mut().random.number());
    Ok((number,))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_numbers_are_the_same_and_the_systems_are_not() {
        let draw = |grant| {
            let mut random = Random::new(grant);
            let mut bytes = [0; 40];
            random.fill(&mut bytes).unwrap();
            (bytes, random.number().unwrap())
        };
        assert_eq!(draw(RandomGrant::Seeded(1)), draw(RandomGrant::Seeded(1)));
        assert_ne!(draw(RandomGrant::Seeded(1)), draw(RandomGrant::Seeded(2)));
        assert_ne!(draw(RandomGrant::System), draw(RandomGrant::System));
    }
}
