//! The server itself: settings under which it loses messages.

/// What `INFO` says that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Keys that it threw away for want of memory, since it started.
    pub evicted: u64,
    /// `maxmemory_policy`
    pub policy: String,
    /// Bytes; 0 is no limit.
    pub max_memory: u64,
    /// Whether it is a replica, which answers late and takes no writes.
    pub replica: bool,
    /// Another one with each start: another process, or another server behind the same name.
    pub run_id: String,
}

impl Server {
    /// From the text of `INFO`.
    pub fn parse(info: &str) -> Self {
        let mut server = Self::default();
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "evicted_keys" => server.evicted = value.parse().unwrap_or(0),
                "maxmemory_policy" => value.clone_into(&mut server.policy),
                "maxmemory" => server.max_memory = value.parse().unwrap_or(0),
                "run_id" => value.clone_into(&mut server.run_id),
                "role" => server.replica = value == "slave",
                _ => {}
            }
        }
        server
    }

    /// One line for each thing by which messages are lost.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();

        // volatile-* takes only keys that expire, which kombu's lists don't.
        if self.policy.starts_with("allkeys") {
            warnings.push(format!(
                "maxmemory_policy {} throws messages away when memory is short: set noeviction",
                self.policy
            ));
        }
        if self.evicted > 0 {
            warnings.push(format!(
                "it has evicted {} keys since it started: messages may be lost",
                self.evicted
            ));
        }
        if self.replica {
            warnings
                .push("it is a replica (READONLY): connect to the primary's address".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_loses_messages_is_warned_of() {
        for (info, count) in [
            (
                "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n",
                0,
            ),
            ("maxmemory_policy:volatile-lru\r\nrole:master\r\n", 0),
            ("maxmemory_policy:allkeys-lru\r\nevicted_keys:3\r\n", 2),
            ("role:slave\r\n", 1),
            ("", 0),
        ] {
            let warnings = Server::parse(info).warnings();
            assert_eq!(warnings.len(), count, "{warnings:?}");
        }
    }
}
