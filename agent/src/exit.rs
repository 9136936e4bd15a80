//! The exit codes that all agents share.

/// How a program ends. The variants are in order of their codes: where several things went wrong the
/// highest wins, which is [`Ord::max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or stopped as asked.
    Done = 0,
    /// The question was answered no: differences found, held deletes left.
    No = 1,
    /// Usage or settings.
    Usage = 64,
    /// The source was refused: an incomplete or malformed listing, content that cannot be verified.
    Source = 65,
    /// A dependency did not become available before its deadline.
    Unavailable = 69,
    /// A bug.
    Internal = 70,
    /// A migration failed.
    Migration = 71,
    /// The destination cannot be written, or belongs to another source.
    Destination = 73,
    /// The database schema is ahead of this Airflow, or unknown to it.
    SchemaAhead = 76,
    /// Permission is denied, or there are no credentials.
    Permission = 77,
}

impl Exit {
    /// The code that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    const ALL: [Exit; 10] = [
        Exit::Done,
        Exit::No,
        Exit::Usage,
        Exit::Source,
        Exit::Unavailable,
        Exit::Internal,
        Exit::Migration,
        Exit::Destination,
        Exit::SchemaAhead,
        Exit::Permission,
    ];

    #[test]
    fn codes_are_the_published_ones() {
        assert_eq!(ALL.map(Exit::code), [0, 1, 64, 65, 69, 70, 71, 73, 76, 77]);
    }

    #[test]
    fn the_highest_code_wins() {
        for one in ALL {
            for other in ALL {
                assert_eq!(one.max(other).code(), one.code().max(other.code()));
            }
        }
    }
}
