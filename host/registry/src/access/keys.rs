//! API keys: made once, kept as a hash, looked up for every request.
//!
//! The secret is 256 random bits, so one round of SHA-256 is enough to keep it: there is nothing to guess. The book holds
//! all keys of the host in memory, at most [`KeyBook::MAX_KEYS`] and [`KeyBook::MAX_OF_TENANT`] of one tenant; reading
//! takes no lock. What is on disk is the registry's business, which puts into the book what it has committed.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_domain::tenancy::ApiKey;
use lockgate_domain::{ErrorCode, KeyId, Principal, Problem, Scope, TenantName, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::credential::{Credential, KEY_PREFIX, SECRET_BYTES, takes_no_tokens, unauthenticated};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters and digits of a new key's public part: 71 bits, never the same twice in practice, and no secret.
const NEW_ID_CHARACTERS: usize = 12;
/// Longest label in bytes.
const MAX_LABEL_BYTES: usize = 100;

/// What somebody wants a key for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// Whose it is; none for the host's own.
    pub tenant: Option<TenantName>,
    /// What people call it.
    pub label: String,
    /// What it is good for.
    pub scopes: BTreeSet<Scope>,
    /// How long it works; none for ever.
    pub expires_in: Option<Duration>,
}

/// A key as it is kept: without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What lists show.
    pub key: ApiKey,
    /// What its secret is compared with.
    pub hash: SecretHash,
}

/// SHA-256 of a key's secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

/// A new key. Its text is shown once and then gone.
pub struct MintedKey {
    /// What to keep.
    pub record: KeyRecord,
    /// `lg_<id>_<secret>`, for the one answer in which it is shown.
    pub text: Zeroizing<String>,
}

/// All keys of the host.
#[derive(Debug, Default)]
pub struct KeyBook {
    records: ArcSwap<HashMap<KeyId, Arc<KeyRecord>>>,
}

/// Makes a key.
pub fn mint(request: KeyRequest, now: Timestamp) -> Result<MintedKey, Problem> {
    check_request(&request)?;
    let id: KeyId = random_id()?.parse().map_err(|_| no_random_numbers())?;
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(secret.as_mut_slice()).map_err(|_| no_random_numbers())?;
    let mut text = Zeroizing::new(format!("{KEY_PREFIX}{id}_"));
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
    text.push_str(&encoded);
    let key = ApiKey {
        id,
        tenant: request.tenant,
        label: request.label,
        scopes: request.scopes,
        created_at: now,
        expires_at: request.expires_in.map(|wait| now.after(wait)),
        revoked_at: None,
    };
    Ok(MintedKey { record: KeyRecord { key, hash: SecretHash::of(&secret) }, text })
}

// === impl SecretHash ===

impl SecretHash {
    fn of(secret: &[u8; SECRET_BYTES]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl PartialEq for SecretHash {
    /// In constant time, wherever it is compared.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> String {
        URL_SAFE_NO_PAD.encode(hash.0)
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(&text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err("the hash of a key is not 32 bytes in base64"),
        }
    }
}

// === impl MintedKey ===

impl fmt::Debug for MintedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintedKey({})", self.record.key.id)
    }
}

// === impl KeyRecord ===

impl KeyRecord {
    /// Why the key does not work any more. Only for callers that have shown its secret.
    fn check_alive(&self, now: Timestamp) -> Result<(), Problem> {
        let id = &self.key.id;
        if let Some(at) = self.key.revoked_at.filter(|at| *at <= now) {
            return Err(unauthenticated(
                &format!("the API key {id} was revoked at {at}"),
                "ask an admin of the tenant for another key",
            ));
        }
        if let Some(at) = self.key.expires_at.filter(|at| *at <= now) {
            return Err(unauthenticated(
                &format!("the API key {id} expired at {at}"),
                "ask an admin of the tenant for another key",
            ));
        }
        Ok(())
    }

    fn principal(&self) -> Principal {
        let key = &self.key;
        Principal { name: format!("key:{}", key.id), tenant: key.tenant.clone(), scopes: key.scopes.clone() }
    }
}

// === impl KeyBook ===

impl KeyBook {
    /// Keys in the book at most, dead ones included.
    pub const MAX_KEYS: usize = 100_000;
    /// Keys of one tenant (or of the host itself) at most, dead ones included.
    pub const MAX_OF_TENANT: usize = 1000;

    /// With what the registry has. More than [`Self::MAX_KEYS`] cannot have been written by a host like this one.
    pub fn new(records: impl IntoIterator<Item = KeyRecord>) -> Result<Self, Problem> {
        let mut map = HashMap::new();
        for record in records {
            if map.len() == Self::MAX_KEYS {
                let message = format!("the registry has more than {} API keys", Self::MAX_KEYS);
                return Err(Problem::new(ErrorCode::HostFault, message));
            }
            map.insert(record.key.id.clone(), Arc::new(record));
        }
        Ok(Self { records: ArcSwap::from_pointee(map) })
    }

    /// Whether a tenant may have one more key. If it is at its limit, one that is revoked or expired makes room: the
    /// answer is then the one to forget first.
    pub fn room_for(&self, tenant: Option<&TenantName>, now: Timestamp) -> Result<Option<KeyId>, Problem> {
        let records = self.records.load();
        let own: Vec<&Arc<KeyRecord>> =
            records.values().filter(|record| record.key.tenant.as_ref() == tenant).collect();
        if own.len() < Self::MAX_OF_TENANT && records.len() < Self::MAX_KEYS {
            return Ok(None);
        }
        let dead = own.iter().filter(|record| record.check_alive(now).is_err());
        let oldest = dead.min_by_key(|record| (record.key.created_at, record.key.id.clone()));
        oldest.map(|record| Some(record.key.id.clone())).ok_or_else(|| {
            let count = own.len();
            let whose = tenant.map_or_else(|| "the host".to_owned(), |name| format!("tenant {name:?}"));
            Problem::new(ErrorCode::QuotaExceeded, format!("{whose} has {count} API keys, no more are taken"))
                .with_hint("revoke keys that nobody uses")
        })
    }

    /// Puts in what was committed: a new key, or one that was changed.
    pub fn put(&self, record: KeyRecord) {
        let record = Arc::new(record);
        self.change(|map| {
            map.insert(record.key.id.clone(), Arc::clone(&record));
        });
    }

    /// Forgets one key.
    pub fn remove(&self, id: &KeyId) {
        self.change(|map| {
            map.remove(id);
        });
    }

    /// Forgets all keys of a tenant that is gone.
    pub fn remove_tenant(&self, tenant: &TenantName) {
        self.change(|map| map.retain(|_, record| record.key.tenant.as_ref() != Some(tenant)));
    }

    /// Whose key that is. Takes as long for an unknown id as for a wrong secret, and says the same.
    pub fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<Principal, Problem> {
        let Credential::Key(presented) = credential else {
            return Err(takes_no_tokens());
        };
        let hash = SecretHash::of(&presented.secret);
        let records = self.records.load();
        let record = records.get(&presented.id);
        let nobodys = SecretHash([0; 32]);
        let matches = hash == *record.map_or(&nobodys, |record| &record.hash);
        match record {
            Some(record) if matches => {
                record.check_alive(now)?;
                Ok(record.principal())
            }
            Some(_) | None => Err(not_valid()),
        }
    }

    /// Whether a key that was authenticated before still works.
    pub fn still_holds(&self, id: &KeyId, now: Timestamp) -> Result<(), Problem> {
        match self.records.load().get(id) {
            Some(record) => record.check_alive(now),
            None => Err(not_valid()),
        }
    }

    fn change(&self, change: impl Fn(&mut HashMap<KeyId, Arc<KeyRecord>>)) {
        self.records.rcu(|records| {
            let mut map = HashMap::clone(records);
            change(&mut map);
            map
        });
    }
}

fn not_valid() -> Problem {
    unauthenticated("the API key is not valid", "check that it was copied whole and belongs to this host")
}

fn no_random_numbers() -> Problem {
    Problem::new(ErrorCode::HostFault, "the system gives no random numbers for a new API key")
}

fn check_request(request: &KeyRequest) -> Result<(), Problem> {
    let invalid = |message: String| Problem::new(ErrorCode::InvalidRequest, message);
    let label = &request.label;
    if label.len() > MAX_LABEL_BYTES {
        let len = label.len();
        return Err(invalid(format!(
            "a key's label has at most {MAX_LABEL_BYTES} bytes, this one has {len}"
        )));
    }
    if let Some(character) = label.chars().find(|c| !is_printable(*c)) {
        return Err(invalid(format!("a key's label cannot have the character {character:?}")));
    }
    if request.scopes.is_empty() {
        return Err(invalid("a key without scopes is good for nothing".into())
            .with_hint("scopes are call, upload, deploy, read, admin and, for keys of the host, host"));
    }
    if request.tenant.is_some() && request.scopes.contains(&Scope::Host) {
        return Err(invalid("a tenant's key cannot have the scope host".into())
            .with_hint("only keys of the host can; admin is everything of the tenant"));
    }
    if request.expires_in.is_some_and(|wait| wait.is_zero()) {
        return Err(invalid("a key that expires at once is good for nothing".into()));
    }
    Ok(())
}

/// Neither a control character nor one that reorders or hides text around it.
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn random_id() -> Result<String, Problem> {
    let mut id = String::with_capacity(NEW_ID_CHARACTERS);
    while id.len() < NEW_ID_CHARACTERS {
        let mut bytes = [0; 2 * NEW_ID_CHARACTERS];
        getrandom::fill(&mut bytes).map_err(|_| no_random_numbers())?;
        // 248 is the largest multiple of 62 in a byte: every digit is equally likely.
        let digits =
            bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| DIGITS.get(usize::from(byte % 62)));
        id.extend(digits.take(NEW_ID_CHARACTERS - id.len()).map(|digit| char::from(*digit)));
    }
    Ok(id)
}
