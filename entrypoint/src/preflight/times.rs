//! Times that end before a worker can have started from zero.

use super::finding::{Finding, Level};
use super::subject::Subject;
use crate::airflow::config::Setting;
use crate::command::Service;

/// Airflow's default for both: seconds. An image of a few GB, a start and a queue take longer at times.
const TOO_SHORT: f64 = 600.0;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.service != Service::Scheduler || !subject.uses_celery() {
        return Vec::new();
    }
    let token = subject.at_least(3, 0, 0).then_some((
        "execution_api",
        "jwt_expiration_time",
        "a queued task's token expires, and it fails with \"Signature has expired\"",
    ));
    let queued = Some(("scheduler", "task_queued_timeout", "a queued task fails"));
    let checked = [token, queued].into_iter().flatten();
    checked
        .filter_map(|(section, key, what)| {
            let (seconds, how) = match subject.config.setting(section, key) {
                Setting::Value(value) => (value.trim().parse().ok()?, ""),
                Setting::Unset => (TOO_SHORT, ", its default"),
                Setting::Elsewhere => return None,
            };
            let why = format!(
                "is {seconds:.0} s{how}: {what} before a worker that starts from zero can take it, so set 3600 where workers scale to zero"
            );
            (seconds <= TOO_SHORT).then(|| subject.finding(Level::Warning, section, key, &why))
        })
        .collect()
}
