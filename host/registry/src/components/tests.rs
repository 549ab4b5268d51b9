//! Uploads, what is left of broken ones, and files that tenants share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, thread};

use lockgate_domain::hosting::ComponentReport;
use lockgate_domain::{ErrorCode, Problem};
use parking_lot::Mutex;

use super::*;
use crate::access::TenantAccess;
use crate::fixture::{Fixture, Script, acme, digest_of, host, other, spec, told, usual};
use crate::signature::PrivateSigningKey;
use crate::{PageRequest, Precondition};

fn files(fixture: &Fixture, folder: &str) -> usize {
    let root = fixture.folder.path().join("data").join(folder);
    fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { fs::read_dir(path).unwrap().count() } else { 1 })
        .sum()
}

fn one_page(fixture: &Fixture, access: &TenantAccess) -> Vec<ComponentDigest> {
    let page = fixture.registry.components(access, &PageRequest::default()).unwrap();
    page.items.into_iter().map(|component| component.digest).collect()
}

#[test]
fn equal_bytes_are_one_file_that_goes_with_its_last_holder() {
    let fixture = Fixture::new();
    let script = Script::default();
    let upload = |access: &TenantAccess| {
        fixture.upload_with(access, b"component", &UploadTerms::default(), &script).unwrap()
    };
    let digest = digest_of(b"component");
    assert_eq!(fixture.registry.known_component(&acme(), digest, None).unwrap(), None);
    assert_eq!(upload(&acme()), (digest, Arrival::Created));
    assert_eq!(upload(&acme()), (digest, Arrival::Known));
    assert!(fixture.registry.known_component(&acme(), digest, None).unwrap().is_some());
    // The other tenant sees nothing of it until it hands in the bytes itself.
    assert_eq!(fixture.registry.known_component(&other(), digest, None).unwrap(), None);
    assert!(
        told(fixture.registry.component(&other(), digest))
            .starts_with("not_found: there is no component sha256:")
    );
    assert!(told(fixture.registry.component_content(&other(), digest)).starts_with("not_found"));
    assert!(told(fixture.registry.delete_component(&other(), digest)).starts_with("not_found"));
    assert_eq!(upload(&other()), (digest, Arrival::Created));
    assert_eq!(script.examined.load(Ordering::SeqCst), 1);
    assert_eq!((files(&fixture, "components"), files(&fixture, "incoming")), (1, 0));

    fixture.registry.delete_component(&acme(), digest).unwrap();
    assert_eq!((one_page(&fixture, &acme()), one_page(&fixture, &other())), (vec![], vec![digest]));
    assert_eq!(files(&fixture, "components"), 1);
    let (mut file, size) = fixture.registry.component_content(&other(), digest).unwrap();
    fixture.registry.delete_component(&other(), digest).unwrap();
    assert_eq!(files(&fixture, "components"), 0);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    assert_eq!((bytes.as_slice(), size), (b"component".as_slice(), 9));
    assert_eq!(fixture.registry.holdings(&acme()).unwrap().stored_bytes, 0);
}

#[test]
fn equal_uploads_at_the_same_time_are_examined_once() {
    let fixture = Fixture::new();
    let script = Script::default();
    let arrivals: Vec<_> = thread::scope(|scope| {
        let upload = |number: usize| {
            let access = if number.is_multiple_of(2) { acme() } else { other() };
            fixture.upload_with(&access, b"same", &UploadTerms::default(), &script).unwrap().1
        };
        let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || upload(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(arrivals.iter().filter(|arrival| **arrival == Arrival::Created).count(), 2);
    assert_eq!(script.examined.load(Ordering::SeqCst), 1);
    assert_eq!((files(&fixture, "components"), files(&fixture, "incoming")), (1, 0));
    assert_eq!(fixture.registry.holdings(&acme()).unwrap().components, 1);
}

/// Holds what begins with `slow` until it is told.
#[derive(Default)]
struct Holding {
    entered: AtomicU32,
    gate: Mutex<()>,
}

impl crate::ComponentValidator for Holding {
    fn examine(&self, _: ComponentDigest, bytes: &[u8]) -> Result<ComponentReport, Problem> {
        if bytes.starts_with(b"slow") {
            self.entered.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.lock());
        }
        Ok(ComponentReport::default())
    }

    fn engine(&self) -> &str {
        "engine 1"
    }
}

#[test]
fn a_tenant_whose_uploads_take_long_holds_up_its_own_only() {
    let (fixture, holding) = (Fixture::new(), Holding::default());
    let upload = |access: &TenantAccess, bytes: &[u8]| {
        let mut upload = fixture.registry.begin_upload(access).unwrap();
        upload.write(bytes).unwrap();
        upload.finish(&UploadTerms::default(), &holding).unwrap().1
    };
    let upload = &upload;
    thread::scope(|scope| {
        let held = holding.gate.lock();
        let slow = ["slow one", "slow two"].map(|text| scope.spawn(move || upload(&acme(), text.as_bytes())));
        while holding.entered.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        assert_eq!(upload(&other(), b"quick"), Arrival::Created);
        assert_eq!(holding.entered.load(Ordering::SeqCst), 1, "one of a tenant at a time");
        drop(held);
        for slow in slow {
            assert_eq!(slow.join().unwrap(), Arrival::Created);
        }
    });
    assert_eq!(holding.entered.load(Ordering::SeqCst), 2);
}

#[test]
fn what_is_refused_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.change_settings(|settings| {
        settings.quota.components = 2;
        settings.quota.stored_bytes = 500;
    });
    let check = |bytes: &[u8], terms: &UploadTerms, expected: &str| {
        let told = told(fixture.upload_with(&acme(), bytes, terms, &Script::default()));
        assert!(told.starts_with(expected), "{told}");
        assert_eq!((files(&fixture, "components"), files(&fixture, "incoming")), (0, 0));
    };
    let usual = UploadTerms::default();
    check(b"", &usual, "invalid_request: the upload is empty");
    check(b"bad", &usual, "invalid_component: it is bad");
    check(b"busy", &usual, "overloaded: too many compilations");
    check(&[1; 1001], &usual, "quota_exceeded: the uploads of tenant acme in progress have over 500 bytes");
    check(&[1; 501], &usual, "quota_exceeded: the uploads of tenant acme in progress have over 500 bytes");
    let expected = UploadTerms { expected: Some(digest_of(b"one")), ..UploadTerms::default() };
    check(b"two", &expected, "invalid_request: the bytes have digest sha256:");
    fixture.change_settings(|settings| settings.quota.stored_bytes = 5000);
    check(&[1; 1001], &usual, "request_too_large: the component has more than 1000 bytes");

    fixture.upload(&acme(), b"one").unwrap();
    fixture.upload(&acme(), b"two").unwrap();
    assert_eq!(
        told(fixture.upload(&acme(), b"three")),
        "quota_exceeded: tenant acme has 2 components, the most it may have"
    );
    // What is there already needs no room.
    assert_eq!(fixture.upload(&acme(), b"two").unwrap().1, Arrival::Known);
    fixture.change_settings(|settings| {
        settings.quota.components = 9;
        settings.quota.stored_bytes = 10;
    });
    assert_eq!(
        told(fixture.upload(&acme(), b"three")),
        "quota_exceeded: tenant acme would keep 11 bytes, at most 10 are allowed"
    );
    assert_eq!(fixture.registry.holdings(&acme()).unwrap().stored_bytes, 6);
}

#[test]
fn a_dropped_upload_leaves_nothing_and_uploads_at_once_are_bounded() {
    let fixture = Fixture::new();
    let mut uploads: Vec<Upload> =
        (0..256).map(|_| fixture.registry.begin_upload(&acme()).unwrap()).collect();
    uploads[0].write(b"half of").unwrap();
    assert_eq!(files(&fixture, "incoming"), 256);
    let refused = fixture.registry.begin_upload(&acme()).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::QuotaExceeded);
    assert!(refused.retry_after_ms().is_some());
    drop(fixture.registry.begin_upload(&other()).unwrap());
    drop(uploads);
    assert_eq!(files(&fixture, "incoming"), 0);
    drop(fixture.registry.begin_upload(&acme()).unwrap());
}

#[test]
fn the_next_start_sweeps_what_a_broken_upload_left() {
    let fixture = Fixture::new();
    let (whole, _) = fixture.upload(&acme(), b"whole").unwrap();
    let (gone, _) = fixture.upload(&acme(), b"gone").unwrap();
    let (cut, _) = fixture.upload(&acme(), b"cut short").unwrap();
    let fixture = fixture.reopen(|folder| {
        let data = folder.join("data");
        let file =
            |digest: ComponentDigest| data.join("components").join(&digest.hex()[..2]).join(digest.hex());
        fs::write(data.join("incoming/abc"), b"half an upload").unwrap();
        let orphan = file(digest_of(b"orphan"));
        fs::create_dir_all(orphan.parent().unwrap()).unwrap();
        fs::write(&orphan, b"orphan").unwrap();
        fs::write(data.join("components").join(&whole.hex()[..2]).join("nonsense"), b"x").unwrap();
        fs::remove_file(file(gone)).unwrap();
        fs::write(file(cut), b"cut").unwrap();
    });
    assert_eq!(files(&fixture, "incoming"), 0);
    assert_eq!(one_page(&fixture, &acme()), [whole]);
    assert_eq!(files(&fixture, "components"), 2);
    assert!(told(fixture.registry.component(&acme(), gone)).starts_with("not_found"));
    // Uploaded again it is whole again, and counts once.
    assert_eq!(fixture.upload(&acme(), b"gone").unwrap(), (gone, Arrival::Created));
    assert_eq!(fixture.upload(&acme(), b"cut short").unwrap(), (cut, Arrival::Created));
    assert_eq!(one_page(&fixture, &acme()).len(), 3);
    assert_eq!(fixture.registry.holdings(&acme()).unwrap().components, 3);
    assert_eq!(fixture.registry.component_content(&acme(), cut).unwrap().1, 9);
}

#[test]
fn one_process_at_a_time() {
    let fixture = Fixture::new();
    let second = Registry::open(crate::fixture::options(&fixture.folder, &fixture.time)).err().unwrap();
    assert_eq!(second.code(), ErrorCode::HostFault);
    assert!(second.message().starts_with("another process uses the data directory"), "{second}");
    drop(fixture.reopen(|_| ()));
}

#[test]
fn a_data_directory_that_cannot_be_is_told_with_its_cause() {
    let fixture = Fixture::new();
    let usual = crate::fixture::options(&fixture.folder, &fixture.time);
    let file = fixture.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for place in [file.clone(), file.join("data")] {
        let options = crate::options::RegistryOptions { data_dir: place.clone(), ..usual.clone() };
        let problem = Registry::open(options).err().unwrap();
        assert_eq!(problem.code(), ErrorCode::HostFault);
        assert!(problem.message().starts_with(&format!("cannot create {}: ", place.display())), "{problem}");
    }
}

#[test]
fn a_component_in_use_stays() {
    let fixture = Fixture::new();
    let (digest, _) = fixture.upload(&acme(), b"used").unwrap();
    fixture.create("shout", spec(digest), &usual()).unwrap();
    fixture.create("shout", spec(digest), &usual()).unwrap();
    assert_eq!(
        told(fixture.registry.delete_component(&acme(), digest)),
        format!("conflict: component {digest} is used by shout@1, shout@2")
    );
    fixture.registry.delete_executor(&acme(), &"shout".parse().unwrap()).unwrap();
    fixture.registry.delete_component(&acme(), digest).unwrap();
    let left = fixture.registry.holdings(&acme()).unwrap();
    assert_eq!((left.stored_bytes, left.components, left.executors), (0, 0, 0));
}

#[test]
fn signatures_are_checked_before_the_bytes_are_examined() {
    let fixture = Fixture::new();
    let (ours, foreign) = (PrivateSigningKey::generate().unwrap(), PrivateSigningKey::generate().unwrap());
    let name: lockgate_domain::SigningKeyName = "release".parse().unwrap();
    let script = Script::default();
    let upload = |bytes: &[u8], key: Option<&PrivateSigningKey>| {
        let signature = key.map(|key| key.sign(name.clone(), digest_of(bytes)));
        fixture.upload_with(&acme(), bytes, &UploadTerms { signature, ..UploadTerms::default() }, &script)
    };
    assert!(told(upload(b"a", Some(&ours))).contains("names key release, and the tenant has no such key"));
    fixture.registry.put_signing_key(&acme(), &name, ours.public().to_pem().unwrap()).unwrap();
    assert!(
        told(upload(b"a", Some(&foreign))).starts_with("permission_denied: the signature is not that of key")
    );
    upload(b"unsigned", None).unwrap();
    fixture.change_settings(|settings| settings.require_signature = true);
    assert!(told(upload(b"a", None)).contains("came without a signature"));
    assert_eq!(script.examined.load(Ordering::SeqCst), 1);
    let (digest, _) = upload(b"a", Some(&ours)).unwrap();
    assert_eq!(fixture.registry.component(&acme(), digest).unwrap().signed_by, Some(name.clone()));
    assert_eq!(upload(b"a", None).unwrap().1, Arrival::Known);
    // What was there before the rule is signed when it comes again.
    let unsigned = digest_of(b"unsigned");
    assert_eq!(fixture.registry.known_component(&acme(), unsigned, None).unwrap(), None);
    let signature = ours.sign(name.clone(), unsigned);
    let known = fixture.registry.known_component(&acme(), unsigned, Some(&signature)).unwrap();
    assert_eq!(known.unwrap().signed_by, Some(name));
}

#[test]
fn another_engine_is_examined_again_and_told_to_all_holders() {
    let fixture = Fixture::new();
    let (digest, _) = fixture.upload(&acme(), b"x").unwrap();
    let (_, _) = fixture.upload(&other(), b"x").unwrap();
    assert_eq!(fixture.registry.outdated_components("engine 1").unwrap(), []);
    assert_eq!(fixture.registry.outdated_components("engine 2").unwrap().len(), 1);
    let newer = Script { engine: Some("engine 2"), ..Script::default() };
    let report = crate::ComponentValidator::examine(&newer, digest, b"x").unwrap();
    fixture.registry.put_report(digest, &report).unwrap();
    assert_eq!(fixture.registry.outdated_components("engine 2").unwrap(), []);
    assert_eq!(fixture.registry.component(&other(), digest).unwrap().report.engine, "engine 2");
}

#[test]
fn a_forced_end_of_a_tenant_takes_its_files() {
    let fixture = Fixture::new();
    fixture.publish("shout", "mine");
    fixture.upload(&acme(), b"shared").unwrap();
    fixture.upload(&other(), b"shared").unwrap();
    let name = "acme".parse().unwrap();
    fixture.registry.delete_tenant(&host(), &name, Precondition::Any, true).unwrap();
    assert_eq!(files(&fixture, "components"), 1);
    let fixture = fixture.reopen(|_| ());
    assert_eq!(files(&fixture, "components"), 1);
    assert!(fixture.registry.begin_upload(&acme()).is_err());
}

#[test]
fn one_tenants_upload_and_anothers_deletion_never_meet() {
    let fixture = Fixture::new();
    thread::scope(|scope| {
        for access in [acme(), other()] {
            let fixture = &fixture;
            scope.spawn(move || {
                for _ in 0..40 {
                    let (digest, arrival) = fixture.upload(&access, b"contended").unwrap();
                    assert_eq!(arrival, Arrival::Created);
                    let (mut file, _) = fixture.registry.component_content(&access, digest).unwrap();
                    let mut text = String::new();
                    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
                    assert_eq!(text, "contended");
                    fixture.registry.delete_component(&access, digest).unwrap();
                }
            });
        }
    });
    assert_eq!((files(&fixture, "components"), files(&fixture, "incoming")), (0, 0));
}

#[test]
fn a_verdict_lives_while_somebody_waits_for_it() {
    let flights = Flights::default();
    let digest = digest_of(b"bad");
    let (first, second) = (flights.join(digest), flights.join(digest));
    assert!(first.turn().is_none());
    *first.turn() = Some(Err(Problem::new(ErrorCode::InvalidComponent, "it is bad")));
    drop(first);
    assert_eq!(second.turn().as_ref().unwrap().as_ref().unwrap_err().message(), "it is bad");
    assert!(flights.join(digest_of(b"other")).turn().is_none());
    drop(second);
    assert!(flights.join(digest).turn().is_none());
}
