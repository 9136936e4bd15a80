//! What a process uses, from /proc.

use std::time::Duration;

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, bytes.
    pub resident: u64,
    /// The most resident memory ever, bytes.
    pub peak: u64,
    /// User and system time.
    pub cpu: Duration,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

/// What the process of that id uses now; `None` when there is none.
pub fn usage(id: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before the last bracket may hold anything; user time is the 14th field of all.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    let cpu = Duration::from_secs(1) * u32::try_from(ticks).ok()?;
    Some(Usage {
        resident: field("VmRSS:")? << 10,
        peak: field("VmHWM:")? << 10,
        cpu: cpu / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?,
        descriptors: std::fs::read_dir(format!("/proc/{id}/fd")).ok()?.count(),
        threads: usize::try_from(field("Threads:")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_that_of_the_process() {
        let usage = usage(std::process::id()).unwrap();
        assert!(
            usage.resident > 1 << 20 && usage.peak >= usage.resident,
            "{usage:?}"
        );
        assert!(usage.threads >= 2 && usage.descriptors >= 3, "{usage:?}");
    }
}
