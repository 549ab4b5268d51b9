//! What opens a sealed secret, every bit of it, and which key files are taken.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn tenant(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn secret(name: &str) -> SecretName {
    name.parse().unwrap()
}

#[test]
fn what_is_sealed_opens_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.key");
    let vault = Vault::open(&path).unwrap();
    let value = b"sk-0123456789".as_slice();
    let sealed = vault.seal(&tenant("acme"), &secret("openai"), value).unwrap();
    assert!(
        !sealed.windows(4).any(|part| value.windows(4).any(|known| known == part)),
        "the text shows through"
    );
    let again = vault.seal(&tenant("acme"), &secret("openai"), value).unwrap();
    assert_ne!(sealed, again, "a nonce was used twice");

    let other_key = Vault::open(&folder.path().join("other.key")).unwrap();
    let reopened = Vault::open(&path).unwrap();
    let check = |vault: &Vault, owner: &str, name: &str, expected: bool| {
        let opened = vault.unseal(&tenant(owner), &secret(name), &sealed);
        assert_eq!(opened.is_ok(), expected, "{owner} {name}");
        match opened {
            Ok(opened) => assert_eq!(opened.as_slice(), value),
            Err(problem) => assert!(!problem.to_string().contains("0123456789"), "{problem}"),
        }
    };
    check(&vault, "acme", "openai", true);
    check(&reopened, "acme", "openai", true);
    check(&vault, "rival", "openai", false);
    check(&vault, "acme", "openai2", false);
    check(&vault, "openai", "acme", false);
    check(&other_key, "acme", "openai", false);

    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1 << bit;
            let opened = vault.unseal(&tenant("acme"), &secret("openai"), &flipped);
            assert!(opened.is_err(), "bit {bit} of byte {at}");
        }
        assert!(vault.unseal(&tenant("acme"), &secret("openai"), &sealed[..at]).is_err(), "{at} bytes");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert!(vault.unseal(&tenant("acme"), &secret("openai"), &longer).is_err());
}

#[test]
fn sizes_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("vault.key")).unwrap();
    for (len, expected) in
        [(0, true), (1, true), (Vault::MAX_SECRET_BYTES, true), (Vault::MAX_SECRET_BYTES + 1, false)]
    {
        let value = vec![7; len];
        let sealed = vault.seal(&tenant("acme"), &secret("s"), &value);
        assert_eq!(sealed.is_ok(), expected, "{len} bytes");
        if let Ok(sealed) = sealed {
            assert_eq!(*vault.unseal(&tenant("acme"), &secret("s"), &sealed).unwrap(), value);
        }
    }
}

#[test]
fn the_key_file_is_made_once_and_refused_if_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.key");
    Vault::open(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    Vault::open(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "the key stays");
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["vault.key"]);

    let check = |bytes: &[u8], mode: u32, expected: &str| {
        let path = folder.path().join("wrong.key");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let problem = Vault::open(&path).unwrap_err();
        assert!(problem.message().ends_with(expected), "{problem}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "a wrong file is never replaced");
    };
    let good = text.as_bytes();
    check(good, 0o640, "cannot be used: others may read it (mode 640)");
    check(good, 0o604, "cannot be used: others may read it (mode 604)");
    check(good, 0o660, "cannot be used: others may read it (mode 660)");
    let no_key = "cannot be used: it is no key of a vault";
    check(b"", 0o600, no_key);
    check(&good[..good.len() - 1], 0o600, no_key);
    check(&[good, b"x"].concat(), 0o600, no_key);
    check(text.replace("key-1", "key-2").as_bytes(), 0o600, no_key);
    check(format!("{FILE_PREFIX}{}\n", "g".repeat(64)).as_bytes(), 0o600, no_key);
    check(format!("{FILE_PREFIX}{}\n", "+1".repeat(32)).as_bytes(), 0o600, no_key);
    check(&[0xff; 100], 0o600, no_key);
    check(&vec![b'a'; 1 << 20], 0o600, no_key);

    std::fs::create_dir(folder.path().join("folder.key")).unwrap();
    let problem = Vault::open(&folder.path().join("folder.key")).unwrap_err();
    assert!(problem.message().ends_with("it is no file"), "{problem}");
    let problem = Vault::open(&folder.path().join("no/such/folder.key")).unwrap_err();
    assert_eq!(problem.code(), ErrorCode::HostFault, "{problem}");

    // A half-written key of a host that was killed is no obstacle.
    std::fs::write(folder.path().join("fresh.unfinished"), b"half").unwrap();
    Vault::open(&folder.path().join("fresh.key")).unwrap();
}
