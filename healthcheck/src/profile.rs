//! Airflow's services by name: what each container can answer for itself.
//!
//! No profile asks for another's state: were a web server unhealthy because a scheduler or the database
//! is, ECS would end it, and then the next.
//!
//! | profile | asks |
//! |---|---|
//! | `api-server` | `/api/v2/version`, which needs no database |
//! | `webserver` (2.x) | that `/health` answers, whatever it says |
//! | `scheduler` | its own server's `/health` where that is on, else `entrypoint`'s status file |
//! | `dag-processor`, `triggerer`, `worker` | `entrypoint`'s status file: they have no port |
//!
//! Ports, hosts, sub-paths and TLS are read from the variables that Airflow itself reads. What speaks
//! TLS is left to the status file too.

use crate::check::{Check, Kind};
use crate::host::Host;
use crate::text::{Pieces, eq_ignore_case, pieces};
use crate::url;

/// Where `entrypoint` writes its status unless told otherwise.
const STATUS_FILE: &[u8] = b"/run/trimtab/entrypoint.json";

/// The variables of the process.
pub trait Environment<'a>: Fn(&[u8]) -> Option<&'a [u8]> {}
impl<'a, F: Fn(&[u8]) -> Option<&'a [u8]>> Environment<'a> for F {}

/// The services, and for those with a port: the variable that must be on, or `always`; the variables of
/// the certificate, the host and the port; its default; the variable of the base URL; the path. A `-` is
/// no variable. It is one text, as a table of texts is half as large again.
const SERVICES: &[u8] = b"\
api-server always AIRFLOW__API__SSL_CERT AIRFLOW__API__HOST AIRFLOW__API__PORT 8080 \
AIRFLOW__API__BASE_URL /api/v2/version
webserver always AIRFLOW__WEBSERVER__WEB_SERVER_SSL_CERT AIRFLOW__WEBSERVER__WEB_SERVER_HOST \
AIRFLOW__WEBSERVER__WEB_SERVER_PORT 8080 AIRFLOW__WEBSERVER__BASE_URL /health
scheduler AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK - \
AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST \
AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT 8974 - /health
dag-processor
triggerer
worker";

/// Makes a check that of a service.
///
/// # Errors
/// There is none of that name, or a variable has a port that is none.
#[inline(never)]
pub fn parse<'a>(
    name: &[u8],
    environment: impl Environment<'a>,
    check: &mut Check<'a>,
) -> Result<(), &'static str> {
    // Not set and empty are the same; no variable has an empty name.
    let variable = |name: &[u8]| environment(name).unwrap_or_default().trim_ascii();
    check.is_profile = true;
    check.kind = Kind::Status;
    check.path = variable(b"ENTRYPOINT_STATUS_FILE");
    if check.path.is_empty() {
        check.path = STATUS_FILE;
    }
    let mut fields = fields_of(name)
        .ok_or("SERVICE is api-server, webserver, scheduler, dag-processor, triggerer or worker")?;
    let mut field = || fields.next().unwrap_or_default();
    let enabled = field();
    let has_port = enabled == b"always" || is_on(variable(enabled));
    if !has_port || !variable(field()).is_empty() {
        return Ok(());
    }
    check.kind = Kind::Http;
    check.host = host(variable(field()));
    let (port, default) = (variable(field()), field());
    check.port = url::port(if port.is_empty() { default } else { port });
    if check.port == 0 {
        return Err("the port in Airflow's variable is no number from 1 to 65535");
    }
    check.base = base(variable(field()));
    check.target = field();
    Ok(())
}

/// What the table has behind a service's name.
fn fields_of(name: &[u8]) -> Option<Pieces<'static>> {
    pieces(SERVICES, b'\n').find_map(|line| {
        let mut fields = pieces(line, b' ');
        (fields.next() == Some(name)).then_some(fields)
    })
}

/// As Airflow's own `getboolean`.
fn is_on(value: &[u8]) -> bool {
    ["t", "true", "1"]
        .iter()
        .any(|on| eq_ignore_case(value, on.as_bytes()))
}

/// Localhost reaches all that is bound to every address.
fn host(bound: &[u8]) -> Host<'_> {
    match Host::parse(bound) {
        Some(Host::Address(address)) if !address.is_unspecified() => Host::Address(address),
        _ => Host::Localhost,
    }
}

/// The path of a URL; none where it is just the host, or would not do for a request.
fn base(url: &[u8]) -> &[u8] {
    let after_scheme = match url.windows(3).position(|part| part == b"://") {
        Some(place) => place + 3,
        None => 0,
    };
    let mut path = url.get(after_scheme..).unwrap_or_default();
    while path.first().is_some_and(|&byte| byte != b'/') {
        path = path.get(1..).unwrap_or_default();
    }
    while let Some(shorter) = path.strip_suffix(b"/") {
        path = shorter;
    }
    let fits = path.len() <= 256
        && path
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(byte));
    if fits { path } else { b"" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(service: &str, variables: &'static [(&str, &str)]) -> Option<String> {
        let environment = |name: &[u8]| {
            let found = variables.iter().find(|(key, _)| key.as_bytes() == name);
            found.map(|(_, value)| value.as_bytes())
        };
        let mut check = Check::NONE;
        parse(service.as_bytes(), environment, &mut check).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Some(match check.kind {
            Kind::Http => {
                let host = match check.host {
                    Host::Address(address) => address.to_string(),
                    _ => "localhost".to_owned(),
                };
                format!(
                    "{host}:{}{}{}",
                    check.port,
                    text(check.base),
                    text(check.target)
                )
            }
            _ => text(check.path),
        })
    }

    #[test]
    fn each_service_answers_for_itself() {
        const STATUS: &str = "/run/trimtab/entrypoint.json";
        for (service, variables, asked) in [
            ("api-server", &[] as &[_], "localhost:8080/api/v2/version"),
            (
                "api-server",
                &[("AIRFLOW__API__PORT", "9000")],
                "localhost:9000/api/v2/version",
            ),
            (
                "api-server",
                &[("AIRFLOW__API__HOST", "0.0.0.0")],
                "localhost:8080/api/v2/version",
            ),
            (
                "api-server",
                &[("AIRFLOW__API__HOST", "10.1.2.3")],
                "10.1.2.3:8080/api/v2/version",
            ),
            (
                "api-server",
                &[("AIRFLOW__API__HOST", "::")],
                "localhost:8080/api/v2/version",
            ),
            (
                "api-server",
                &[("AIRFLOW__API__SSL_CERT", "/tls/cert.pem")],
                STATUS,
            ),
            (
                "api-server",
                &[("AIRFLOW__API__BASE_URL", "https://example.com/airflow/")],
                "localhost:8080/airflow/api/v2/version",
            ),
            (
                "webserver",
                &[("AIRFLOW__WEBSERVER__BASE_URL", "http://a:8080")],
                "localhost:8080/health",
            ),
            (
                "webserver",
                &[("AIRFLOW__WEBSERVER__BASE_URL", "http://a/b/c")],
                "localhost:8080/b/c/health",
            ),
            (
                "webserver",
                &[("AIRFLOW__WEBSERVER__WEB_SERVER_PORT", "81")],
                "localhost:81/health",
            ),
            (
                "webserver",
                &[("AIRFLOW__WEBSERVER__WEB_SERVER_SSL_CERT", "x")],
                STATUS,
            ),
            ("scheduler", &[], STATUS),
            (
                "scheduler",
                &[("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "False")],
                STATUS,
            ),
            (
                "scheduler",
                &[("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "")],
                STATUS,
            ),
            (
                "scheduler",
                &[("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "True")],
                "localhost:8974/health",
            ),
            (
                "scheduler",
                &[
                    ("AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "1"),
                    (
                        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
                        "8000",
                    ),
                ],
                "localhost:8000/health",
            ),
            (
                "dag-processor",
                &[("ENTRYPOINT_STATUS_FILE", "/tmp/s.json")],
                "/tmp/s.json",
            ),
            ("triggerer", &[("ENTRYPOINT_STATUS_FILE", "")], STATUS),
            ("worker", &[], STATUS),
        ] {
            assert_eq!(
                question(service, variables).unwrap(),
                asked,
                "{service} {variables:?}"
            );
        }
    }

    #[test]
    fn a_port_that_is_none_is_told() {
        for port in ["http", "0", "65536", "-1"] {
            let environment =
                |name: &[u8]| (name == b"AIRFLOW__API__PORT").then_some(port.as_bytes());
            assert!(
                parse(b"api-server", environment, &mut Check::NONE.clone()).is_err(),
                "{port}"
            );
        }
    }
}
