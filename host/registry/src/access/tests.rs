//! Who gets in, what each refusal says, and that nothing of a secret is ever repeated.

use std::time::Duration;

use lockgate_domain::{ErrorCode, KeyId, Principal, Problem, Scope, TenantName, Timestamp};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_709_724_500)
}

fn request(tenant: Option<&str>, scopes: &[Scope]) -> KeyRequest {
    KeyRequest {
        tenant: tenant.map(|name| name.parse().unwrap()),
        label: "ci".into(),
        scopes: scopes.iter().copied().collect(),
        expires_in: None,
    }
}

fn principal(tenant: Option<&str>, scopes: &[Scope]) -> Principal {
    Principal {
        name: "key:test".into(),
        tenant: tenant.map(|name| name.parse().unwrap()),
        scopes: scopes.iter().copied().collect(),
    }
}

fn shown(problem: &Problem) -> String {
    format!("{}: {problem}", problem.code())
}

#[test]
fn credentials_are_read_from_headers() {
    let key = "lg_abcdEFGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let bearer = format!("Bearer {key}");
    let check = |authorization: Option<&str>, x_api_key: Option<&str>, expected: &str| {
        let found = match Credential::from_headers(authorization, x_api_key) {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(credential)) => format!("{credential:?}"),
            Err(problem) => shown(&problem),
        };
        assert_eq!(found, expected, "{authorization:?} {x_api_key:?}");
        assert!(!found.contains("AAAAAAAA"), "a secret was repeated: {found}");
    };
    check(None, None, "nothing");
    check(Some(&bearer), None, "Key(abcdEFGH)");
    check(Some(&bearer.replace("Bearer", "bEARER ")), None, "Key(abcdEFGH)");
    check(None, Some(key), "Key(abcdEFGH)");
    check(Some(&bearer), Some(key), "Key(abcdEFGH)");
    check(Some("Bearer a.b.c"), None, "Token(..)");
    let other = key.replace("abcd", "abce");
    let differ = "unauthenticated: the headers authorization and x-api-key name different credentials";
    check(Some(&bearer), Some(&other), differ);
    check(Some("Bearer a.b.c"), Some(key), differ);

    let malformed = "unauthenticated: the API key is malformed";
    for text in [
        "lg_",
        "lg__",
        "lg_abcdEFGH",
        "lg_abcdEFGH_",
        "lg_abc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "lg_abcd-FGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "lg_abcdEFGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "lg_abcdEFGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        // stray bits at the end: another text of the same secret
        "lg_abcdEFGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        "lg_abcdEFGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "lg_abcdEFGH_++++AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "LG_abcdEFGH_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        check(None, Some(text), malformed);
    }
    check(
        Some("Bearer nonsense"),
        None,
        "unauthenticated: the credential is neither an API key nor a JSON Web Token",
    );
    check(
        Some("Bearer a.b."),
        None,
        "unauthenticated: the credential is neither an API key nor a JSON Web Token",
    );
    check(
        Some("Bearer a.b.c.d.e"),
        None,
        "unauthenticated: the credential is neither an API key nor a JSON Web Token",
    );
    check(Some("Bearer"), None, "unauthenticated: the header authorization has no scheme");
    check(Some(""), None, "unauthenticated: the header authorization has no scheme");
    check(Some("Bearer "), None, "unauthenticated: the credential is empty");
    check(None, Some(""), "unauthenticated: the credential is empty");
    check(
        Some("Basic dTpw"),
        None,
        "unauthenticated: the header authorization has another scheme than Bearer",
    );
    let strange = "unauthenticated: the credential has characters that no key and no token has";
    check(None, Some("lg_abcdEFGH_AAAA\r\nx-admin: 1"), strange);
    check(None, Some("lg_\u{0430}bcdEFGH_AAAA"), strange);
    check(Some("Bearer a.b.c d"), None, strange);
    check(Some("Bearer a.b.\0"), None, strange);
    let long = "unauthenticated: the credential is longer than 8192 bytes";
    check(None, Some(&"x".repeat(10_240)), long);
    check(Some(&format!("Bearer {}", "x".repeat(8193))), None, long);
    check(Some(&"x".repeat(100_000)), None, long);
}

#[test]
fn keys_are_minted_with_what_was_asked() {
    let check = |request: KeyRequest, expected: &str| {
        let found = mint(request, now()).map(|_| "made".to_owned()).unwrap_or_else(|problem| shown(&problem));
        assert_eq!(found, expected);
    };
    let good = request(Some("acme"), &[Scope::Call]);
    check(good.clone(), "made");
    check(request(None, &[Scope::Host]), "made");
    check(request(None, &[Scope::Read]), "made");
    check(
        request(Some("acme"), &[Scope::Host]),
        "invalid_request: a tenant's key cannot have the scope host",
    );
    check(request(Some("acme"), &[]), "invalid_request: a key without scopes is good for nothing");
    let labelled = |label: &str| KeyRequest { label: label.into(), ..good.clone() };
    check(labelled("café 日本"), "made");
    check(labelled("a\r\nb"), "invalid_request: a key's label cannot have the character '\\r'");
    check(labelled("a\u{202e}b"), "invalid_request: a key's label cannot have the character '\\u{202e}'");
    check(
        labelled(&"x".repeat(10_240)),
        "invalid_request: a key's label has at most 100 bytes, this one has 10240",
    );
    let at_once = KeyRequest { expires_in: Some(Duration::ZERO), ..good.clone() };
    check(at_once, "invalid_request: a key that expires at once is good for nothing");

    let minted = mint(good, now()).unwrap();
    let id = minted.record.key.id.as_str();
    assert!(minted.text.starts_with(&format!("lg_{id}_")), "the id is part of the key");
    assert_eq!((id.len(), minted.text.len()), (12, 3 + 12 + 1 + 43));
    let secret = minted.text.rsplit_once(&format!("{id}_")).unwrap().1.to_owned();
    for told in [
        format!("{minted:?}"),
        format!("{:?}", minted.record),
        serde_json::to_string(&minted.record).unwrap(),
    ] {
        assert!(!told.contains(&secret), "{told}");
    }
    let read: KeyRecord = serde_json::from_str(&serde_json::to_string(&minted.record).unwrap()).unwrap();
    assert_eq!(read, minted.record);
}

#[test]
fn only_who_has_the_secret_learns_about_a_key() {
    let alive = mint(request(Some("acme"), &[Scope::Call]), now()).unwrap();
    let mut revoked = mint(request(Some("acme"), &[Scope::Call]), now()).unwrap();
    revoked.record.key.revoked_at = Some(now());
    let short = KeyRequest { expires_in: Some(Duration::from_secs(60)), ..request(None, &[Scope::Host]) };
    let expiring = mint(short, now()).unwrap();
    let unknown = mint(request(Some("acme"), &[Scope::Call]), now()).unwrap();
    let book = KeyBook::new([&alive, &revoked, &expiring].map(|minted| minted.record.clone())).unwrap();

    let check = |text: &str, at: Timestamp, expected: &str| {
        let credential = Credential::parse(text).unwrap();
        let found = match book.authenticate(&credential, at) {
            Ok(principal) => format!("{} of {:?}", principal.name, principal.tenant),
            Err(problem) => shown(&problem),
        };
        assert_eq!(found, expected, "{credential:?}");
    };
    let id = |minted: &MintedKey| minted.record.key.id.to_string();
    check(&alive.text, now(), &format!("key:{} of Some(\"acme\")", id(&alive)));
    check(&expiring.text, now(), &format!("key:{} of None", id(&expiring)));
    let later = now().after(Duration::from_secs(60));
    check(
        &expiring.text,
        later,
        &format!("unauthenticated: the API key {} expired at {later}", id(&expiring)),
    );
    check(
        &revoked.text,
        now(),
        &format!("unauthenticated: the API key {} was revoked at {}", id(&revoked), now()),
    );
    check(&unknown.text, now(), "unauthenticated: the API key is not valid");

    // The secret of another key with the id of each: nothing is told apart.
    let stolen = unknown.text.rsplit_once(&format!("{}_", id(&unknown))).unwrap().1.to_owned();
    for minted in [&alive, &revoked, &expiring] {
        check(&format!("lg_{}_{stolen}", id(minted)), later, "unauthenticated: the API key is not valid");
    }
}

#[test]
fn every_character_of_a_secret_counts() {
    let minted = mint(request(Some("acme"), &[Scope::Call]), now()).unwrap();
    let book = KeyBook::new([minted.record.clone()]).unwrap();
    let secret_at = minted.text.len() - 43;
    for at in secret_at..minted.text.len() {
        let mut bytes = minted.text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        let text = String::from_utf8(bytes).unwrap();
        let let_in = Credential::parse(&text).and_then(|credential| book.authenticate(&credential, now()));
        let problem = let_in.expect_err("a changed secret must not pass");
        assert_eq!(problem.code(), ErrorCode::Unauthenticated, "{problem}");
    }
}

#[test]
fn a_key_that_goes_takes_its_identities_along() {
    let minted = mint(request(Some("acme"), &[Scope::Call]), now()).unwrap();
    let other = mint(request(Some("rival"), &[Scope::Call]), now()).unwrap();
    let book = Arc::new(KeyBook::default());
    let authenticator = Authenticator::new(Arc::clone(&book), None);
    let credential = Credential::parse(&minted.text).unwrap();
    assert!(authenticator.authenticate(&credential, now()).is_err(), "not there yet");
    book.put(minted.record.clone());
    book.put(other.record.clone());
    let identity = authenticator.authenticate(&credential, now()).unwrap();
    assert!(authenticator.still_holds(&identity, now()).is_ok());
    assert!(authenticator.still_holds(&Identity::local(), now()).is_ok());

    let mut revoked = minted.record.clone();
    revoked.key.revoked_at = Some(now());
    book.put(revoked);
    let problem = authenticator.still_holds(&identity, now()).unwrap_err();
    assert!(problem.message().contains("was revoked at"), "{problem}");
    book.put(minted.record);
    assert!(authenticator.still_holds(&identity, now()).is_ok());
    book.remove_tenant(&"acme".parse().unwrap());
    assert_eq!(
        authenticator.still_holds(&identity, now()).unwrap_err().message(),
        "the API key is not valid"
    );
    assert!(book.still_holds(&other.record.key.id, now()).is_ok(), "another tenant's keys stay");
    book.remove(&other.record.key.id);
    assert!(book.still_holds(&other.record.key.id, now()).is_err());

    let token = Credential::parse("a.b.c").unwrap();
    let problem = authenticator.authenticate(&token, now()).unwrap_err();
    assert_eq!(problem.message(), "this host takes API keys and no JSON Web Tokens");
}

#[test]
fn a_tenant_has_room_for_so_many_keys() {
    let template = mint(request(Some("acme"), &[Scope::Call]), now()).unwrap().record;
    let numbered = |number: usize, tenant: &str| {
        let mut record = template.clone();
        record.key.id = format!("{tenant}key{number:06}").parse().unwrap();
        record.key.tenant = Some(tenant.parse().unwrap());
        record
    };
    let acme: TenantName = "acme".parse().unwrap();
    let full: Vec<KeyRecord> = (0..KeyBook::MAX_OF_TENANT).map(|number| numbered(number, "acme")).collect();
    let room = |records: &[KeyRecord], tenant: Option<&TenantName>| {
        KeyBook::new(records.iter().cloned()).unwrap().room_for(tenant, now())
    };
    assert_eq!(room(&full[1..], Some(&acme)).unwrap(), None);
    let problem = room(&full, Some(&acme)).unwrap_err();
    assert_eq!(shown(&problem), "quota_exceeded: tenant \"acme\" has 1000 API keys, no more are taken");
    assert_eq!(room(&full, None).unwrap(), None, "the host's own count by themselves");
    let mut dead = full;
    for (at, age) in [(500, 2), (300, 1), (700, 3)] {
        dead[at].key.revoked_at = Some(now());
        dead[at].key.created_at = Timestamp::from_millis(age);
    }
    let forget: Option<KeyId> = Some(dead[300].key.id.clone());
    assert_eq!(room(&dead, Some(&acme)).unwrap(), forget, "the oldest dead one makes room");
    let too_many = (0..=KeyBook::MAX_KEYS).map(|number| numbered(number, "t"));
    assert_eq!(KeyBook::new(too_many).unwrap_err().code(), ErrorCode::HostFault);
}

#[test]
fn one_place_decides() {
    use TenantStanding::{Active, Suspended, Unknown};
    let check =
        |principal: &Principal, wanted: Scope, asked: &str, standing: TenantStanding, expected: &str| {
            let found = match authorise(principal, wanted, asked, |_| Ok(standing)) {
                Ok(access) => {
                    assert_eq!(access.principal(), principal);
                    format!("access to {}", access.tenant())
                }
                Err(problem) => shown(&problem),
            };
            assert_eq!(found, expected, "{principal:?} {wanted} {asked:?} {standing:?}");
        };
    let admin = principal(Some("acme"), &[Scope::Admin]);
    let operator = Principal::local();
    let missing = "not_found: there is no tenant \"rival\"";
    for wanted in [Scope::Call, Scope::Upload, Scope::Deploy, Scope::Read, Scope::Admin] {
        check(&admin, wanted, "acme", Active, "access to acme");
        check(&operator, wanted, "acme", Active, "access to acme");
        // Another tenant's name and a name that nobody has are told apart by nothing.
        check(&admin, wanted, "rival", Active, missing);
        check(&admin, wanted, "rival", Suspended, missing);
        check(&admin, wanted, "rival", Unknown, missing);
        check(&operator, wanted, "rival", Unknown, missing);
    }
    check(&admin, Scope::Host, "rival", Active, missing);
    check(&admin, Scope::Read, "acme", Unknown, "not_found: there is no tenant \"acme\"");
    check(
        &admin,
        Scope::Host,
        "acme",
        Active,
        "permission_denied: key:test lacks the scope host (it has: admin)",
    );
    let caller = principal(Some("acme"), &[Scope::Call]);
    let lacks = "permission_denied: key:test lacks the scope read (it has: call)";
    check(&caller, Scope::Read, "acme", Active, lacks);
    check(&caller, Scope::Read, "acme", Unknown, lacks);
    check(&caller, Scope::Read, "rival", Active, missing);
    let nothing = principal(Some("acme"), &[]);
    check(
        &nothing,
        Scope::Call,
        "acme",
        Active,
        "permission_denied: key:test lacks the scope call (it has: none)",
    );
    // A record that should not exist gives no power over others.
    let forged = principal(Some("acme"), &[Scope::Host]);
    check(&forged, Scope::Read, "rival", Active, missing);
    check(
        &forged,
        Scope::Deploy,
        "acme",
        Suspended,
        "permission_denied: tenant \"acme\" is suspended: its things can be looked at, not used or changed",
    );
    // A key of the host with one scope has it for every tenant, and no more.
    let auditor = principal(None, &[Scope::Read]);
    check(&auditor, Scope::Read, "rival", Active, "access to rival");
    check(
        &auditor,
        Scope::Deploy,
        "rival",
        Active,
        "permission_denied: key:test lacks the scope deploy (it has: read)",
    );

    let suspended =
        "permission_denied: tenant \"acme\" is suspended: its things can be looked at, not used or changed";
    check(&admin, Scope::Read, "acme", Suspended, "access to acme");
    for wanted in [Scope::Call, Scope::Upload, Scope::Deploy, Scope::Admin] {
        check(&admin, wanted, "acme", Suspended, suspended);
    }
    check(&operator, Scope::Call, "acme", Suspended, suspended);
    check(&operator, Scope::Upload, "acme", Suspended, "access to acme");

    let bad = |asked: &str| {
        authorise(&operator, Scope::Read, asked, |_| panic!("looked up {asked:?}")).unwrap_err()
    };
    for asked in ["", "../acme", "acme\0", "acme\r\n", "\u{0430}cme", "acme ", "acme/x", &"x".repeat(10_240)]
    {
        let problem = bad(asked);
        assert_eq!(problem.code(), ErrorCode::InvalidRequest, "{asked:?}: {problem}");
        assert!(problem.message().len() < 300, "{problem}");
    }
    let failed =
        authorise(&operator, Scope::Read, "acme", |_| Err(Problem::new(ErrorCode::HostFault, "disk")));
    assert_eq!(failed.unwrap_err().code(), ErrorCode::HostFault);
}

#[test]
fn access_is_good_for_what_it_was_given_for() {
    let operator = Principal::local();
    let access = |wanted| authorise(&operator, wanted, "acme", |_| Ok(TenantStanding::Active)).unwrap();
    let check = |given: Scope, wanted: Scope, expected: bool| {
        assert_eq!(access(given).require(wanted).is_ok(), expected, "{given} for {wanted}");
    };
    check(Scope::Read, Scope::Read, true);
    check(Scope::Read, Scope::Deploy, false);
    check(Scope::Call, Scope::Read, false);
    check(Scope::Deploy, Scope::Read, true);
    check(Scope::Deploy, Scope::Admin, false);
    check(Scope::Admin, Scope::Upload, true);
    let of_host = TenantAccess::of_host("acme".parse().unwrap(), "metering");
    assert!(of_host.require(Scope::Admin).is_ok());
    assert_eq!(of_host.principal().name, "host:metering");

    let host = |tenant: Option<&str>, scopes: &[Scope]| authorise_host(&principal(tenant, scopes)).is_ok();
    assert!(host(None, &[Scope::Host]));
    assert!(!host(None, &[Scope::Admin]));
    assert!(!host(Some("acme"), &[Scope::Host]));
    assert!(!host(Some("acme"), &[Scope::Admin]));
}
