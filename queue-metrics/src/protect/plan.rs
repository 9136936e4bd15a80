//! What `protect` needs to know, from its settings, Airflow's and ECS's.

use super::machine::Rules;
use super::remote::Remote;
use super::revision::Wanted;
use super::wire::Wire;
use crate::broker::Layout;
use crate::settings::{Airflow, Protect};
use agent::ecs::TaskProtection;
use agent::redis::Pidbox;
use agent::settings::Environment;

/// Everything that `protect` needs, checked before the first connection.
#[derive(Debug)]
pub struct Plan {
    /// None outside ECS.
    pub(super) inside: Option<Inside>,
}

/// What it needs within ECS.
#[derive(Debug)]
pub struct Inside {
    /// The agent of this task.
    pub protection: TaskProtection,
    /// How the worker is spoken to.
    pub remote: Remote,
    /// How the workers are heard, and the target read.
    pub wire: Wire,
    /// What is set, and the pace.
    pub rules: Rules,
    /// Which revision is wanted, where somebody says.
    pub wanted: Option<Wanted>,
}

impl Plan {
    /// What is needed within ECS; none outside.
    pub fn inside(self) -> Option<Inside> {
        self.inside
    }

    /// Outside ECS not even a broker is needed.
    ///
    /// # Errors
    /// One line that names the setting.
    pub fn new(settings: &Protect, environment: &Environment) -> Result<Self, String> {
        let Some(protection) = TaskProtection::of(environment)? else {
            return Ok(Self { inside: None });
        };
        let airflow = Airflow::read(environment)?;
        let target = settings.broker.target(environment)?;
        let keys = settings.broker.keys(&airflow);
        let service = &settings.metrics.service;
        let groups = settings.queues.groups(service)?;
        let own = groups.iter().find(|group| group.name == *service);
        let queues = match own {
            Some(group) => group.queues.clone(),
            None => {
                return Err(format!(
                    "no --group is named as --service '{service}': name the worker's queues by --queues"
                ));
            }
        };
        let declared = !settings.queues.queues.is_empty() || !settings.queues.group.is_empty();
        let worker = match &settings.worker {
            Some(worker) => worker.clone(),
            None => format!("celery@{}", host()?),
        };
        let pidbox = Pidbox {
            prefix: keys.prefix.clone(),
            database: target.database,
        };
        let layout = Layout::new(&keys, target.database, []);
        Ok(Self {
            inside: Some(Inside {
                protection,
                remote: Remote::new(target.clone(), pidbox, worker.clone(), queues, declared),
                wire: Wire::new(target, layout, &keys.prefix, service, worker),
                rules: Rules::new(settings.deny_limit),
                wanted: settings
                    .wanted_revision
                    .as_ref()
                    .map(|name| Wanted::new(name, environment)),
            }),
        })
    }
}

/// The name that Celery gives to a worker on this host.
fn host() -> Result<String, String> {
    let file = "/proc/sys/kernel/hostname";
    match std::fs::read_to_string(file) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) => Err("this host has no name: set --worker".to_owned()),
        Err(error) => Err(format!("{file} cannot be read: {error}; set --worker")),
    }
}
