//! Keys that tokens are verified with, each with the algorithms that it may be used for.
//!
//! A public key read as the secret of HS256 would let everybody who knows it make tokens, so a secret file that holds a
//! key in PEM is refused, and a key set may hold public keys only.

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use lockgate_domain::{ErrorCode, Problem};
use zeroize::Zeroizing;

use super::JwtKeySource;

/// Longest key file in bytes.
const MAX_FILE_BYTES: u64 = 256 << 10;
/// Keys of one set at most.
const MAX_KEYS: usize = 64;
/// Shortest secret of HS256: as long as its hash.
const MIN_SECRET_BYTES: usize = 32;
/// Shortest RSA modulus.
const MIN_RSA_BYTES: usize = 256;
/// Uncompressed points of the two curves.
const P256_POINT_BYTES: usize = 65;
const P384_POINT_BYTES: usize = 97;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// One key and what it may be used for.
pub(super) struct VerifyingKey {
    id: Option<String>,
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// The keys of the issuer.
pub(super) struct VerifyingKeys {
    keys: Vec<VerifyingKey>,
    /// Whether tokens choose among several keys.
    is_set: bool,
}

// === impl VerifyingKeys ===

impl VerifyingKeys {
    /// Reads the operator's file.
    pub(super) fn read(source: &JwtKeySource) -> Result<Self, Problem> {
        let (JwtKeySource::Pem(path) | JwtKeySource::Jwks(path) | JwtKeySource::Secret(path)) = source;
        let bytes = read_file(path)?;
        let (keys, is_set) = match source {
            JwtKeySource::Pem(_) => (vec![from_pem(&bytes).map_err(|why| cannot_use(path, why))?], false),
            JwtKeySource::Jwks(_) => (from_set(&bytes).map_err(|why| cannot_use(path, &why))?, true),
            JwtKeySource::Secret(_) => {
                (vec![from_secret(&bytes).map_err(|why| cannot_use(path, why))?], false)
            }
        };
        Ok(Self { keys, is_set })
    }

    /// The key that a token means. One key is meant by every token; of several, the token has to name one.
    pub(super) fn find(&self, id: Option<&str>) -> Result<&VerifyingKey, &'static str> {
        match (self.keys.as_slice(), id) {
            ([only], None) => Ok(only),
            ([only], Some(_)) if !self.is_set || only.id.is_none() => Ok(only),
            (_, None) => Err("its header names no key (kid)"),
            (keys, Some(id)) => {
                let found = keys.iter().find(|key| key.id.as_deref() == Some(id));
                found.ok_or("its header names a key (kid) that the issuer's key set does not have")
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let size = std::fs::metadata(path).map(|data| data.len());
    match size {
        Ok(size) if size > MAX_FILE_BYTES => Err(cannot_use(path, "it is too large for a key")),
        Ok(_) => {
            std::fs::read(path).map(Zeroizing::new).map_err(|error| cannot_use(path, &error.to_string()))
        }
        Err(error) => Err(cannot_use(path, &error.to_string())),
    }
}

fn cannot_use(path: &Path, why: &str) -> Problem {
    let path = path.display();
    Problem::new(
        ErrorCode::InvalidRequest,
        format!("the key file of JSON Web Tokens {path} cannot be used: {why}"),
    )
    .with_hint("it holds a public key in PEM, a JSON Web Key Set, or a secret of 32 bytes or more")
}

fn from_pem(bytes: &[u8]) -> Result<VerifyingKey, &'static str> {
    if bytes.windows(b"PRIVATE KEY".len()).any(|part| part == b"PRIVATE KEY") {
        return Err("it is a private key; it stays with the issuer, and the host needs the public one");
    }
    if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
        // The modulus is the larger part of this encoding.
        let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
        return if length > MIN_RSA_BYTES {
            Ok(single(key, RSA))
        } else {
            Err("RSA keys need 2048 bits or more")
        };
    }
    if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
        return match key.try_get_as_bytes().map_or(0, <[u8]>::len) {
            P256_POINT_BYTES => Ok(single(key, &[Algorithm::ES256])),
            P384_POINT_BYTES => Ok(single(key, &[Algorithm::ES384])),
            _ => Err("of the elliptic curves, P-256 and P-384 can be used"),
        };
    }
    match DecodingKey::from_ed_pem(bytes) {
        Ok(key) if key.try_get_as_bytes().is_ok_and(|key| key.len() == 32) => {
            Ok(single(key, &[Algorithm::EdDSA]))
        }
        Ok(_) | Err(_) => Err("it is no public key in PEM of RSA, P-256, P-384 or Ed25519"),
    }
}

fn single(key: DecodingKey, algorithms: &[Algorithm]) -> VerifyingKey {
    VerifyingKey { id: None, key, algorithms: algorithms.to_vec() }
}

fn from_secret(bytes: &[u8]) -> Result<VerifyingKey, &'static str> {
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err("it is a key in PEM, not a secret");
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Err("a secret needs 32 bytes or more");
    }
    Ok(single(DecodingKey::from_secret(secret), &[Algorithm::HS256]))
}

fn from_set(bytes: &[u8]) -> Result<Vec<VerifyingKey>, String> {
    let set: JwkSet =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
    let mut keys: Vec<VerifyingKey> = Vec::new();
    for jwk in &set.keys {
        // Providers publish keys for other purposes, and of kinds to come, in the same set.
        if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
            continue;
        }
        if let Some(key) = from_jwk(jwk)? {
            if keys.iter().any(|other| other.id == key.id) {
                return Err("two of its keys have the same kid, or none".into());
            }
            keys.push(key);
        }
    }
    match keys.len() {
        0 => Err("it has no key of RSA, P-256, P-384 or Ed25519 for signatures".into()),
        count if count > MAX_KEYS => Err(format!("it has more than {MAX_KEYS} keys")),
        _ => Ok(keys),
    }
}

/// None for a kind that is not known here.
fn from_jwk(jwk: &Jwk) -> Result<Option<VerifyingKey>, String> {
    let id = jwk.common.key_id.clone();
    let shown: String = id.as_deref().unwrap_or("without kid").chars().take(40).collect();
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => {
            return Err(format!("key {shown:?} is a secret; it may hold public keys only"));
        }
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return Ok(None),
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return Ok(None),
    };
    if let Some(said) = &jwk.common.key_algorithm {
        let said = said.to_string();
        algorithms.retain(|algorithm| format!("{algorithm:?}") == said);
        if algorithms.is_empty() {
            return Ok(None);
        }
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("key {shown:?} cannot be read: {error}"))?;
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            if n.iter().skip_while(|byte| **byte == 0).count() < MIN_RSA_BYTES {
                return Err(format!("key {shown:?} is an RSA key of less than 2048 bits"));
            }
        }
        DecodingKeyKind::SecretOrDer(bytes) => {
            if algorithms == [Algorithm::EdDSA] && bytes.len() != 32 {
                return Err(format!("key {shown:?} is no Ed25519 key"));
            }
        }
    }
    Ok(Some(VerifyingKey { id, key, algorithms }))
}
