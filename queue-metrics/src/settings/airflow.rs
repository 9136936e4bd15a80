//! What Airflow's own variables say of Celery, so that nobody has to say it twice.

use agent::settings::Environment;

/// Airflow's settings that matter here, with Airflow's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Airflow {
    /// `AIRFLOW__CELERY__WORKER_CONCURRENCY`
    pub concurrency: u32,
    /// `AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER`
    pub prefetch: u32,
    /// `AIRFLOW__CELERY__TASK_ACKS_LATE`
    pub acks_late: bool,
    /// `AIRFLOW__CORE__PARALLELISM`
    pub parallelism: u32,
    /// Seconds, `AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT`
    pub queued_timeout: u32,
    /// Seconds, `AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME`
    pub token: u32,
    /// `AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__*`
    pub keys: Keys,
}

/// How kombu names a queue's lists: the prefix, the queue, and for every step but 0 the separator and
/// the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Steps of priority, 0 among them.
    pub steps: Vec<u8>,
    /// Between the queue and the step.
    pub separator: String,
    /// Before every key.
    pub prefix: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            steps: vec![0, 3, 6, 9],
            separator: "\u{6}\u{16}".to_owned(),
            prefix: String::new(),
        }
    }
}

impl Keys {
    /// The lists of a queue, the most urgent first: kombu's workers look at them in this order.
    pub fn lists(&self, queue: &str) -> impl Iterator<Item = String> {
        self.steps.iter().map(move |step| match step {
            0 => format!("{}{queue}", self.prefix),
            step => format!("{}{queue}{}{step}", self.prefix, self.separator),
        })
    }
}

impl Airflow {
    /// The prefetch by which heartbeats are read, see [`crate::demand::claimed`]. With early
    /// acknowledgement what a worker prefetched is in flight, and what it runs is not: it would count
    /// twice.
    pub fn claimed_prefetch(&self) -> u32 {
        if self.acks_late { self.prefetch } else { 1 }
    }

    /// # Errors
    /// Names the variable and what it takes.
    pub fn read(environment: &Environment) -> Result<Self, String> {
        let number = |name: &str, default: u32| match environment.value(name) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| format!("{name} '{text}' is no whole number")),
        };
        let transport = |name: &str| {
            environment.value(&format!("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__{name}"))
        };
        let known = Keys::default();
        let concurrency = number("AIRFLOW__CELERY__WORKER_CONCURRENCY", 16)?;
        Ok(Self {
            concurrency: match concurrency {
                0 => {
                    return Err(
                        "AIRFLOW__CELERY__WORKER_CONCURRENCY is 0: a worker runs at least one task"
                            .to_owned(),
                    );
                }
                concurrency => concurrency,
            },
            prefetch: number("AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER", 1)?,
            acks_late: match environment.value("AIRFLOW__CELERY__TASK_ACKS_LATE") {
                None => true,
                // Airflow's own words for yes.
                Some(text) => matches!(text.to_lowercase().as_str(), "t" | "true" | "1"),
            },
            parallelism: number("AIRFLOW__CORE__PARALLELISM", 32)?,
            queued_timeout: match environment.value("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT") {
                Some(text) => seconds("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", text)?,
                None => 600,
            },
            token: number("AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME", 600)?,
            keys: Keys {
                steps: match transport("PRIORITY_STEPS") {
                    Some(text) => steps(text)?,
                    None => known.steps,
                },
                separator: transport("SEP").map_or(known.separator, str::to_owned),
                prefix: transport("GLOBAL_KEYPREFIX").map_or(known.prefix, str::to_owned),
            },
        })
    }
}

/// Airflow reads this one as a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be within the range"
)]
fn seconds(name: &str, text: &str) -> Result<u32, String> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if (0.0..=4e9).contains(&seconds) => Ok(seconds.ceil() as u32),
        _ => Err(format!("{name} '{text}' is no number of seconds")),
    }
}

/// JSON, as Airflow takes it: `[0, 3, 6, 9]`.
fn steps(text: &str) -> Result<Vec<u8>, String> {
    let name = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PRIORITY_STEPS";
    let steps: Option<Vec<u8>> = serde_json::from_str(text).ok();
    match steps {
        Some(steps) if !steps.is_empty() => Ok(steps),
        _ => Err(format!(
            "{name} '{text}' is no list of steps, such as [0, 3, 6, 9]"
        )),
    }
}
