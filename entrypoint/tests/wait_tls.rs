//! Each of libpq's TLS modes against a real PostgreSQL, judged by what the server saw.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wait;

use agent::postgres::{Target, TlsMode};
use testkit::postgres::{Database, Options, Postgres};
use testkit::server::Authority;
use wait::{once, target};

fn with(own: &Database, host: &str, mode: TlsMode, root: Option<&std::path::Path>) -> Target {
    let mut target = target(&own.url());
    target.hosts[0].name = host.to_owned();
    target.tls.mode = Some(mode);
    target.tls.root = root.map(Into::into);
    target
}

/// What came of it: `tls` or `plain`, or the exit code and its words.
fn seen(postgres: &Postgres, target: &Target) -> String {
    let before = postgres.log().len();
    match once(target) {
        Ok(()) => {
            let authorized = format!("connection authorized: user={}", target.user);
            let line = testkit::until_some(wait::SOON, "the session in the log", || {
                let log = postgres.log();
                log[before..]
                    .lines()
                    .find(|line| line.contains(&authorized))
                    .map(str::to_owned)
            });
            if line.contains("SSL enabled") {
                "tls"
            } else {
                "plain"
            }
            .to_owned()
        }
        Err(failure) => format!("{} {}", failure.code(), failure.why),
    }
}

#[test]
fn modes_without_a_check_encrypt_as_they_are_asked() {
    let postgres = Postgres::start();
    let own = postgres.database();
    let seen = |mode| seen(&postgres, &with(&own, "127.0.0.1", mode, None));
    assert_eq!(seen(TlsMode::Disable), "plain");
    assert_eq!(seen(TlsMode::Prefer), "tls");
    assert_eq!(seen(TlsMode::Require), "tls");
}

#[test]
fn a_server_without_tls_is_refused_only_where_it_is_demanded() {
    let postgres = Postgres::with(&Options::new().without_tls());
    let own = postgres.database();
    let seen = |mode| seen(&postgres, &with(&own, "127.0.0.1", mode, None));
    assert_eq!(seen(TlsMode::Prefer), "plain");
    let refused = seen(TlsMode::Require);
    assert!(
        refused.starts_with("65") && refused.contains("the server has no TLS"),
        "{refused}"
    );
}

#[test]
fn a_server_that_demands_tls_names_the_setting() {
    let postgres = Postgres::with(&Options::new().tls_only());
    let own = postgres.database();
    let seen = |mode| seen(&postgres, &with(&own, "127.0.0.1", mode, None));
    assert_eq!(seen(TlsMode::Prefer), "tls");
    let refused = seen(TlsMode::Disable);
    assert!(
        refused.starts_with("77") && refused.contains("28000"),
        "{refused}"
    );
    assert!(
        refused.contains("ENTRYPOINT_DB_SSLMODE=require"),
        "{refused}"
    );
}

#[test]
fn prefer_goes_without_where_only_that_is_let_in() {
    let rules = ["hostnossl all all 127.0.0.1/32 scram-sha-256"];
    let postgres = Postgres::with(&Options::new().rules(&rules));
    let own = postgres.database();
    let seen = |mode| seen(&postgres, &with(&own, "127.0.0.1", mode, None));
    assert_eq!(seen(TlsMode::Prefer), "plain");
    assert!(seen(TlsMode::Require).starts_with("77"));
}

#[test]
fn a_certificate_is_checked_for_its_authority_and_its_name() {
    let postgres = Postgres::with(&Options::new().names(&["localhost"]));
    let own = postgres.database();
    let right = postgres.authority();
    let other = postgres.data().join("other.pem");
    std::fs::write(&other, Authority::new().pem()).unwrap();
    let pinned = postgres.data().join("server.crt");
    let unknown = "no authority that is trusted";
    let name = "for another name";
    for (host, mode, root, expected) in [
        ("localhost", TlsMode::VerifyFull, Some(&right), "tls"),
        ("127.0.0.1", TlsMode::VerifyFull, Some(&right), name),
        ("127.0.0.1", TlsMode::VerifyCa, Some(&right), "tls"),
        ("127.0.0.1", TlsMode::Require, Some(&right), "tls"),
        ("localhost", TlsMode::VerifyFull, Some(&other), unknown),
        ("localhost", TlsMode::VerifyCa, Some(&other), unknown),
        ("localhost", TlsMode::Require, Some(&other), unknown),
        ("localhost", TlsMode::Prefer, Some(&other), "tls"),
        // Without a file those compiled in count, and they do not know this authority.
        ("localhost", TlsMode::VerifyFull, None, unknown),
        ("localhost", TlsMode::VerifyCa, None, unknown),
        ("localhost", TlsMode::Require, None, "tls"),
        // The server's own certificate as its root.
        ("localhost", TlsMode::VerifyFull, Some(&pinned), "tls"),
        ("127.0.0.1", TlsMode::VerifyFull, Some(&pinned), name),
        ("127.0.0.1", TlsMode::VerifyCa, Some(&pinned), "tls"),
    ] {
        let root = root.map(AsRef::as_ref);
        let seen = seen(&postgres, &with(&own, host, mode, root));
        assert!(seen.contains(expected), "{host} {mode:?} {root:?}: {seen}");
        assert!(seen == "tls" || seen.starts_with("77"), "{seen}");
    }
}

#[test]
fn a_certificate_that_is_out_of_date_is_named() {
    let postgres = Postgres::with(&Options::new().expired());
    let own = postgres.database();
    let root = postgres.authority();
    let target = with(&own, "localhost", TlsMode::VerifyCa, Some(&root));
    let refused = seen(&postgres, &target);
    assert!(
        refused.starts_with("77") && refused.contains("out of date"),
        "{refused}"
    );
}

#[test]
fn a_file_of_roots_that_cannot_be_used_is_named() {
    let postgres = Postgres::shared();
    let own = postgres.database();
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for (root, why) in [
        (directory.path().join("none.pem"), "cannot be read"),
        (empty, "holds no certificate"),
    ] {
        let target = with(&own, "localhost", TlsMode::VerifyFull, Some(&root));
        let refused = seen(postgres, &target);
        assert!(
            refused.starts_with("65") && refused.contains(why),
            "{refused}"
        );
        assert!(refused.contains("ENTRYPOINT_DB_SSLROOTCERT"), "{refused}");
    }
}
