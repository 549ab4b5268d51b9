//! Signatures of components: ed25519 over a message that says what is signed, so that a signature of anything else never
//! counts as one of a component.
//!
//! The message is the domain `lockgate component v1`, a line break, and the digest in its usual text. A signature is
//! written `NAME:BASE64`, where NAME is that of the key the tenant registered. Verification is the strict one: one
//! signature has one form, and keys of small order, with which anything verifies, are refused when they are registered.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use lockgate_domain::{ComponentDigest, ErrorCode, Problem, SigningKeyName};
use zeroize::Zeroizing;

const DOMAIN: &str = "lockgate component v1\n";
/// Longest key in PEM that is looked at; one of ed25519 has about 120 bytes.
const MAX_PEM_BYTES: usize = 4 << 10;
/// Base64 of the 64 bytes of a signature.
const SIGNATURE_CHARACTERS: usize = 88;

/// A signature and the name of the key that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct ComponentSignature {
    /// The tenant's name for the key.
    pub key: SigningKeyName,
    signature: Signature,
}

/// The public half of a signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicSigningKey(VerifyingKey);

/// The private half, which never leaves whoever signs.
pub struct PrivateSigningKey(SigningKey);

// === impl PrivateSigningKey ===

impl PrivateSigningKey {
    /// A new one.
    pub fn generate() -> Result<Self, Problem> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| {
            Problem::new(ErrorCode::HostFault, "the system gives no random numbers for a key")
        })?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// From PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it as well.
    pub fn from_pem(pem: &str) -> Result<Self, Problem> {
        let bad = "it is no ed25519 private key in PEM (PKCS#8)";
        if pem.len() > MAX_PEM_BYTES {
            return Err(bad_key(bad));
        }
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| bad_key(bad))
    }

    /// In PKCS#8 and PEM.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, Problem> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|error| bad_key(&error.to_string()))
    }

    /// The public half.
    pub fn public(&self) -> PublicSigningKey {
        PublicSigningKey(self.0.verifying_key())
    }

    /// Signs a component under the name that the tenant gave the public half.
    pub fn sign(&self, key: SigningKeyName, digest: ComponentDigest) -> ComponentSignature {
        ComponentSignature { key, signature: self.0.sign(message(digest).as_bytes()) }
    }
}

impl fmt::Debug for PrivateSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateSigningKey(..)")
    }
}

// === impl PublicSigningKey ===

impl PublicSigningKey {
    /// From PEM, as tenants register it.
    pub fn from_pem(pem: &str) -> Result<Self, Problem> {
        if pem.contains("PRIVATE KEY") {
            return Err(bad_key(
                "it is a private key; it stays with whoever signs, the host needs the public one",
            ));
        }
        let bad = "it is no ed25519 public key in PEM";
        if pem.len() > MAX_PEM_BYTES {
            return Err(bad_key(bad));
        }
        match VerifyingKey::from_public_key_pem(pem) {
            Ok(key) if key.is_weak() => {
                Err(bad_key("it is one of the few keys with which anything verifies"))
            }
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(bad_key(bad)),
        }
    }

    /// In PEM.
    pub fn to_pem(&self) -> Result<String, Problem> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|error| bad_key(&error.to_string()))
    }

    /// Whether the other half signed this component.
    pub fn verify(&self, digest: ComponentDigest, signature: &ComponentSignature) -> Result<(), Problem> {
        self.0.verify_strict(message(digest).as_bytes(), &signature.signature).map_err(|_| {
            let name = &signature.key;
            let message = format!("the signature is not that of key {name:?} over component {digest}");
            Problem::new(ErrorCode::PermissionDenied, message)
                .with_digest(digest)
                .with_hint("sign exactly the file that is uploaded: lockgate sign FILE")
        })
    }
}

impl fmt::Debug for PublicSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicSigningKey({})", STANDARD.encode(self.0.as_bytes()))
    }
}

// === impl ComponentSignature ===

impl fmt::Display for ComponentSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key, STANDARD.encode(self.signature.to_bytes()))
    }
}

impl fmt::Debug for ComponentSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ComponentSignature {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |why: String| {
            Problem::new(ErrorCode::InvalidRequest, format!("the signature cannot be read: {why}"))
                .with_hint("it looks like NAME:BASE64; lockgate sign prints one")
        };
        let (name, encoded) = text.split_once(':').ok_or_else(|| bad("it has no ':'".into()))?;
        let key = name.parse().map_err(|error| bad(format!("{error}")))?;
        let mut bytes = [0; 66];
        let length = match encoded.len() {
            SIGNATURE_CHARACTERS => STANDARD.decode_slice(encoded, &mut bytes).ok(),
            _ => None,
        };
        let signature = length.and_then(|length| bytes.get(..length)).map(Signature::from_slice);
        match signature {
            Some(Ok(signature)) => Ok(Self { key, signature }),
            Some(Err(_)) | None => Err(bad("after the ':' there are no 64 bytes in base64".into())),
        }
    }
}

/// What is signed.
fn message(digest: ComponentDigest) -> String {
    format!("{DOMAIN}{digest}")
}

fn bad_key(why: &str) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, format!("the signing key cannot be used: {why}")).with_hint(
        "lockgate sign makes a pair of keys with --generate; so does openssl genpkey -algorithm ed25519",
    )
}

#[cfg(test)]
mod tests;
