//! Test-only: servers on free ports, processes, mounts, and faults on demand.
//!
//! | module | what it gives |
//! |---|---|
//! | [`s3`] | a fast S3 in memory with faults, [`s3::Server`]; as a program: `s3-server` |
//! | [`moto`] | moto from PyPI, somebody else's idea of AWS: [`moto::Moto`] |
//! | [`cloudwatch`] | [`cloudwatch::Shim`], through which the CloudWatch SDK's CBOR reaches moto |
//! | [`airflow`] | real Airflows from PyPI, and a stand-in: [`airflow::Airflow`], [`airflow::StandIn`] |
//! | [`ecs`] | the ECS agent of a task, for task protection: [`ecs::EcsAgent`] |
//! | [`ssm`] | parameters and secrets in moto, and a front that refuses, stalls and counts: [`ssm::Front`] |
//! | [`venv`] | Python environments with pinned packages, made once: moto, other people's S3 clients |
//! | [`postgres`] | a real PostgreSQL, with scram and TLS: [`postgres::Postgres`] |
//! | [`redis`] | a real Redis, with TLS and users: [`redis::Redis`] |
//! | [`server`] | the certificate authority of a test: [`server::Authority`] |
//! | [`proxy`] | TCP with faults, before any of them: [`proxy::Proxy`] |
//! | [`process`] | [`process::Process`]: a real program with a clean environment, its lines as they come |
//! | [`fs`] | small and read-only mounts, and pictures of a tree |
//! | [`fuse`] | a file system that stalls or refuses: [`fuse::Fuse`] |
//! | [`http`] | one blocking HTTP request, to look at a server without any client's opinion |
//!
//! Everything listens on 127.0.0.1, picks its own port, and ends when its value is dropped. What
//! cannot be started panics: a missing server is a failed test, never one that is left out.
//!
//! ```
//! use testkit::s3::{Fault, Operation, Rule, Server};
//!
//! let s3 = Server::start_blocking();
//! s3.put("bucket", "dags/a.py", "x = 1");
//! s3.faults().add(Rule::new(Fault::CutAfter(2)).on(Operation::Get).times(1));
//! let cut = testkit::http::get(&format!("{}/bucket/dags/a.py", s3.endpoint()));
//! assert_eq!(cut.unwrap_err().to_string(), "the body ended after 2 of 5 bytes");
//! let whole = testkit::http::get(&format!("{}/bucket/dags/a.py", s3.endpoint())).unwrap();
//! assert_eq!(whole.body, b"x = 1");
//! assert_eq!(s3.count(Operation::Get), 2);
//! ```

pub mod airflow;
pub mod cloudwatch;
pub mod ecs;
mod front;
pub mod fs;
pub mod fuse;
pub mod http;
pub mod moto;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod s3;
pub mod server;
pub mod ssm;
pub mod venv;
mod wait;

pub use wait::{until, until_some};
