//! The checks, as they are written on the command line.

use crate::assertion::Spelling;
use crate::duration::{Nanoseconds, duration};
use crate::host::Host;
use crate::profile::{self, Environment};
use crate::text::{Line, has};
use crate::url;

/// What is asked. All kinds share one flat shape, which is moved about in half the code of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// Of what kind.
    pub kind: Kind,
    /// Whom to ask, and on which port (`Http` and `Tcp`).
    pub host: Host<'a>,
    /// On which port.
    pub port: u16,
    /// Both as written, for the Host header.
    pub authority: &'a [u8],
    /// What stands before the target: where Airflow is mounted.
    pub base: &'a [u8],
    /// Path and query (`Http`).
    pub target: &'a [u8],
    /// What the answer, or the status file, must say.
    pub assertions: Spelling<'a>,
    /// The file (`Status` and `File`).
    pub path: &'a [u8],
    /// How long ago the file was modified at most.
    pub max_age: Option<Nanoseconds>,
    /// Whether it is of `airflow:`; `path` is then `entrypoint`'s status file, of any kind.
    pub is_profile: bool,
}

/// What kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `http://HOST[:PORT]/PATH[#ASSERTIONS]`
    Http,
    /// `tcp://HOST:PORT`
    Tcp,
    /// `status:FILE[#ASSERTIONS]`
    Status,
    /// `file:PATH[?max-age=DURATION]`
    File,
}

const MAX_AGE: &[u8] = b"?max-age=";

/// Far beyond any that is configured; Linux takes four times as many.
const LONGEST_PATH: usize = 1_000;

impl<'a> Check<'a> {
    /// Nothing yet.
    pub const NONE: Check<'static> = Check {
        kind: Kind::File,
        host: Host::Localhost,
        port: 0,
        authority: b"localhost",
        base: b"",
        target: b"",
        assertions: Spelling::NONE,
        path: b"",
        max_age: None,
        is_profile: false,
    };

    /// Becomes that of an argument; before, it is [`Self::NONE`].
    ///
    /// # Errors
    /// What is wrong with the argument.
    pub fn parse(
        &mut self,
        text: &'a [u8],
        environment: impl Environment<'a>,
    ) -> Result<(), &'static str> {
        if let Some(rest) = text.strip_prefix(b"http://") {
            self.kind = Kind::Http;
            let rest = self.take_assertions(rest)?;
            url::parse(rest, self)
        } else if let Some(rest) = text.strip_prefix(b"tcp://") {
            self.kind = Kind::Tcp;
            url::parse_authority(rest, self)
        } else if let Some(rest) = text.strip_prefix(b"status:") {
            self.kind = Kind::Status;
            self.path = self.take_assertions(rest)?;
            self.path_is_good()
        } else if let Some(rest) = text.strip_prefix(b"file:") {
            self.kind = Kind::File;
            self.parse_file(rest)?;
            self.path_is_good()
        } else if let Some(rest) = text.strip_prefix(b"airflow:") {
            profile::parse(rest, environment, self)
        } else if text.starts_with(b"https://") {
            Err("TLS is not spoken: ask the agent that holds the connection, by status:FILE")
        } else {
            Err("a check is http://, tcp://, status:, file: or airflow:")
        }
    }

    /// Writes an argument as far as it may be shown: a query may hold a token.
    pub fn show<'l>(text: &[u8], line: &'l mut Line) -> &'l mut Line {
        let is_http = text.starts_with(b"http");
        let mut hidden = false;
        for &byte in text {
            match byte {
                // What is asserted comes after it.
                b'#' => hidden = false,
                b'?' if is_http && !hidden => {
                    line.say("?...");
                    hidden = true;
                }
                _ => {}
            }
            if !hidden {
                line.show(&[byte]);
            }
        }
        line
    }

    /// What stands before the `#`.
    fn take_assertions(&mut self, text: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let hash = text
            .iter()
            .position(|&byte| byte == b'#')
            .unwrap_or(text.len());
        let (before, fragment) = text.split_at_checked(hash).unwrap_or_default();
        if let Some((_, fragment)) = fragment.split_first() {
            self.assertions = Spelling::parse(fragment)?;
        }
        Ok(before)
    }

    /// The last `?max-age=` counts, so that a path may hold any character.
    fn parse_file(&mut self, text: &'a [u8]) -> Result<(), &'static str> {
        self.path = text;
        if let Some(place) = text
            .windows(MAX_AGE.len())
            .rposition(|part| part == MAX_AGE)
        {
            self.path = text.get(..place).unwrap_or_default();
            let max_age = text.get(place + MAX_AGE.len()..).unwrap_or_default();
            self.max_age = Some(duration(max_age).ok_or("max-age is a duration, as 60s")?);
        } else if has(text, b'?') {
            // A misspelled option must not become a part of the path, which would be missing for ever.
            return Err("after ? comes max-age=DURATION");
        }
        Ok(())
    }

    #[inline(never)]
    fn path_is_good(&self) -> Result<(), &'static str> {
        match self.path {
            [] => Err("the path is empty"),
            [b'/', b'/', ..] => Err("the path begins with one /, without a host"),
            path if path.len() > LONGEST_PATH => Err("the path is too long"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Check<'_>, &'static str> {
        let mut check = Check::NONE;
        check
            .parse(text.as_bytes(), |_: &[u8]| None)
            .map(|()| check)
    }

    #[test]
    fn each_kind_is_known_by_its_beginning() {
        for (text, kind) in [
            ("http://localhost/", Kind::Http),
            ("tcp://localhost:5432", Kind::Tcp),
            ("status:/run/a.json", Kind::Status),
            ("file:/a", Kind::File),
            ("airflow:triggerer", Kind::Status),
        ] {
            assert_eq!(parse(text).map(|check| check.kind), Ok(kind), "{text}");
        }
        let status = |path, assertions| Ok((path, assertions));
        let parsed = |text| parse(text).map(|check| (check.path, check.assertions));
        assert_eq!(
            parsed("status:/run/a.json"),
            status(b"/run/a.json".as_slice(), Spelling::NONE)
        );
        assert_eq!(
            parsed("status:a#b=c"),
            status(b"a", Spelling::parse(b"b=c").unwrap())
        );
        let parsed = |text| parse(text).map(|check| (check.path, check.max_age));
        let seconds = |number| Some(number * crate::duration::SECOND);
        assert_eq!(parsed("file:/a b#c"), Ok((b"/a b#c".as_slice(), None)));
        assert_eq!(
            parsed("file:relative?max-age=2m"),
            Ok((b"relative".as_slice(), seconds(120)))
        );
        assert_eq!(
            parsed("file:/a?max-age=1s?max-age=60s"),
            Ok((b"/a?max-age=1s".as_slice(), seconds(60)))
        );
    }

    #[test]
    fn what_is_misspelled_is_refused() {
        for text in [
            "",
            "localhost:8080",
            "https://localhost/",
            "HTTP://localhost/",
            "http:/localhost/",
            "tcp://localhost",
            "tcp://localhost:80/",
            "tcp://localhost:http",
            "status:",
            "status:/a#",
            "status:///run/a.json",
            "file:",
            "file://host/path",
            "file:/a?max-age=",
            "file:/a?max-age=60",
            "file:/a?maxage=60s",
            "file:/a?",
            "airflow:",
            "airflow:schedular",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("file:/{}", "a".repeat(1_000))).is_err());
    }

    #[test]
    fn a_query_is_not_shown() {
        for (text, shown) in [
            ("http://h/p?token=secret#a=b", "http://h/p?...#a=b"),
            ("http://h/p#a=b", "http://h/p#a=b"),
            ("file:/a?max-age=5s", "file:/a?max-age=5s"),
        ] {
            let mut line = Line::new();
            Check::show(text.as_bytes(), &mut line);
            assert_eq!(line.as_bytes(), shown.as_bytes());
        }
    }
}
