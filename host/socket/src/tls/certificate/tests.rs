//! What is said about files that are no pair, and what becomes of files that change.

use tempfile::TempDir;

use super::*;

/// A chain and its key in PEM.
fn pair(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

struct Files(TempDir);

impl Files {
    fn new(certificate: &str, key: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("cert.pem", certificate);
        files.write("key.pem", key);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As certificate tools do it: beside the file, then moved over it.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn load(&self) -> Result<Certificate, TlsError> {
        Certificate::load(self.path("cert.pem"), self.path("key.pem"))
    }

    /// An error and its hint, with the names of files alone.
    fn told(&self, error: &TlsError) -> String {
        let folder = format!("{}/", self.0.path().display());
        format!("{error}; {}", error.hint()).replace(&folder, "")
    }
}

#[test]
fn mistakes_name_the_file() {
    let (certificate, key) = pair("a.example");
    let (_, other) = pair("b.example");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let check = |certificate: &str, key: &str, expected: &str| {
        let files = Files::new(certificate, key);
        let told = files.load().map_err(|error| files.told(&error));
        match told {
            Ok(_) => assert_eq!(expected, ""),
            Err(told) => {
                assert!(!expected.is_empty() && told.starts_with(expected), "{told}, not {expected:?}")
            }
        }
    };
    check(&certificate, &key, "");
    check(&format!("{certificate}{certificate}"), &format!("{certificate}{key}"), "");
    check("", &key, "there is no certificate in cert.pem; it must hold");
    check(&key, &certificate, "there is no certificate in cert.pem; are certificate and key exchanged?");
    check(&certificate, "", "there is no private key in key.pem; it must hold");
    check(
        &certificate,
        &certificate,
        "there is no private key in key.pem; are certificate and key exchanged?",
    );
    check(&certificate, encrypted, "the private key in key.pem is encrypted; nobody");
    check(
        &certificate,
        &other,
        "the private key in key.pem does not belong to the certificate in cert.pem; name",
    );
    check(
        "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n",
        &key,
        "cert.pem is no proper PEM file; ",
    );
    check(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &key,
        "cert.pem and key.pem cannot be used; ",
    );
    check(&certificate, &"x".repeat(2 << 20), "cannot read key.pem; ");
    let missing = Certificate::load("nowhere.pem", "key.pem").unwrap_err();
    assert_eq!(missing.to_string(), "cannot read nowhere.pem");
}

#[test]
fn changed_files_are_read_again() {
    let (first, first_key) = pair("first.example");
    let (second, second_key) = pair("second.example");
    let files = Files::new(&first, &first_key);
    let certificate = files.load().unwrap();
    let shown = || certificate.0.current.0.load().cert.clone();
    let before = shown();
    assert!(!certificate.refresh().unwrap());
    // Between the two files there is a moment at which they do not fit: told once, and the pair before stays.
    files.write("cert.pem", &second);
    assert!(matches!(certificate.refresh(), Err(TlsError::Mismatch { .. })));
    assert!(!certificate.refresh().unwrap());
    assert_eq!(shown(), before);
    files.write("key.pem", &second_key);
    assert!(certificate.refresh().unwrap());
    assert_ne!(shown(), before);
    fs::remove_file(files.path("key.pem")).unwrap();
    assert!(matches!(certificate.refresh(), Err(TlsError::Unreadable { .. })));
}
