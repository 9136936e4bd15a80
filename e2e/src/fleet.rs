//! A small ECS: starts and stops workers' tasks as the alarms' desired count says, never one that is
//! protected.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::scaling::Alarms;
use crate::stack::{Role, Stack};

/// The alarms' period.
const PERIOD: i64 = 10;

/// The workers' service, and the alarms that set its count.
#[derive(Debug)]
pub struct Fleet {
    alarms: Alarms,
    began: Instant,
    /// The end of the period that was looked at last, in seconds since 1970.
    looked: i64,
    tasks: BTreeMap<u32, Task>,
    last: u32,
    /// The tasks of a deployment's old revision: none is started in their place, all are to go.
    old: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Its worker waits for `protect` to be healthy, as `dependsOn` has it.
    Waiting,
    /// Its worker was started.
    Running,
    /// And takes tasks.
    Serving,
}

impl Fleet {
    /// A service with no task, whose alarms are all OK.
    pub fn new(stack: &Stack) -> Fleet {
        Fleet {
            alarms: Alarms::new(stack.settings.max_workers),
            began: Instant::now(),
            looked: OffsetDateTime::now_utc().unix_timestamp(),
            tasks: BTreeMap::new(),
            last: 0,
            old: Vec::new(),
        }
    }

    /// The desired count.
    pub fn desired(&self) -> u32 {
        self.alarms.desired()
    }

    /// The numbers of the tasks that are there.
    pub fn tasks(&self) -> Vec<u32> {
        self.tasks.keys().copied().collect()
    }

    /// A deployment begins: each task is to be replaced, and ECS refuses to protect the old ones anew.
    pub fn deploy(&mut self, stack: &Stack) {
        self.old = self.tasks();
        let refusal = testkit::ecs::Behaviour::Refuse("DEPLOYMENT_BLOCKED".to_owned());
        for number in &self.old {
            stack.agent(*number).behave(refusal.clone());
        }
        stack.timeline.event("fleet", "deployment");
    }

    /// Looks once: the alarms, then the tasks.
    pub fn tick(&mut self, stack: &mut Stack) {
        self.look(stack);
        self.launch(stack);
        self.take_back(stack);
        stack.timeline.value("workers", self.tasks.len() as f64);
        let status = stack.service("queue-metrics").status();
        let group = &status["detail"]["groups"]["worker"];
        for (series, name) in [
            ("WorkersTarget", "workers_target"),
            ("tasks waiting", "waiting"),
            ("tasks busy", "busy"),
        ] {
            if let Some(value) = group[name].as_f64() {
                stack.timeline.value(series, value);
            }
        }
    }

    fn look(&mut self, stack: &Stack) {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let closed = now - now % PERIOD;
        // A datapoint takes its time to be there.
        if closed <= self.looked || now < closed + 1 {
            return;
        }
        self.looked = closed;
        let before = self.alarms.desired();
        self.alarms.period(
            self.began.elapsed(),
            maximum(stack, closed - PERIOD, closed),
        );
        if self.alarms.desired() != before {
            stack
                .timeline
                .event("fleet", &format!("desired count {}", self.alarms.desired()));
        }
    }

    fn launch(&mut self, stack: &mut Stack) {
        let current = self
            .tasks
            .keys()
            .filter(|number| !self.old.contains(number))
            .count();
        for _ in current..self.alarms.desired() as usize {
            self.last += 1;
            stack.start(Role::Protect(self.last));
            self.tasks.insert(self.last, Task::Waiting);
        }
        for (number, task) in &mut self.tasks {
            let protect = Role::Protect(*number).name();
            if *task == Task::Waiting && stack.service(&protect).health().is_ok() {
                // Beside a worker it does all its work from then on.
                stack.timeline.event(&protect, "serves");
                stack.start(Role::Worker(*number));
                *task = Task::Running;
            }
            let worker = Role::Worker(*number).name();
            if *task == Task::Running && stack.service(&worker).serves() {
                stack.timeline.event(&worker, "serves");
                *task = Task::Serving;
            }
        }
    }

    /// Stops tasks that are too many, or of the old revision: those alone that are not protected.
    fn take_back(&mut self, stack: &mut Stack) {
        let mut surplus = self
            .tasks
            .len()
            .saturating_sub(self.alarms.desired() as usize + self.old.len());
        for number in self.tasks() {
            let old = self.old.contains(&number);
            if (!old && surplus == 0) || stack.agent(number).is_protected() {
                continue;
            }
            // Before its worker runs it may be protected any moment: `protect` asks first.
            if self.tasks[&number] == Task::Waiting
                && stack
                    .service(&Role::Protect(number).name())
                    .health()
                    .is_err()
            {
                continue;
            }
            stack
                .timeline
                .event("fleet", &format!("stops task {number}"));
            if self.tasks.remove(&number) != Some(Task::Waiting) {
                stack.stop(&Role::Worker(number).name());
            }
            stack.stop(&Role::Protect(number).name());
            self.old.retain(|known| *known != number);
            if !old {
                surplus -= 1;
            }
        }
    }
}

/// The largest `WorkersTarget` of a period, from CloudWatch.
fn maximum(stack: &Stack, from: i64, to: i64) -> Option<f64> {
    let stamp = |second: i64| {
        let time = OffsetDateTime::from_unix_timestamp(second).ok()?;
        Some(time.format(&Rfc3339).ok()?.replace(':', "%3A"))
    };
    let body = format!(
        "Action=GetMetricStatistics&Version=2010-08-01&Namespace=Trimtab&MetricName=WorkersTarget\
         &Dimensions.member.1.Name=Environment&Dimensions.member.1.Value=laptop\
         &Dimensions.member.2.Name=Service&Dimensions.member.2.Value=worker\
         &StartTime={}&EndTime={}&Period={PERIOD}&Statistics.member.1=Maximum",
        stamp(from)?,
        stamp(to)?
    );
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let endpoint = stack.servers.moto.endpoint();
    let answer = testkit::http::request("POST", &format!("{endpoint}/"), &headers, body.as_bytes());
    let text = match answer {
        Ok(answer) if answer.status == 200 => answer.text(),
        other => panic!("CloudWatch does not answer: {other:?}"),
    };
    let values = text.split("<Maximum>").skip(1);
    let values = values.filter_map(|rest| rest.split('<').next()?.parse().ok());
    values.reduce(f64::max)
}

/// Looks every half second until `done` holds.
///
/// # Panics
/// When it does not within the deadline.
pub fn until(
    fleet: &mut Fleet,
    stack: &mut Stack,
    deadline: Duration,
    what: &str,
    mut done: impl FnMut(&Fleet, &Stack) -> bool,
) {
    let began = Instant::now();
    loop {
        fleet.tick(stack);
        if done(fleet, stack) {
            return;
        }
        assert!(
            began.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}
