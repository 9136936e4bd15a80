//! The checks, as they are written on the command line.

use crate::assertion::Asked;
use crate::duration::{Nanoseconds, duration};
use crate::host::Host;
use crate::profile::{self, Environment};
use crate::text::{Line, after, split_once};
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
    /// The file (`Status` and `File`).
    pub path: &'a [u8],
    /// How long ago the file was modified at most.
    pub max_age: Option<Nanoseconds>,
    /// Whether it is of `airflow:`; `path` is then `entrypoint`'s status file, whatever its name.
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
        path: b"",
        max_age: None,
        is_profile: false,
    };

    /// Becomes that of an argument; before, it is [`Self::NONE`]. What the answer, or the status file, must
    /// say is `asked`.
    ///
    /// # Errors
    /// What is wrong with the argument.
    pub fn parse(
        &mut self,
        text: &'a [u8],
        environment: impl Environment<'a>,
        asked: &mut Asked<'a>,
    ) -> Result<(), &'static str> {
        if let Some(rest) = after(text, b"http://") {
            self.kind = Kind::Http;
            let rest = take_assertions(rest, asked)?;
            url::parse(rest, self)
        } else if let Some(rest) = after(text, b"tcp://") {
            self.kind = Kind::Tcp;
            url::parse_authority(rest, self)
        } else if let Some(rest) = after(text, b"status:") {
            self.kind = Kind::Status;
            self.path = take_assertions(rest, asked)?;
            self.path_is_good()
        } else if let Some(rest) = after(text, b"file:") {
            self.kind = Kind::File;
            self.parse_file(rest)?;
            self.path_is_good()
        } else if let Some(rest) = after(text, b"airflow:") {
            profile::parse(rest, environment, self)
        } else if after(text, b"https://").is_some() {
            Err("TLS is not spoken: ask the agent that holds the connection, by status:FILE")
        } else {
            Err("a check is http://, tcp://, status:, file: or airflow:")
        }
    }

    /// Writes an argument as far as it may be shown: a query may hold a token.
    pub fn show<'l>(text: &[u8], line: &'l mut Line) -> &'l mut Line {
        let is_http = after(text, b"http").is_some();
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

    /// The last `?` counts, so that a path may hold any character. Another option must not become a part of
    /// the path, which would be missing for ever.
    fn parse_file(&mut self, text: &'a [u8]) -> Result<(), &'static str> {
        let place = text.iter().rposition(|&byte| byte == b'?');
        let (path, option) = text
            .split_at_checked(place.unwrap_or(text.len()))
            .unwrap_or_default();
        self.path = path;
        if !option.is_empty() {
            let max_age = after(option, b"?max-age=").ok_or("after ? comes max-age=DURATION")?;
            self.max_age = Some(duration(max_age).ok_or("max-age is a duration, as 60s")?);
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

/// What stands before the `#`.
fn take_assertions<'a>(text: &'a [u8], asked: &mut Asked<'a>) -> Result<&'a [u8], &'static str> {
    match split_once(text, b'#') {
        Some((before, assertions)) => asked.parse(assertions).map(|()| before),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Check<'_>, &'static str> {
        parse_with(text, &mut Asked::NONE.clone())
    }

    fn parse_with<'a>(text: &'a str, asked: &mut Asked<'a>) -> Result<Check<'a>, &'static str> {
        let mut check = Check::NONE;
        check
            .parse(text.as_bytes(), |_: &[u8]| None, asked)
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
        for (text, path, asserted) in [
            ("status:/run/a.json", "/run/a.json", None),
            ("status:a#b=c", "a", Some("b=c")),
            ("status:a#b=c#d", "a", Some("b=c#d")),
        ] {
            let (mut found, mut expected) = (Asked::NONE, Asked::NONE);
            let check = parse_with(text, &mut found).unwrap();
            assert_eq!(check.path, path.as_bytes(), "{text}");
            if let Some(asserted) = asserted {
                expected.parse(asserted.as_bytes()).unwrap();
            }
            assert_eq!(found, expected, "{text}");
        }
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
