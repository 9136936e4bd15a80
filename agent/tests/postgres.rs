//! Sessions with a real PostgreSQL.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use agent::postgres::{RDS_ROOTS, Reason, Session, Target, TlsMode, connect};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use testkit::postgres::{Postgres, Shutdown};
use testkit::proxy::{Fault, Proxy};

const SOON: Duration = Duration::from_secs(30);

async fn session(target: &Target) -> Session {
    connect(target, SOON, "a name").await.unwrap()
}

async fn lost(session: &Session) -> String {
    tokio::time::timeout(SOON, session.closed()).await.unwrap()
}

#[tokio::test]
async fn a_session_has_its_name_and_ends_when_asked() {
    let postgres = Postgres::shared();
    let own = postgres.database();
    let target = Target::parse(&own.url()).unwrap();
    let session = session(&target).await;
    let count = || {
        let by_name = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'a name' AND datname = '{}'",
            own.name
        );
        postgres.rows("postgres", &by_name)[0][0].clone().unwrap()
    };
    assert_eq!(count(), "1");
    assert!(!session.is_closed());
    session.end().await;
    testkit::until(SOON, "the session to be gone", || count() == "0");
}

#[tokio::test]
async fn the_loss_of_a_session_is_noticed_with_its_reason() {
    let postgres = Postgres::start();
    let target = Target::parse(&postgres.database().url()).unwrap();
    let terminated = session(&target).await;
    let closed = terminated.closed();
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'a name'",
    );
    let why = tokio::time::timeout(SOON, closed).await.unwrap();
    assert!(why.contains("57P01") && terminated.is_closed(), "{why}");
    let stopped = session(&target).await;
    postgres.stop(Shutdown::Immediate);
    // An immediate shutdown is told by a notice alone.
    assert!(lost(&stopped).await.contains("ended early"), "{stopped:?}");
}

#[tokio::test]
async fn a_cut_connection_is_noticed_without_a_query() {
    let postgres = Postgres::shared();
    let proxy = Proxy::start(postgres.port());
    let own = postgres.database();
    let mut target = Target::parse(&own.url()).unwrap();
    target.hosts[0].port = proxy.port();
    for mode in [TlsMode::Disable, TlsMode::Require] {
        target.tls.mode = Some(mode);
        let session = session(&target).await;
        proxy.cut();
        let why = lost(&session).await;
        assert!(session.is_closed() && !why.is_empty());
        assert!(session.client.simple_query("SELECT 1").await.is_err());
    }
}

#[tokio::test]
async fn of_several_hosts_the_first_that_lets_in_is_taken() {
    let postgres = Postgres::shared();
    let own = postgres.database();
    let mut target = Target::parse(&own.url()).unwrap();
    let mut dead = target.hosts[0].clone();
    dead.port = 1;
    target.hosts.insert(0, dead.clone());
    session(&target).await.end().await;
    // A server's answer says more than a port that nobody listens on.
    target.name = "no-such".to_owned();
    target.hosts.push(dead);
    let error = connect(&target, SOON, "a name").await.unwrap_err();
    assert_eq!(error.state(), Some("3D000"));
}

#[tokio::test]
async fn a_try_ends_in_time_whatever_the_wire_does() {
    let postgres = Postgres::shared();
    let proxy = Proxy::start(postgres.port());
    let mut target = Target::parse(&postgres.database().url()).unwrap();
    target.hosts[0].port = proxy.port();
    let limit = Duration::from_millis(300);
    for fault in [
        Fault::SilentAfter(0),
        Fault::SilentAfter(1),
        Fault::SilentAfter(700),
        Fault::Slow(Duration::from_millis(50)),
    ] {
        proxy.fault(fault);
        let error = connect(&target, limit, "a name").await.unwrap_err();
        assert_eq!(error.reason, Reason::Timeout, "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn nothing_shown_holds_the_password() {
    let postgres = Postgres::shared();
    let own = postgres.database();
    let mut target = Target::parse(&own.url()).unwrap();
    target.tls.mode = Some(TlsMode::Prefer);
    let session = session(&target).await;
    for shown in [format!("{target:?} {target}"), format!("{session:?}")] {
        assert!(!shown.contains(&own.password), "{shown}");
    }
}

#[test]
fn every_root_of_rds_can_be_used() {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(RDS_ROOTS.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    // 29 regions, each with RSA 2048, RSA 4096 and ECC 384.
    assert_eq!(roots.len(), 87);
    assert_eq!(RDS_ROOTS.matches("\n# Amazon RDS ").count(), 87);
}
