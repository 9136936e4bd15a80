//! What tells that a service lives: pure, from the service, its arguments and Airflow's settings.

use std::ffi::OsString;
use std::time::Duration;

use super::row::Own;
use crate::airflow::config::Config;
use crate::airflow::version::Version;
use crate::command::Service;

/// What is looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// Its own port answers, whatever it answers but a server error.
    Http(Port),
    /// Its own port takes a connection: TLS, with a certificate that names another host.
    Tcp(String),
    /// Its own row in the `job` table; where it has a port too, an answer of 200 there is enough.
    Row(Own, Option<Port>),
    /// It answers on the broker.
    Worker(Node),
    /// That its main process lives, which is seen anyway; and why no more is known.
    Process(&'static str),
}

/// A Celery worker's name, `celery@HOST`, and what the broker's keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "said above")]
pub struct Node {
    pub name: String,
    pub key_prefix: String,
}

/// A path on a port of this container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Host and port.
    pub authority: String,
    /// The path.
    pub path: String,
}

/// Airflow's own default for scheduler and triggerer, and for the dag-processor from 3.3 on.
const THRESHOLD: f64 = 30.0;

/// As Airflow's own: a heartbeat is missed when it is 2.1 times as old as it should be.
const GRACE_MULTIPLIER: f64 = 2.1;

/// Ways to name a host that [`super::row::host_names`] covers.
const KNOWN_CALLABLES: [&str; 6] = [
    "airflow.utils.net.getfqdn",
    "airflow.utils.net.get_host_ip_address",
    "socket.getfqdn",
    "socket.gethostname",
    "socket:getfqdn",
    "socket:gethostname",
];

/// Decides.
///
/// | service | looked at |
/// |---|---|
/// | api-server, standalone of 3.x | `/api/v2/version` on its port |
/// | webserver, standalone of 2.x | `/health` on its port, below the path of `base_url` |
/// | scheduler with `enable_health_check` | `/health` on 8974; where that is not 200, its row |
/// | scheduler, dag-processor, triggerer | its row; its process alone where `hostname_callable` is unknown |
/// | celery worker | an answer on the broker; its process alone where that is not known to be Redis |
/// | celery flower | its port |
pub fn watched(
    service: Service,
    args: &[OsString],
    config: &Config,
    release: Option<Version>,
    host: &str,
) -> Watched {
    let major = release.map_or(3, |release| release.major);
    match service {
        Service::ApiServer => api_server(args, config),
        Service::Standalone if major >= 3 => api_server(&[], config),
        Service::Webserver => webserver(args, config),
        Service::Standalone => webserver(&[], config),
        Service::Scheduler => {
            let port =
                (config.is_on("scheduler", "enable_health_check") == Some(true)).then(|| Port {
                    authority: authority(
                        config.text("scheduler", "scheduler_health_check_server_host"),
                        number(config, "scheduler", "scheduler_health_check_server_port")
                            .unwrap_or(8974.0),
                    ),
                    path: "/health".to_owned(),
                });
            let threshold = number(config, "scheduler", "scheduler_health_check_threshold");
            row("SchedulerJob", threshold, config, port)
        }
        Service::Triggerer => {
            let threshold = number(config, "triggerer", "triggerer_health_check_threshold");
            row("TriggererJob", threshold, config, None)
        }
        Service::DagProcessor => {
            let own = number(config, "dag_processor", "health_check_threshold");
            let by_rate = || {
                let rate = number(config, "scheduler", "job_heartbeat_sec")?;
                // Its loop beats between files: at the default rate Airflow's own rule allows 10 s,
                // which is too little a reason to end a container.
                Some((rate * GRACE_MULTIPLIER).max(THRESHOLD))
            };
            row("DagProcessorJob", own.or_else(by_rate), config, None)
        }
        Service::CeleryWorker => worker(args, config, host),
        Service::CeleryFlower => {
            let prefix = option(args, &["-u", "--url-prefix"])
                .or_else(|| config.text("celery", "flower_url_prefix"))
                .unwrap_or_default();
            let port = option(args, &["-p", "--port"])
                .and_then(|port| port.parse().ok())
                .or_else(|| number(config, "celery", "flower_port"));
            let bound = option(args, &["-H", "--hostname"])
                .or_else(|| config.text("celery", "flower_host"));
            Watched::Http(Port {
                authority: authority(bound, port.unwrap_or(5555.0)),
                path: below(&prefix, "/healthcheck"),
            })
        }
    }
}

fn api_server(args: &[OsString], config: &Config) -> Watched {
    let port = option(args, &["-p", "--port"])
        .and_then(|port| port.parse().ok())
        .or_else(|| number(config, "api", "port"));
    let bound = option(args, &["-H", "--host"]).or_else(|| config.text("api", "host"));
    let authority = authority(bound, port.unwrap_or(8080.0));
    let certificate = option(args, &["--ssl-cert"]).or_else(|| config.text("api", "ssl_cert"));
    if certificate.is_some_and(|file| !file.is_empty()) {
        return Watched::Tcp(authority);
    }
    Watched::Http(Port {
        authority,
        // It answers below the path of base_url and without it.
        path: "/api/v2/version".to_owned(),
    })
}

fn webserver(args: &[OsString], config: &Config) -> Watched {
    let port = option(args, &["-p", "--port"])
        .and_then(|port| port.parse().ok())
        .or_else(|| number(config, "webserver", "web_server_port"));
    let bound =
        option(args, &["-H", "--hostname"]).or_else(|| config.text("webserver", "web_server_host"));
    let authority = authority(bound, port.unwrap_or(8080.0));
    let certificate =
        option(args, &["--ssl-cert"]).or_else(|| config.text("webserver", "web_server_ssl_cert"));
    if certificate.is_some_and(|file| !file.is_empty()) {
        return Watched::Tcp(authority);
    }
    let base = config.text("webserver", "base_url").unwrap_or_default();
    let prefix = base
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, path)| path);
    Watched::Http(Port {
        authority,
        path: below(prefix, "/health"),
    })
}

fn row(
    job_type: &'static str,
    threshold: Option<f64>,
    config: &Config,
    port: Option<Port>,
) -> Watched {
    let named = config.text("core", "hostname_callable");
    let known = named.is_none_or(|named| KNOWN_CALLABLES.contains(&named.as_str()));
    if !known {
        return match port {
            Some(port) => Watched::Http(port),
            None => Watched::Process("its host's name is given by core.hostname_callable"),
        };
    }
    let own = Own {
        job_type,
        threshold: Duration::from_secs_f64(threshold.unwrap_or(THRESHOLD)),
    };
    Watched::Row(own, port)
}

fn worker(args: &[OsString], config: &Config, host: &str) -> Watched {
    let broker = config.text("celery", "broker_url").unwrap_or_default();
    if !["redis://", "rediss://"]
        .iter()
        .any(|scheme| broker.starts_with(scheme))
    {
        return Watched::Process("its broker is not known to be Redis");
    }
    let name = option(args, &["-H", "--celery-hostname"]).unwrap_or_else(|| "%h".to_owned());
    let name = name.replace("%h", host);
    if name.contains('%') {
        return Watched::Process("the worker's name is made of more than its host's");
    }
    let key_prefix = config.text("celery_broker_transport_options", "global_keyprefix");
    Watched::Worker(Node {
        name: match name.contains('@') {
            true => name,
            false => format!("celery@{name}"),
        },
        key_prefix: key_prefix.unwrap_or_default(),
    })
}

/// The value of an option among a service's arguments: `-p 1`, `-p1` is not Airflow's style, `--port=1`.
fn option(args: &[OsString], names: &[&str]) -> Option<String> {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    words.iter().enumerate().find_map(|(place, word)| {
        if names.contains(word) {
            return words.get(place + 1).map(|value| (*value).to_owned());
        }
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then(|| value.to_owned())
    })
}

fn number(config: &Config, section: &str, key: &str) -> Option<f64> {
    let number: f64 = config.text(section, key)?.trim().parse().ok()?;
    (number.is_finite() && (0.0..1e9).contains(&number)).then_some(number)
}

/// A server that is bound to every address is asked on loopback.
fn authority(bound: Option<String>, port: f64) -> String {
    let bound = bound.unwrap_or_default();
    let host = match bound.trim() {
        "" | "0.0.0.0" | "*" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        other if other.contains(':') => format!("[{other}]"),
        other => other.to_owned(),
    };
    format!("{host}:{port:.0}")
}

fn below(prefix: &str, path: &str) -> String {
    match prefix.trim_matches('/') {
        "" => path.to_owned(),
        prefix => format!("/{prefix}{path}"),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
