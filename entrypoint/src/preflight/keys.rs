//! The keys that services share: which needs which, by version.
//!
//! From the sources of 2.8.4, 2.11.0, 3.0.0, 3.0.6, 3.1.8 and 3.3.2:
//!
//! | | reads | without it |
//! |---|---|---|
//! | `[core] fernet_key` | all; from 3.0 a Celery worker asks the API for what is decrypted, and needs none | 2.8 to 2.10 store passwords as they are; later ones write a key of this container's own into a new `airflow.cfg` |
//! | `[webserver] secret_key`, from 3.0.2 `[api] secret_key` | the web server for sessions; who serves logs, to know the web server | each process makes up its own |
//! | `[api_auth] jwt_secret`, 3.x | the scheduler signs a task's token, the API server checks it (the dag-processor and the triggerer ask themselves, unchecked) | as the Fernet key |

use super::finding::{Finding, Level};
use super::subject::Subject;
use crate::airflow::config::{Setting, variable};
use crate::command::Service;
use crate::preflight::fernet::Keys;

/// Every key that this service and others must have alike.
pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    [fernet(subject), secret(subject), jwt(subject)]
        .into_iter()
        .flatten()
        .collect()
}

/// The settings of the secrets that must be the same in all services, by section and key.
pub(super) fn shared(subject: &Subject<'_>) -> Vec<(&'static str, &'static str)> {
    let mut shared = vec![secret_setting(subject)];
    if !subject.before(3, 0, 0) {
        shared.push(("api_auth", "jwt_secret"));
    }
    shared
}

/// Whether this service encrypts or decrypts by itself.
pub(super) fn needs_fernet(subject: &Subject<'_>) -> bool {
    match subject.service {
        Service::CeleryFlower => false,
        Service::CeleryWorker => !subject.at_least(3, 0, 0),
        _ => true,
    }
}

/// Where the key of sessions and of served logs stands.
fn secret_setting(subject: &Subject<'_>) -> (&'static str, &'static str) {
    if subject.before(3, 0, 2) {
        ("webserver", "secret_key")
    } else {
        ("api", "secret_key")
    }
}

fn fernet(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = ("core", "fernet_key");
    let finding = |level, why: &str| Some(subject.finding(level, section, key, why));
    match subject.config.setting(section, key) {
        Setting::Elsewhere => None,
        Setting::Value(value) => {
            let why = Keys::parse(&value).err()?;
            let why = format!(
                "is no Fernet key, {why}: give 32 bytes in url-safe base64, or several keys with commas between them"
            );
            finding(Level::Error, &why)
        }
        Setting::Unset if !needs_fernet(subject) => None,
        Setting::Unset => {
            let made_up = subject.at_least(2, 11, 0)
                && !subject.config.is_blank(section, key)
                && subject.config.path().is_none();
            if made_up {
                finding(
                    Level::Error,
                    "is not set: Airflow would make up a key for this container alone, which can't read what others encrypted, so give every service the same key",
                )
            } else {
                finding(
                    Level::Warning,
                    "is not set: passwords of connections are stored unencrypted, so give every service the same key",
                )
            }
        }
    }
}

fn secret(subject: &Subject<'_>) -> Option<Finding> {
    let (section, key) = secret_setting(subject);
    if !subject.config.setting(section, key).is_unset() {
        return None;
    }
    let (level, why) = match subject.service {
        Service::ApiServer | Service::Webserver => (
            Level::Error,
            "is not set: each process makes up its own, logins break between them and logs can't be fetched, so give every service the same random text",
        ),
        Service::CeleryWorker | Service::Triggerer => (Level::Warning, NO_LOGS),
        // It serves the logs of tasks that it runs itself.
        Service::Scheduler if !subject.uses_celery() => (Level::Warning, NO_LOGS),
        _ => return None,
    };
    Some(subject.finding(level, section, key, why))
}

const NO_LOGS: &str = "is not set: the web server can't fetch this container's logs while tasks run (403), so give every service the same random text";

fn jwt(subject: &Subject<'_>) -> Option<Finding> {
    let needs = matches!(subject.service, Service::Scheduler | Service::ApiServer);
    let (section, key) = ("api_auth", "jwt_secret");
    let set = |key| !subject.config.setting(section, key).is_unset();
    if !subject.at_least(3, 0, 0) || !needs || set(key) || set("jwt_private_key_path") {
        return None;
    }
    let why = format!(
        "is not set: tasks would fail with \"Signature verification failed\", so give the scheduler and every api-server the same random text of 64 characters (or {})",
        variable(section, "jwt_private_key_path")
    );
    Some(subject.finding(Level::Error, section, key, &why))
}
