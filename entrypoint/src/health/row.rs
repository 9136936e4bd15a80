//! The service's own row in Airflow's `job` table: services without a port write a heartbeat there.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::judge::Seen;

/// Which row is the service's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// `SchedulerJob`, `TriggererJob`, `DagProcessorJob`; the same in Airflow 2.8 to 3.3.
    pub job_type: &'static str,
    /// A heartbeat that is older means that it does not live.
    pub threshold: Duration,
}

/// What the row says. Its times are this container's, because the service writes them by the same
/// clock as ours: another clock of the database changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `running`, `success`, `restarting` or `failed`.
    pub state: Option<String>,
    /// Seconds since 1970.
    pub heartbeat: Option<f64>,
}

/// All names that Airflow may have given this host. Its `hostname_callable` is `getfqdn` (getaddrinfo's
/// canonical name, which for one's own address is the first of its line in /etc/hosts), `gethostname`,
/// or the address. The bound on the heartbeat, which never is before the start, is for the index: Airflow
/// 2 keeps a row for each task that ever ran.
pub const QUERY: &str = "SELECT state, extract(epoch FROM latest_heartbeat)::float8 FROM job \
    WHERE job_type = $1 AND latest_heartbeat >= to_timestamp($2) AND start_date >= to_timestamp($2) \
    AND (hostname = ANY($3) OR left(hostname, length($4)) = $4) \
    ORDER BY latest_heartbeat DESC, id DESC LIMIT 1";

/// A service writes its row after it was started; a clock that is set back by this much is forgiven.
const SLACK: Duration = Duration::from_secs(2);

/// Looks for the row of a service that was started at `started`.
///
/// # Errors
/// The database did not answer; or it did, with a mistake of ours.
pub async fn look(
    client: &Client,
    own: &Own,
    names: &[String],
    started: SystemTime,
) -> Result<Option<Row>, tokio_postgres::Error> {
    let started = epoch(started) - SLACK.as_secs_f64();
    let prefix = names
        .first()
        .map_or_else(String::new, |name| format!("{name}."));
    // With its types given, so that nothing is prepared: a pooler may hand each query to another server.
    let rows = client
        .query_typed(
            QUERY,
            &[
                (&own.job_type, Type::TEXT),
                (&started, Type::FLOAT8),
                (&names, Type::TEXT_ARRAY),
                (&prefix, Type::TEXT),
            ],
        )
        .await?;
    rows.first()
        .map(|row| {
            Ok(Row {
                state: row.try_get(0)?,
                heartbeat: row.try_get(1)?,
            })
        })
        .transpose()
}

/// What the row says of the service at `now`.
///
/// | row | state | heartbeat | seen |
/// |---|---|---|---|
/// | none | | | dead |
/// | found | `running` | within the threshold | alive |
/// | found | `running` | older | dead |
/// | found | any other: a scheduler that found it stale gave it up | | dead |
pub fn seen(own: &Own, row: Option<&Row>, now: SystemTime) -> Seen {
    let Some(row) = row else {
        return Seen::Dead(format!(
            "there is no {} of this host in Airflow's table job",
            own.job_type
        ));
    };
    let state = row.state.as_deref().unwrap_or("unset");
    if state != "running" {
        return Seen::Dead(format!(
            "its {} in Airflow's table job is {state}",
            own.job_type
        ));
    }
    let age = row.heartbeat.map(|heartbeat| epoch(now) - heartbeat);
    match age {
        Some(age) if age <= own.threshold.as_secs_f64() => Seen::Alive,
        Some(age) => Seen::Dead(format!(
            "its last heartbeat in Airflow's table job is {age:.0} s old, more than {:.0} s",
            own.threshold.as_secs_f64()
        )),
        None => Seen::Dead("it has no heartbeat in Airflow's table job".to_owned()),
    }
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// The names under which the service may have entered this host; the host's own name comes first.
pub fn host_names() -> Vec<String> {
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    names(own.trim(), own_address(), &hosts)
}

/// The address that traffic leaves from; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // An address for documentation, which any default route covers.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn names(own: &str, address: Option<IpAddr>, hosts: &str) -> Vec<String> {
    let mut names = vec![own.to_owned()];
    let mut add = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    if let Some(address) = address {
        add(&address.to_string());
    }
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        let aliases: Vec<&str> = words.collect();
        if Some(ip) == address || aliases.contains(&own) {
            aliases.into_iter().for_each(&mut add);
            if !ip.is_loopback() {
                add(&ip.to_string());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Own = Own {
        job_type: "TriggererJob",
        threshold: Duration::from_secs(30),
    };

    #[test]
    fn a_row_counts_while_it_runs_and_its_heartbeat_is_fresh() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let row = |state: &str, age: f64| Row {
            state: Some(state.to_owned()),
            heartbeat: Some(1_000_000.0 - age),
        };
        for (row, alive, why) in [
            (Some(row("running", 0.0)), true, ""),
            (Some(row("running", 30.0)), true, ""),
            // Another host's clock is not asked, but our own may be set back.
            (Some(row("running", -5.0)), true, ""),
            (Some(row("running", 30.1)), false, "30 s old"),
            (Some(row("failed", 0.0)), false, "is failed"),
            (Some(row("success", 0.0)), false, "is success"),
            (
                Some(Row {
                    state: None,
                    heartbeat: Some(1_000_000.0),
                }),
                false,
                "is unset",
            ),
            (
                Some(Row {
                    state: Some("running".to_owned()),
                    heartbeat: None,
                }),
                false,
                "no heartbeat",
            ),
            (None, false, "no TriggererJob of this host"),
        ] {
            match seen(&OWN, row.as_ref(), now) {
                Seen::Alive => assert!(alive, "{row:?}"),
                Seen::Dead(reason) => assert!(!alive && reason.contains(why), "{row:?}: {reason}"),
                Seen::Unknown(reason) => panic!("{row:?}: {reason}"),
            }
        }
    }

    #[test]
    fn a_host_goes_by_every_name_that_airflow_may_know() {
        let address = Some("10.0.1.5".parse().unwrap());
        for (own, hosts, expected) in [
            (
                "ip-10-0-1-5.ec2.internal",
                "127.0.0.1 localhost\n10.0.1.5 ip-10-0-1-5.ec2.internal\n",
                vec!["ip-10-0-1-5.ec2.internal", "10.0.1.5"],
            ),
            (
                "3f2a",
                "127.0.0.1\tlocalhost\n# 10.0.1.5 not.this\n10.0.1.5\tfull.name 3f2a # own\n::1 ip6-localhost",
                vec!["3f2a", "10.0.1.5", "full.name"],
            ),
            (
                "vm",
                "127.0.1.1 vm.example.org vm",
                vec!["vm", "10.0.1.5", "vm.example.org"],
            ),
            ("bare", "", vec!["bare", "10.0.1.5"]),
        ] {
            assert_eq!(names(own, address, hosts), expected, "{own}");
        }
    }
}
