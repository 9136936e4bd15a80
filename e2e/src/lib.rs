//! The four binaries beside a real Airflow, on one machine and without Docker.
//!
//! | module | what it gives |
//! |---|---|
//! | [`stack`] | Postgres, Redis, S3, SSM and CloudWatch, and Airflow's services, each through `entrypoint` |
//! | [`airflow`] | Airflow's REST API, and what its tables say |
//! | [`bucket`] | uploads as a person makes them |
//! | [`fleet`] | a small ECS for the workers |
//! | [`scaling`] | alarms and step policies, by the rules of docs/autoscaling.md |
//! | [`timeline`] | what happened when, as JSON; [`plot`] draws it |
//!
//! Like `testkit`, it panics where something of the surroundings cannot be had: a missing server is a
//! failed test. Everything listens on 127.0.0.1 and ends with the value, or with the process, that
//! started it.

pub mod airflow;
pub mod bucket;
pub mod fleet;
pub mod plot;
pub mod scaling;
pub mod stack;
pub mod timeline;
