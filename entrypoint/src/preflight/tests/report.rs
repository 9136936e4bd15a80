//! What follows from findings, the fingerprint, and that no finding shows a secret.

use super::*;
use Level::{Error, Refused, Warning};
use proptest::prelude::*;

fn report(findings: Vec<Finding>) -> Report {
    Report {
        service: Scheduler,
        findings,
        fingerprint: None,
    }
}

#[test]
fn every_error_is_named_at_once_and_the_code_says_the_worst() {
    let refused = || Finding::new(Refused, "A", "is refused");
    let wrong = || Finding::new(Error, "B", "is wrong");
    let odd = || Finding::new(Warning, "C", "is odd");
    assert_eq!(report(vec![odd()]).conclude(), Ok(()));
    let failure = report(vec![odd(), refused()]).conclude().unwrap_err();
    assert_eq!(failure.code(), 64);
    let failure = report(vec![wrong(), refused(), odd()])
        .conclude()
        .unwrap_err();
    assert_eq!(failure.code(), 65);
    assert_eq!(
        failure.why,
        "scheduler can't work: B is wrong; A is refused"
    );
}

#[test]
fn simple_auth_is_let_in_where_it_was_asked_for() {
    let variables = with(&[(AUTH, None)]);
    let config = Config::from_parts(&variables, "");
    let subject = Subject {
        service: ApiServer,
        release: Some(V31),
        config: &config,
        variables: &variables,
        simple_auth_allowed: true,
    };
    assert_eq!(examine(&subject, None), []);
}

#[test]
fn containers_with_other_secrets_have_another_fingerprint() {
    let fingerprint = |service, changes: &[(&str, Option<&str>)]| {
        let variables = with(changes);
        let config = Config::from_parts(&variables, "");
        fingerprint_of(&Subject {
            service,
            release: Some(V31),
            config: &config,
            variables: &variables,
            simple_auth_allowed: false,
        })
    };
    let first = fingerprint(Scheduler, &[]).unwrap();
    assert_eq!(first.of, "fernet_key,secret_key,jwt_secret");
    assert_eq!(fingerprint(ApiServer, &[]).as_ref(), Some(&first));
    let other = fingerprint(ApiServer, &[(JWT, Some("other"))]).unwrap();
    assert_eq!(
        (&other.of, other.digits == first.digits),
        (&first.of, false)
    );
    let fewer = fingerprint(CeleryWorker, &[(JWT, None)]).unwrap();
    assert_eq!(fewer.of, "fernet_key,secret_key");
    assert_eq!(fingerprint(ApiServer, &[(FERNET, None)]), None);
}

proptest! {
    #[test]
    fn no_finding_ever_shows_a_secret(
        secret in "[a-zA-Z0-9$~=,?&:/@ -]{12,60}",
        fetched in any::<bool>(),
        service in 0..SERVICES.len(),
        release in prop::sample::select(vec![None, Some(V28), Some(V211), Some(V300), Some(V31), Some(V33)]),
    ) {
        for name in [FERNET, API_SECRET, WEB_SECRET, JWT, BROKER, BACKEND, CONN, CONN_ASYNC] {
            let mut variables = with(&[]);
            let scheme = if name == BROKER || name == BACKEND { "rediss://u:" } else { "postgresql://u:" };
            let source = if fetched { Source::Path("/p".to_owned()) } else { Source::Literal };
            let value = match name {
                BROKER | BACKEND | CONN | CONN_ASYNC => format!("{scheme}{secret}@h/d?sslmode=x&ssl_cert_reqs=y"),
                _ => secret.clone(),
            };
            variables.set(name, value, source);
            for finding in found(SERVICES[service], release, &variables) {
                let shown = finding.to_string();
                prop_assert!(!shown.contains(&secret), "{shown}");
            }
        }
    }

    #[test]
    fn what_is_a_key_is_never_refused_and_opens_what_it_made(key in prop::array::uniform32(any::<u8>()), at in any::<u64>(), mut chain in any::<[u8; 16]>(), message in ".{0,80}") {
        use aes::cipher::BlockCipherEncrypt as _;
        use base64::prelude::{BASE64_URL_SAFE, Engine as _};
        use hmac::{Hmac, KeyInit, Mac};
        let text = BASE64_URL_SAFE.encode(key);
        let keys = Keys::parse(&text).unwrap();
        let mut token = vec![0x80];
        token.extend(at.to_be_bytes());
        token.extend(chain);
        let padding = 16 - message.len() % 16;
        let mut padded = message.into_bytes();
        padded.resize(padded.len() + padding, padding as u8);
        let cipher = aes::Aes128::new_from_slice(&key[16..]).unwrap();
        for block in padded.as_chunks::<16>().0 {
            let mixed: [u8; 16] = std::array::from_fn(|place| block[place] ^ chain[place]);
            let mut mixed = mixed.into();
            cipher.encrypt_block(&mut mixed);
            chain = mixed.into();
            token.extend(chain);
        }
        let mac = Hmac::<sha2::Sha256>::new_from_slice(&key[..16]).unwrap();
        token.extend(mac.chain_update(&token).finalize().into_bytes());
        prop_assert!(keys.open(&BASE64_URL_SAFE.encode(&token)));
        let last = token.len() - 1;
        token[last] ^= 1;
        prop_assert!(!keys.open(&BASE64_URL_SAFE.encode(&token)));
    }
}
