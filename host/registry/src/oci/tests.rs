//! What is decided before a registry is asked. What registries answer is tested against a real one in `tests/it`.

use super::*;

fn registry(host: &str) -> OciRegistry {
    let credentials = OciCredentials { name: "ci".into(), password: Zeroizing::new("hunter2".into()) };
    OciRegistry { host: host.into(), plain_http: false, credentials: Some(credentials), roots_pem: None }
}

fn puller(hosts: &[&str]) -> Result<OciPuller, Problem> {
    let registries = hosts.iter().copied().map(registry).collect();
    OciPuller::new(OciOptions { registries, time_limit: None })
}

#[tokio::test]
async fn only_the_operators_registries_are_asked() {
    let puller = puller(&["registry.invalid:5000", "ghcr.io"]).unwrap();
    let nothing = super::tests::puller(&[]).unwrap();
    let check = async |puller: &OciPuller, reference: &str, code: ErrorCode, expected: &str| {
        let problem = puller.pull(reference, 1 << 20).await.expect_err("nothing is pulled");
        assert_eq!(problem.code(), code, "{reference:?}: {problem}");
        assert!(problem.message().contains(expected), "{reference:?}: {problem:?} has no {expected:?}");
        assert!(problem.message().len() < 700, "{problem}");
    };
    let denied = "components are not pulled from the OCI registry";
    for (reference, host) in [
        ("docker.io/a/b:1", "docker.io"),
        ("a/b", "docker.io"),
        ("ghcr.io.evil.example/a/b:1", "ghcr.io.evil.example"),
        ("ghcr.io:443/a/b:1", "ghcr.io:443"),
        ("GHCR.IO/a/b:1", "GHCR.IO"),
        ("registry.invalid/a/b", "registry.invalid"),
        ("localhost:22/a/b", "localhost:22"),
        ("127.0.0.1/a/b", "127.0.0.1"),
        ("169.254.169.254/latest/meta-data", "169.254.169.254"),
    ] {
        check(&puller, reference, ErrorCode::PermissionDenied, &format!("{denied} {host:?}")).await;
        check(&nothing, reference, ErrorCode::PermissionDenied, denied).await;
    }
    for reference in [
        "",
        "/",
        "ghcr.io/",
        "ghcr.io/../../etc/passwd:1",
        "ghcr.io/a/b:1\r\nhost: evil",
        "ghcr.io/a/b:1\0",
        "ghcr.io/a b",
        "ghcr.io/a@ghcr.io/b",
        "user:password@ghcr.io/a/b",
        "https://ghcr.io/a/b",
        "ghcr.io/a/b@sha256:12",
        "ghcr.io/a/b@md5:d41d8cd98f00b204e9800998ecf8427e",
        "ghcr.io/A/b",
        "ghcr.io/\u{0430}/b",
        "[::1]:5000/a/b",
    ] {
        check(&puller, reference, ErrorCode::InvalidRequest, "is no OCI reference").await;
    }
    let long = format!("ghcr.io/{}", "a".repeat(10_240));
    check(&puller, &long, ErrorCode::InvalidRequest, "has at most 512 bytes, this one has 10248").await;
    let hint = puller.pull("a/b", 1).await.unwrap_err().hint().map(str::to_owned);
    assert_eq!(hint.as_deref(), Some("the operator of this host allows: ghcr.io, registry.invalid:5000"));
}

#[test]
fn what_the_operator_names_is_checked() {
    let check = |hosts: &[&str], expected: Option<&str>| {
        let problem = puller(hosts).err().map(|problem| problem.message().to_owned());
        assert_eq!(problem.as_deref(), expected, "{hosts:?}");
    };
    check(&[], None);
    check(&["ghcr.io", "localhost:5000", "127.0.0.1:5000", "docker.io"], None);
    check(&["ghcr.io", "ghcr.io"], Some("the OCI registry \"ghcr.io\" is named twice"));
    check(&[""], Some("\"\" is no host of an OCI registry"));
    check(&["https://ghcr.io"], Some("\"https://ghcr.io\" is no host of an OCI registry"));
    check(&["ghcr.io/team"], Some("\"ghcr.io/team\" is no host of an OCI registry"));
    check(&["ghcr"], Some("\"ghcr\" is no host of an OCI registry"));
    let told = format!("{:?} {:?}", puller(&["ghcr.io"]).unwrap(), registry("ghcr.io"));
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn words_of_strangers_are_cut_and_plain() {
    let check = |text: &str, expected: &str| assert_eq!(faults::shown(text), expected);
    check("no such thing", "no such thing");
    check("a\r\nlevel=error\x1b[31m \u{202e}b", "a level=error [31m b");
    check(&"x".repeat(10_240), &format!("{}...", "x".repeat(160)));
}
