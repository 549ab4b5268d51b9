//! The keys in `testdata` belong to these tests and to nothing else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const RSA_KEY: &[u8] = include_bytes!("testdata/rsa.key.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("testdata/rsa.pub.pem");
const P256_KEY: &[u8] = include_bytes!("testdata/p256.key.pem");
const P256_PUBLIC: &[u8] = include_bytes!("testdata/p256.pub.pem");
const P384_KEY: &[u8] = include_bytes!("testdata/p384.key.pem");
const P384_PUBLIC: &[u8] = include_bytes!("testdata/p384.pub.pem");
const ED_KEY: &[u8] = include_bytes!("testdata/ed25519.key.pem");
const ED_PUBLIC: &[u8] = include_bytes!("testdata/ed25519.pub.pem");

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_709_724_500)
}

fn now_s() -> u64 {
    now().as_millis() / 1000
}

/// A verifier of a file with these bytes.
fn open(source: fn(PathBuf) -> JwtKeySource, bytes: &[u8]) -> Result<JwtVerifier, Problem> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, bytes).unwrap();
    let (issuer, audience) = ("https://issuer.example".into(), "lockgate".into());
    JwtVerifier::open(JwtOptions { issuer, audience, key: source(path) })
}

fn good_claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "lockgate", "sub": "alice", "tenant": "acme",
        "scope": "openid call upload", "exp": now_s() + 300,
    })
}

fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn outcome(verifier: &JwtVerifier, token: &str) -> String {
    match verifier.verify(token, now()) {
        Ok((principal, _)) => {
            let scopes: Vec<&str> = principal.scopes.iter().map(|scope| scope.as_str()).collect();
            let tenant = principal.tenant.map_or_else(|| "-".to_owned(), |name| name.to_string());
            format!("{} of {tenant}: {}", principal.name, scopes.join(" "))
        }
        Err(problem) => {
            assert_eq!(problem.code(), ErrorCode::Unauthenticated, "{problem}");
            problem.message().to_owned()
        }
    }
}

const GOOD: &str = "jwt:alice of acme: call upload";
const BAD_ALGORITHM: &str =
    "the JSON Web Token is refused: it is not signed with an algorithm of the issuer's key";
const BAD_SIGNATURE: &str = "the JSON Web Token is refused: its signature is not valid";
const BAD_HEADER: &str = "the JSON Web Token is refused: its header cannot be read";

#[test]
fn each_kind_of_key_verifies_its_own_algorithms() {
    let rsa = EncodingKey::from_rsa_pem(RSA_KEY).unwrap();
    let p256 = EncodingKey::from_ec_pem(P256_KEY).unwrap();
    let p384 = EncodingKey::from_ec_pem(P384_KEY).unwrap();
    let ed = EncodingKey::from_ed_pem(ED_KEY).unwrap();
    let tokens = [
        (Algorithm::RS256, &rsa, "rsa"),
        (Algorithm::RS512, &rsa, "rsa"),
        (Algorithm::PS256, &rsa, "rsa"),
        (Algorithm::ES256, &p256, "p256"),
        (Algorithm::ES384, &p384, "p384"),
        (Algorithm::EdDSA, &ed, "ed"),
        (Algorithm::HS256, &EncodingKey::from_secret(SECRET), "secret"),
        (Algorithm::HS512, &EncodingKey::from_secret(SECRET), "none"),
        // What the classic attack sends: the public key as the secret of an HMAC.
        (Algorithm::HS256, &EncodingKey::from_secret(RSA_PUBLIC), "none"),
        (Algorithm::HS256, &EncodingKey::from_secret(ED_PUBLIC), "none"),
    ]
    .map(|(algorithm, key, kind)| (signed(algorithm, key, &good_claims()), kind));
    let verifiers = [
        (open(JwtKeySource::Pem, RSA_PUBLIC).unwrap(), "rsa"),
        (open(JwtKeySource::Pem, P256_PUBLIC).unwrap(), "p256"),
        (open(JwtKeySource::Pem, P384_PUBLIC).unwrap(), "p384"),
        (open(JwtKeySource::Pem, ED_PUBLIC).unwrap(), "ed"),
        (open(JwtKeySource::Secret, &[SECRET, b"\r\n"].concat()).unwrap(), "secret"),
    ];
    for (verifier, key) in &verifiers {
        for (token, kind) in &tokens {
            let found = outcome(verifier, token);
            if kind == key {
                assert_eq!(found, GOOD, "{kind} token, {key} key");
            } else {
                assert!(
                    [BAD_ALGORITHM, BAD_SIGNATURE].contains(&found.as_str()),
                    "{kind} token, {key} key: {found}"
                );
            }
        }
    }
}

#[test]
fn a_token_is_good_only_as_it_was_signed() {
    let verifier = open(JwtKeySource::Pem, ED_PUBLIC).unwrap();
    let token = signed(Algorithm::EdDSA, &EncodingKey::from_ed_pem(ED_KEY).unwrap(), &good_claims());
    assert_eq!(outcome(&verifier, &token), GOOD);
    // Each byte of the signature and each character of the other two parts.
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for at in 0..signature.len() {
        let mut flipped = signature.clone();
        flipped[at] ^= 1;
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(flipped));
        assert_eq!(outcome(&verifier, &token), BAD_SIGNATURE, "byte {at} of the signature");
    }
    for at in 0..message.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let found = outcome(&verifier, &String::from_utf8(bytes).unwrap());
        assert!(found.starts_with("the JSON Web Token is refused"), "character {at}: {found}");
    }
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(good_claims());
    let (_, genuine) = token.rsplit_once('.').unwrap();
    let check = |header: Value, expected: &str| {
        let header = part(header);
        assert_eq!(outcome(&verifier, &format!("{header}.{claims}.{genuine}")), expected, "{header}");
    };
    check(json!({ "alg": "none" }), BAD_HEADER);
    check(json!({ "alg": "None", "typ": "JWT" }), BAD_HEADER);
    check(json!({ "typ": "JWT" }), BAD_HEADER);
    check(json!({ "alg": ["EdDSA"] }), BAD_HEADER);
    check(json!({ "alg": "HS256" }), BAD_ALGORITHM);
    check(json!({ "alg": "EdDSA" }), BAD_SIGNATURE);
    let key_inside =
        Jwk::from_encoding_key(&EncodingKey::from_ed_pem(ED_KEY).unwrap(), Algorithm::EdDSA).unwrap();
    check(json!({ "alg": "EdDSA", "jwk": key_inside }), BAD_SIGNATURE);
    let critical =
        "the JSON Web Token is refused: its header has extensions (crit), which this host does not know";
    check(json!({ "alg": "EdDSA", "crit": ["b64"], "b64": false }), critical);
    let none = format!("{}.{claims}.", part(json!({ "alg": "none" })));
    assert_eq!(outcome(&verifier, &none), BAD_HEADER);
    for broken in ["a.b.c", "..", "", "a.b.c.d", &token[1..], &token[..token.len() - 2], &"x".repeat(10_240)]
    {
        let found = outcome(&verifier, broken);
        assert!(found.starts_with("the JSON Web Token is refused"), "{broken:?}: {found}");
    }
}

#[test]
fn claims_say_who_and_until_when() {
    let key = EncodingKey::from_secret(SECRET);
    let verifier = open(JwtKeySource::Secret, SECRET).unwrap();
    let check = |change: Value, expected: &str| {
        let mut claims = good_claims();
        let fields = claims.as_object_mut().unwrap();
        for (name, value) in change.as_object().unwrap() {
            if *value == json!("REMOVE") {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
        let found = outcome(&verifier, &signed(Algorithm::HS256, &key, &claims));
        assert_eq!(found.strip_prefix("the JSON Web Token ").unwrap_or(&found), expected, "{change}");
    };
    check(json!({}), GOOD);
    check(json!({ "aud": ["other", "lockgate"] }), GOOD);
    check(json!({ "scope": ["call", "upload", "profile"] }), GOOD);
    check(json!({ "scope": "REMOVE" }), "jwt:alice of acme: ");
    check(json!({ "scope": "CALL Upload" }), "jwt:alice of acme: ");
    check(json!({ "tenant": "rival" }), "jwt:alice of rival: call upload");

    let unreadable = "is refused: its claims are not as expected: iss, aud, exp and sub are needed";
    for name in ["iss", "aud", "exp", "sub"] {
        check(json!({ name: "REMOVE" }), unreadable);
        check(json!({ name: {} }), unreadable);
    }
    check(json!({ "exp": "tomorrow" }), unreadable);
    check(json!({ "iss": ["https://issuer.example"] }), unreadable);
    check(json!({ "tenant": ["acme"] }), unreadable);
    check(json!({ "iss": "https://issuer.example/" }), "is refused: it is of another issuer");
    check(json!({ "aud": "lockgate2" }), "is refused: it is meant for another audience");
    check(json!({ "aud": [] }), "is refused: it is meant for another audience");

    check(json!({ "exp": now_s() - 20 }), GOOD);
    check(json!({ "exp": now_s() - 40 }), "has expired");
    check(json!({ "exp": 0 }), "has expired");
    check(json!({ "exp": -1e300 }), "has expired");
    check(json!({ "exp": 1e300 }), GOOD);
    check(json!({ "nbf": now_s() + 20 }), GOOD);
    check(json!({ "nbf": now_s() + 40 }), "is refused: it does not count yet (nbf)");
    check(json!({ "nbf": 1e300 }), "is refused: it does not count yet (nbf)");

    let not_a_tenant = "is refused: its tenant is no tenant's name";
    for name in ["", "../acme", "acme\r\n", "\u{0430}cme", "a b", &"x".repeat(1000)] {
        check(json!({ "tenant": name }), not_a_tenant);
    }
    let subject = "is refused: its subject is empty, too long, or cannot stand in a log line";
    for name in ["", "a\r\nlevel=error", "\u{202e}ecila", "a b", &"x".repeat(300)] {
        check(json!({ "sub": name }), subject);
    }
    check(json!({ "tenant": "REMOVE" }), "is refused: it names no tenant");
    check(json!({ "tenant": null }), "is refused: it names no tenant");
    check(json!({ "tenant": "REMOVE", "scope": "admin" }), "is refused: it names no tenant");
    check(json!({ "tenant": "REMOVE", "scope": "host" }), "jwt:alice of -: host");
    check(
        json!({ "scope": "call host" }),
        "is refused: it names a tenant and the scope host, which is the operator's",
    );
    check(json!({ "pad": "x".repeat(9000) }), "is refused: it is too long");

    let claims = format!(r#"{{"tenant":"rival",{}"#, &good_claims().to_string()[1..]);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    let twice = outcome(&verifier, &format!("{message}.{signature}"));
    assert!(twice.ends_with(unreadable), "a claim that is there twice: {twice}");
}

#[test]
fn an_identity_ends_with_its_token() {
    let verifier = open(JwtKeySource::Secret, SECRET).unwrap();
    let token = signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &good_claims());
    let (_, until) = verifier.verify(&token, now()).unwrap();
    let last = Timestamp::from_millis((now_s() + 300) * 1000 + LEEWAY_MS);
    assert_eq!(until, last);
    assert!(verifier.verify(&token, now().after(Duration::from_secs(329))).is_ok());
    assert!(verifier.verify(&token, last).is_err());

    let book = std::sync::Arc::new(crate::access::KeyBook::default());
    let authenticator = crate::access::Authenticator::new(book, Some(std::sync::Arc::new(verifier)));
    let credential = Credential::from_headers(Some(&format!("Bearer {token}")), None).unwrap().unwrap();
    let identity = authenticator.authenticate(&credential, now()).unwrap();
    assert!(authenticator.still_holds(&identity, now()).is_ok());
    let problem = authenticator.still_holds(&identity, last).unwrap_err();
    assert_eq!(problem.message(), "the JSON Web Token has expired");
    assert!(!format!("{credential:?} {identity:?}").contains(&token));
}

#[test]
fn a_token_chooses_its_key_of_a_set() {
    let jwk = |public: DecodingKey, algorithm: Algorithm, id: &str| {
        let mut jwk =
            serde_json::to_value(Jwk::from_decoding_key(&public, Some(algorithm)).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk
    };
    let rsa = jwk(DecodingKey::from_rsa_pem(RSA_PUBLIC).unwrap(), Algorithm::RS256, "rsa");
    let p256 = jwk(DecodingKey::from_ec_pem(P256_PUBLIC).unwrap(), Algorithm::ES256, "p256");
    let ed = jwk(DecodingKey::from_ed_pem(ED_PUBLIC).unwrap(), Algorithm::EdDSA, "ed");
    let for_encryption = json!({ "kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB" });
    let of_the_future = json!({ "kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AAAA" });
    let set = |keys: &[&Value]| json!({ "keys": keys }).to_string().into_bytes();
    let verifier =
        open(JwtKeySource::Jwks, &set(&[&rsa, &p256, &ed, &for_encryption, &of_the_future])).unwrap();

    let check = |verifier: &JwtVerifier,
                 algorithm: Algorithm,
                 key: &EncodingKey,
                 kid: Option<&str>,
                 expected: &str| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        let token = jsonwebtoken::encode(&header, &good_claims(), key).unwrap();
        assert_eq!(outcome(verifier, &token), expected, "{algorithm:?} {kid:?}");
    };
    let rsa_key = EncodingKey::from_rsa_pem(RSA_KEY).unwrap();
    let p256_key = EncodingKey::from_ec_pem(P256_KEY).unwrap();
    let ed_key = EncodingKey::from_ed_pem(ED_KEY).unwrap();
    check(&verifier, Algorithm::RS256, &rsa_key, Some("rsa"), GOOD);
    check(&verifier, Algorithm::ES256, &p256_key, Some("p256"), GOOD);
    check(&verifier, Algorithm::EdDSA, &ed_key, Some("ed"), GOOD);
    // The set says RS256 only.
    check(&verifier, Algorithm::RS512, &rsa_key, Some("rsa"), BAD_ALGORITHM);
    check(&verifier, Algorithm::EdDSA, &ed_key, Some("rsa"), BAD_ALGORITHM);
    check(&verifier, Algorithm::HS256, &EncodingKey::from_secret(ED_PUBLIC), Some("ed"), BAD_ALGORITHM);
    let no_such =
        "the JSON Web Token is refused: its header names a key (kid) that the issuer's key set does not have";
    check(&verifier, Algorithm::EdDSA, &ed_key, Some("../ed"), no_such);
    check(&verifier, Algorithm::RS256, &rsa_key, Some("enc"), no_such);
    check(
        &verifier,
        Algorithm::EdDSA,
        &ed_key,
        None,
        "the JSON Web Token is refused: its header names no key (kid)",
    );
    let single = open(JwtKeySource::Jwks, &set(&[&ed])).unwrap();
    check(&single, Algorithm::EdDSA, &ed_key, None, GOOD);
    check(&single, Algorithm::EdDSA, &ed_key, Some("other"), no_such);
}

#[test]
fn key_files_are_checked_when_they_are_read() {
    let check = |source: fn(PathBuf) -> JwtKeySource, bytes: &[u8], expected: &str| {
        let problem = open(source, bytes).expect_err("the file must be refused");
        let message = problem.message();
        assert_eq!(problem.code(), ErrorCode::InvalidRequest, "{problem}");
        assert!(message.contains(expected), "{message:?} has no {expected:?}");
    };
    let no_key = "it is no public key in PEM of RSA, P-256, P-384 or Ed25519";
    check(JwtKeySource::Pem, b"", no_key);
    check(JwtKeySource::Pem, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", no_key);
    check(JwtKeySource::Pem, ED_KEY, "it is a private key");
    check(JwtKeySource::Pem, RSA_KEY, "it is a private key");
    check(JwtKeySource::Pem, &[0xff; 300], no_key);
    check(JwtKeySource::Pem, include_bytes!("testdata/rsa1024.pub.pem"), "RSA keys need 2048 bits or more");
    check(JwtKeySource::Pem, include_bytes!("testdata/p521.pub.pem"), "P-256 and P-384 can be used");
    check(JwtKeySource::Pem, &vec![b'x'; 1 << 20], "too large");
    check(JwtKeySource::Secret, b"short\n", "a secret needs 32 bytes or more");
    check(JwtKeySource::Secret, RSA_PUBLIC, "it is a key in PEM, not a secret");
    check(JwtKeySource::Secret, &[b"\n ", ED_PUBLIC].concat(), "it is a key in PEM, not a secret");
    check(JwtKeySource::Jwks, b"{}", "it is no JSON Web Key Set");
    check(JwtKeySource::Jwks, br#"{"keys":[]}"#, "it has no key");
    let oct = json!({ "keys": [{ "kty": "oct", "kid": "s", "k": "c2VjcmV0" }] }).to_string();
    check(JwtKeySource::Jwks, oct.as_bytes(), "key \"s\" is a secret; it may hold public keys only");
    let small = json!({ "keys": [{ "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" }] }).to_string();
    check(JwtKeySource::Jwks, small.as_bytes(), "key \"r\" is an RSA key of less than 2048 bits");
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AAAA" });
    let short = json!({ "keys": [ed] }).to_string();
    check(JwtKeySource::Jwks, short.as_bytes(), "key \"k\" is no Ed25519 key");
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": URL_SAFE_NO_PAD.encode([1; 32]) });
    let twice = json!({ "keys": [ed, ed] }).to_string();
    check(JwtKeySource::Jwks, twice.as_bytes(), "two of its keys have the same kid");

    let missing = PathBuf::from("no-such-file.pem");
    let options = JwtOptions { issuer: "i".into(), audience: "a".into(), key: JwtKeySource::Pem(missing) };
    let problem = JwtVerifier::open(options).unwrap_err();
    assert!(problem.message().contains("no-such-file.pem cannot be used"), "{problem}");
}
