//! What counts as a signature of a component, and every bit of it.

use super::*;

const DIGEST: [u8; 32] = [7; 32];

fn digest() -> ComponentDigest {
    ComponentDigest::from_sha256(DIGEST)
}

fn key(seed: u8) -> PrivateSigningKey {
    PrivateSigningKey(SigningKey::from_bytes(&[seed; 32]))
}

fn name() -> SigningKeyName {
    "release".parse().unwrap()
}

#[test]
fn a_signature_is_of_one_key_over_one_component() {
    let signed = key(1).sign(name(), digest());
    let text = signed.to_string();
    let read: ComponentSignature = text.parse().unwrap();
    assert_eq!(read, signed);
    assert!(key(1).public().verify(digest(), &read).is_ok());
    let problem = key(2).public().verify(digest(), &read).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::PermissionDenied);
    let expected = format!("the signature is not that of key \"release\" over component {}", digest());
    assert_eq!(problem.message(), expected);

    let bytes = read.signature.to_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes;
            flipped[at] ^= 1 << bit;
            let signature = ComponentSignature { key: name(), signature: Signature::from_bytes(&flipped) };
            assert!(key(1).public().verify(digest(), &signature).is_err(), "bit {bit} of byte {at}");
        }
    }
    for at in 0..DIGEST.len() {
        let mut other = DIGEST;
        other[at] ^= 1;
        assert!(key(1).public().verify(ComponentDigest::from_sha256(other), &read).is_err(), "byte {at}");
    }
    // The digest alone, or the same words for another purpose, are not a component.
    for message in [digest().to_string(), format!("lockgate component v2\n{}", digest()), digest().hex()] {
        let signature = ComponentSignature { key: name(), signature: key(1).0.sign(message.as_bytes()) };
        assert!(key(1).public().verify(digest(), &signature).is_err(), "{message:?}");
    }
}

#[test]
fn keys_go_through_pem() {
    let made = PrivateSigningKey::generate().unwrap();
    let other = PrivateSigningKey::generate().unwrap();
    assert_ne!(made.public(), other.public());
    let pem = made.to_pem().unwrap();
    let public = PublicSigningKey::from_pem(&made.public().to_pem().unwrap()).unwrap();
    let read = PrivateSigningKey::from_pem(&pem).unwrap();
    assert!(public.verify(digest(), &read.sign(name(), digest())).is_ok());
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");
    assert_eq!(format!("{made:?}"), "PrivateSigningKey(..)");
    // Written by openssl.
    let foreign = PrivateSigningKey::from_pem(include_str!("../jwt/testdata/ed25519.key.pem")).unwrap();
    let public = PublicSigningKey::from_pem(include_str!("../jwt/testdata/ed25519.pub.pem")).unwrap();
    assert_eq!(foreign.public(), public);
}

#[test]
fn wrong_keys_are_refused() {
    let check = |pem: &str, expected: &str| {
        let problem = PublicSigningKey::from_pem(pem).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::InvalidRequest);
        assert!(problem.message().contains(expected), "{problem}");
        assert!(problem.message().len() < 200, "{problem}");
    };
    let none = "it is no ed25519 public key in PEM";
    let good = key(1).public().to_pem().unwrap();
    check("", none);
    check("\r\n\0", none);
    check(&good[..good.len() / 2], none);
    check(&good.replace("MCow", "MCox"), none);
    check(&"x".repeat(10_240), none);
    check(include_str!("../jwt/testdata/rsa.pub.pem"), none);
    check(include_str!("../jwt/testdata/p256.pub.pem"), none);
    check(&key(1).to_pem().unwrap(), "it is a private key");
    // The neutral element: every signature of a certain form verifies with it.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let neutral = PublicSigningKey(VerifyingKey::from_bytes(&neutral).unwrap());
    check(&neutral.to_pem().unwrap(), "with which anything verifies");

    for pem in ["", good.as_str(), &"x".repeat(10_240), include_str!("../jwt/testdata/p256.key.pem")] {
        let problem = PrivateSigningKey::from_pem(pem).unwrap_err();
        assert!(problem.message().ends_with("it is no ed25519 private key in PEM (PKCS#8)"), "{problem}");
    }
}

#[test]
fn the_text_of_a_signature_is_checked() {
    let good = key(1).sign(name(), digest()).to_string();
    let (_, encoded) = good.split_once(':').unwrap();
    let check = |text: &str, expected: &str| {
        let problem = text.parse::<ComponentSignature>().unwrap_err();
        assert_eq!(problem.code(), ErrorCode::InvalidRequest);
        let message = problem.message().strip_prefix("the signature cannot be read: ").unwrap();
        assert!(message.contains(expected), "{text:?}: {message:?}");
        assert!(message.len() < 300, "{message}");
    };
    check("", "it has no ':'");
    check(encoded, "it has no ':'");
    check(&format!(":{encoded}"), "must not be empty");
    check(&format!("{}:{encoded}", "x".repeat(10_240)), "has at most 63 bytes");
    check(&format!("../release:{encoded}"), "is not allowed in it");
    check(&format!("rel\r\nease:{encoded}"), "is not allowed in it");
    check(&format!("rele\u{0430}se:{encoded}"), "is not allowed in it");
    let no_bytes = "there are no 64 bytes in base64";
    check("release:", no_bytes);
    check("release:AAAA", no_bytes);
    check(&format!("{good}\n"), no_bytes);
    check(&format!("{good}A"), no_bytes);
    check(&good[..good.len() - 2], no_bytes);
    check(&format!("release: {encoded}"), no_bytes);
    check(&format!("release:{}", encoded.replace("==", "A=")), no_bytes);
    check(&format!("release:{}", "-".repeat(88)), no_bytes);
    check(&format!("release:{}", "A".repeat(10_240)), no_bytes);
    // Another text of the same bytes: stray bits before the padding.
    let last = encoded.as_bytes()[85];
    let stray = format!("release:{}{}==", &encoded[..85], char::from(last + 1));
    check(&stray, no_bytes);
}
