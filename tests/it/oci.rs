//! Components from OCI registries: pulled from a real one as they were pushed, and refused from hostile ones.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use lockgate_domain::Problem;
use lockgate_registry::oci::{OciCredentials, OciOptions, OciPuller, OciRegistry as Allowed};
use lockgate_testkit::http::HttpClient;
use lockgate_testkit::oci_registry::OciRegistry;
use lockgate_testkit::{ServeOptions, fixtures, wait_for};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::{ImageIndexEntry, OciImageIndex};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::BINARY;

const MEBIBYTE: u64 = 1 << 20;

/// Media types: of a layer, of the configuration. Today's, the one before, and a container image.
const WASM: (&str, &str) = ("application/wasm", "application/vnd.wasm.config.v0+json");
const OLDER: (&str, &str) =
    ("application/vnd.wasm.content.layer.v1+wasm", "application/vnd.wasm.config.v1+json");
const CONTAINER: (&str, &str) =
    ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.config.v1+json");

fn puller(host: &str, credentials: Option<(&str, &str)>, time_limit: Option<Duration>) -> OciPuller {
    let credentials = credentials.map(|(name, password)| OciCredentials {
        name: name.to_owned(),
        password: zeroize::Zeroizing::new(password.to_owned()),
    });
    let allowed = Allowed { host: host.to_owned(), plain_http: true, credentials, roots_pem: None };
    OciPuller::new(OciOptions { registries: vec![allowed], time_limit }).unwrap()
}

/// Pulls to the end: the bytes, and the reference with its digest.
async fn pull(puller: &OciPuller, reference: &str, max_bytes: u64) -> Result<(Vec<u8>, String), Problem> {
    let mut pull = puller.pull(reference, max_bytes).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = pull.next().await? {
        bytes.extend_from_slice(&piece);
        assert!(bytes.len() as u64 <= max_bytes, "more than {max_bytes} bytes were given");
    }
    Ok((bytes, pull.resolved))
}

/// The outcome as `code: message`, with the registry's address replaced.
fn shown(outcome: Result<(Vec<u8>, String), Problem>, host: &str) -> String {
    match outcome {
        Ok((bytes, _)) => format!("{} bytes", bytes.len()),
        Err(problem) => format!("{}: {problem}", problem.code()).replace(host, "HOST"),
    }
}

fn pusher() -> Client {
    drop(rustls_of_the_process());
    Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() })
}

/// Making a puller installs the provider of TLS, which the test's own client needs as well.
fn rustls_of_the_process() -> OciPuller {
    OciPuller::new(OciOptions::default()).unwrap()
}

async fn push(host: &str, name: &str, layers: &[&[u8]], types: (&str, &str), auth: &RegistryAuth) -> String {
    let reference: Reference = format!("{host}/{name}").parse().unwrap();
    let layers: Vec<ImageLayer> =
        layers.iter().map(|bytes| ImageLayer::new(bytes.to_vec(), types.0.to_owned(), None)).collect();
    let config = Config::new(&b"{}"[..], types.1.to_owned(), None);
    let pushed = pusher().push(&reference, &layers, config, auth, None).await.unwrap();
    pushed.manifest_url.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_come_back_as_they_were_pushed() {
    let registry = OciRegistry::start().await;
    let host = registry.host();
    let anyone = RegistryAuth::Anonymous;
    let component: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    push(&host, "team/shout:1.2", &[&component], WASM, &anyone).await;
    let digest = push(&host, "team/shout:latest", &[&component[1..]], WASM, &anyone).await;
    push(&host, "older:1", &[&component], OLDER, &anyone).await;

    let puller = puller(&host, None, None);
    let check = async |name: &str, expected: &[u8]| {
        let reference = format!("{host}/{name}");
        let (bytes, resolved) = pull(&puller, &reference, 2 * MEBIBYTE).await.unwrap();
        assert!(bytes == expected, "{name}: other bytes");
        let (again, resolved_again) = pull(&puller, &resolved, 2 * MEBIBYTE).await.unwrap();
        assert!(again == expected && resolved_again == resolved, "{resolved} is not where {name} was found");
    };
    check("team/shout:1.2", &component).await;
    check("team/shout", &component[1..]).await;
    check(&format!("team/shout@{digest}"), &component[1..]).await;
    check("older:1", &component).await;

    // The limit is one of bytes, exactly.
    let exact = component.len() as u64;
    let reference = format!("{host}/team/shout:1.2");
    assert_eq!(shown(pull(&puller, &reference, exact).await, &host), "1200000 bytes");
    let too_large = "request_too_large: the OCI artefact HOST/team/shout:1.2 is larger than 1199999 bytes";
    assert_eq!(shown(pull(&puller, &reference, exact - 1).await, &host), too_large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_component_is_said_so() {
    let registry = OciRegistry::start().await;
    let host = registry.host();
    let anyone = RegistryAuth::Anonymous;
    push(&host, "image:1", &[b"layer"], CONTAINER, &anyone).await;
    push(&host, "two:1", &[b"one", b"two"], WASM, &anyone).await;
    let digest = push(&host, "index:one", &[b"one"], WASM, &anyone).await;
    let entry: ImageIndexEntry = serde_json::from_value(json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 400,
    }))
    .unwrap();
    let index = OciImageIndex {
        schema_version: 2,
        media_type: Some("application/vnd.oci.image.index.v1+json".into()),
        manifests: vec![entry],
        artifact_type: None,
        annotations: None,
    };
    let reference: Reference = format!("{host}/index:all").parse().unwrap();
    pusher().push_manifest_list(&reference, &anyone, index).await.unwrap();

    let puller = puller(&host, None, None);
    let check = async |name: &str, expected: &str| {
        let found = shown(pull(&puller, &format!("{host}/{name}"), MEBIBYTE).await, &host);
        assert_eq!(found, expected);
    };
    check(
        "image:1",
        "invalid_component: the OCI artefact HOST/image:1 holds no wasm component \
         (its kind is application/vnd.oci.image.config.v1+json)",
    )
    .await;
    check("two:1", "invalid_component: the OCI artefact HOST/two:1 has several wasm layers").await;
    check(
        "index:all",
        "invalid_component: the OCI artefact HOST/index:all is an index of several artefacts, not one component",
    )
    .await;
    check("image:2", "not_found: the OCI registry HOST has no HOST/image:2").await;
    check("nothing", "not_found: the OCI registry HOST has no HOST/nothing:latest").await;
    let absent = format!("nothing@sha256:{}", "0".repeat(64));
    check(&absent, &format!("not_found: the OCI registry HOST has no HOST/{absent}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_the_operators() {
    let registry = OciRegistry::start_protected().await;
    let host = registry.host();
    let (name, password) = OciRegistry::CREDENTIALS;
    let basic = RegistryAuth::Basic(name.into(), password.into());
    push(&host, "private:1", &[b"component"], WASM, &basic).await;
    let refused = "permission_denied: the OCI registry HOST does not give HOST/private:1 to this host";
    let check = async |credentials: Option<(&str, &str)>, expected: &str| {
        let puller = puller(&host, credentials, None);
        let outcome = pull(&puller, &format!("{host}/private:1"), MEBIBYTE).await;
        if let Err(problem) = &outcome {
            assert!(!format!("{problem:?}").contains("wrong"), "{problem:?}");
        }
        assert_eq!(shown(outcome, &host), expected, "{credentials:?}");
    };
    check(Some((name, password)), "9 bytes").await;
    check(Some((name, "wrong")), refused).await;
    check(None, refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_pulls_what_its_operator_allows() {
    let registry = OciRegistry::start().await;
    let host = registry.host();
    let component = tokio::task::spawn_blocking(|| std::fs::read(fixtures::component("neighbour")).unwrap());
    let component = component.await.unwrap();
    push(&host, "team/shout:1", &[&component], WASM, &RegistryAuth::Anonymous).await;
    push(&host, "team/text:1", &[b"no wasm at all"], WASM, &RegistryAuth::Anonymous).await;

    let serve =
        ServeOptions::new(BINARY).word("--oci-registry").word(&format!("http://{host}")).start().await;
    let bearer = format!("Bearer {}", serve.operator_key());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let (client, headers) = (HttpClient::http1(), headers.as_slice());
    let post = async |path: &str, body: Value| {
        client.send(Method::POST, &serve.control_url(path), headers, body.to_string().into()).await
    };
    post("/v1/tenants", json!({ "name": "acme" })).await;
    let check = async |reference: &str, status: u16, expected: &str| {
        let answer = post("/v1/tenants/acme/components", json!({ "oci": reference })).await;
        let told = answer.json();
        let found = told.pointer("/error/code").or_else(|| told.get("digest"));
        assert_eq!((answer.status.as_u16(), found), (status, Some(&json!(expected))), "{reference}: {told}");
        told
    };
    let digest: String = Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha256:{digest}");
    let kept = check(&format!("{host}/team/shout:1"), 201, &digest).await;
    let pulled_from = kept["pulled_from"].as_str().unwrap_or_default();
    assert!(pulled_from.starts_with(&format!("{host}/team/shout@sha256:")), "{kept}");
    check(pulled_from, 200, &digest).await;
    check(&format!("{host}/team/shout:2"), 404, "not_found").await;
    check(&format!("{host}/team/text:1"), 400, "invalid_component").await;
    check("ghcr.io/team/shout:1", 403, "permission_denied").await;
    check("../etc/passwd", 400, "invalid_request").await;
    let path = format!("/v1/tenants/acme/components/{digest}/content");
    let content = client.send(Method::GET, &serve.control_url(&path), headers, Bytes::new()).await;
    assert!(content.body == component, "{}", content.status);
}

// === registries that lie ===

/// What a lying registry answers for the one blob of its manifest.
#[derive(Clone, Copy)]
enum Lie {
    OtherBytes,
    LongerThanSaid,
    Endless,
    Silent,
    Broken,
    AddressesOfOthers,
}

const TRUE_BYTES: &[u8] = b"component";

/// Serves on a loopback port until the test ends.
async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::runtime::Handle::current().spawn(async { axum::serve(listener, router).await });
    address
}

fn manifest_of(lie: Lie, trap: SocketAddr) -> Value {
    let digest = Sha256::digest(TRUE_BYTES).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let urls = match lie {
        Lie::AddressesOfOthers => vec![format!("http://{trap}/secret")],
        _ => Vec::new(),
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": WASM.1, "digest": format!("sha256:{}", "0".repeat(64)), "size": 2 },
        "layers": [{
            "mediaType": WASM.0, "digest": format!("sha256:{digest}"), "size": TRUE_BYTES.len(), "urls": urls,
        }],
    })
}

fn blob_of(lie: Lie) -> Response {
    let forever = |first: &'static [u8]| {
        let pieces = futures_util::stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[7; 4096])));
        let first = futures_util::stream::once(async move { Ok(Bytes::from_static(first)) });
        Body::from_stream(futures_util::StreamExt::chain(first, pieces)).into_response()
    };
    match lie {
        Lie::OtherBytes => "COMPONENT".into_response(),
        Lie::LongerThanSaid => [TRUE_BYTES, b"and more"].concat().into_response(),
        Lie::Endless => forever(TRUE_BYTES),
        Lie::Silent => {
            let silence = futures_util::stream::pending::<Result<Bytes, Infallible>>();
            Body::from_stream(silence).into_response()
        }
        Lie::Broken => (StatusCode::BAD_GATEWAY, "oops\r\nlevel=error forged").into_response(),
        Lie::AddressesOfOthers => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registries_that_lie_get_nothing_in() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let trap = serve(Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { TRUE_BYTES }
    }))
    .await;
    let check = async |lie: Lie, expected: &str| {
        let manifest = manifest_of(lie, trap).to_string();
        let router = Router::new().fallback(move |uri: Uri| {
            let manifest = manifest.clone();
            async move {
                match uri.path() {
                    "/v2/" => StatusCode::OK.into_response(),
                    path if path.contains("/manifests/") => {
                        let kind = [("content-type", "application/vnd.oci.image.manifest.v1+json")];
                        (kind, manifest).into_response()
                    }
                    _ => blob_of(lie),
                }
            }
        });
        let host = serve(router).await.to_string();
        let time_limit = matches!(lie, Lie::Silent).then_some(Duration::from_millis(300));
        let puller = puller(&host, None, time_limit);
        let found = shown(pull(&puller, &format!("{host}/liar:1"), MEBIBYTE).await, &host);
        assert!(found.starts_with(expected), "{found:?} does not start with {expected:?}");
        assert!(found.len() < 600 && !found.contains(['\r', '\n']), "{found:?}");
    };
    let other =
        "invalid_component: the OCI registry HOST gives other bytes for HOST/liar:1 than their digest says";
    check(Lie::OtherBytes, other).await;
    check(Lie::LongerThanSaid, other).await;
    check(Lie::Endless, "request_too_large: the OCI artefact HOST/liar:1 is larger than 1048576 bytes").await;
    check(Lie::Silent, "unavailable: the OCI registry HOST cannot be read: it took too long").await;
    check(Lie::Broken, "unavailable: the OCI registry HOST cannot be read: it answered with status 502")
        .await;
    check(Lie::AddressesOfOthers, "not_found: the OCI registry HOST has no HOST/liar:1").await;
    assert_eq!(visits.load(Ordering::Relaxed), 0, "an address in a manifest was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_gone_is_named() {
    let registry = OciRegistry::start().await;
    let host = registry.host();
    drop(registry);
    let puller = puller(&host, None, None);
    wait_for("the registry to be gone", async || tokio::net::TcpStream::connect(&host).await.err()).await;
    let found = shown(pull(&puller, &format!("{host}/a:1"), MEBIBYTE).await, &host);
    assert!(found.starts_with("unavailable: the OCI registry HOST cannot be read: "), "{found}");
    assert!(found.contains("onnection refused"), "{found}");
}
