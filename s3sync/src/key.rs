//! What a key becomes below DEST: a file, a directory, or nothing, and then why.
//!
//! A key is whatever an uploader sent: up to 1,024 bytes of UTF-8 with slashes, dots and control
//! characters at will. A path is a promise that it stays below DEST. Nothing else in the program
//! turns one into the other.

use std::fmt;

/// The longest name of one part of a path, in bytes: Linux's, and EFS's own limit.
pub const LONGEST_PART: usize = 255;

/// What a key names below DEST. The path is the key itself, without a directory's last slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A file at this path.
    File(&'a str),
    /// A directory at this path: the key ended in `/`.
    Directory(&'a str),
}

/// Why a key is not kept. The words go into reports as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A part is `.` or `..`, which would mean another place.
    DotPart,
    /// The key is empty, starts with `/`, or holds `//`: a path cannot tell it from another key.
    EmptyPart,
    /// A NUL byte cannot be in a path.
    Nul,
    /// A part is longer than [`LONGEST_PART`].
    LongPart,
    /// It lies where s3sync keeps its own state.
    Reserved,
    /// Other keys make it a directory, and a path is one or the other.
    AlsoDirectory,
    /// A file of the same listing lies where this directory would be.
    AlsoFile,
    /// The object is in an archive class and must be restored before it can be read.
    Archived,
}

impl Reason {
    /// One line for the report: why, and what to do.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::DotPart => "a part of the key is '.' or '..': rename the object",
            Reason::EmptyPart => {
                "the key has an empty part (leading '/', or '//'): rename the object"
            }
            Reason::Nul => "the key holds a NUL byte: rename the object",
            Reason::LongPart => "a part of the key is longer than 255 bytes: shorten it",
            Reason::Reserved => "the key lies in s3sync's state directory: rename the object",
            Reason::AlsoDirectory => {
                "other keys make this path a directory: delete the object or move the others"
            }
            Reason::AlsoFile => {
                "another key makes this path, or one above it, a file: delete one of them"
            }
            Reason::Archived => "the object is archived: restore it or copy it to another class",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What `key`, the part below the prefix, names below DEST.
///
/// | key | becomes |
/// |---|---|
/// | `a/b.py` | the file `a/b.py` |
/// | `a/` | the directory `a` |
/// | ``, `/a`, `a//b`, `//` | [`Reason::EmptyPart`] |
/// | `.`, `a/../b`, `a/.` | [`Reason::DotPart`] |
/// | a part over 255 bytes | [`Reason::LongPart`] |
/// | a NUL byte | [`Reason::Nul`] |
/// | the state directory or below, when that is inside DEST | [`Reason::Reserved`] |
pub fn name<'a>(key: &'a str, state: Option<&str>) -> Result<Name<'a>, Reason> {
    if key.as_bytes().contains(&0) {
        return Err(Reason::Nul);
    }
    let (path, directory) = match key.strip_suffix('/') {
        Some(path) => (path, true),
        None => (key, false),
    };
    for part in path.split('/') {
        match part {
            "" => return Err(Reason::EmptyPart),
            "." | ".." => return Err(Reason::DotPart),
            part if part.len() > LONGEST_PART => return Err(Reason::LongPart),
            _ => {}
        }
    }
    if state.is_some_and(|state| {
        is_at_or_below(path, state) || is_at_or_below(state, path) && !directory
    }) {
        return Err(Reason::Reserved);
    }
    Ok(if directory {
        Name::Directory(path)
    } else {
        Name::File(path)
    })
}

/// Whether `path` is `directory` or lies below it.
pub fn is_at_or_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The directories above `path`, the nearest first: `a/b/c` has `a/b` and `a`.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

/// The directory that holds `path`, or `None` at the top.
pub fn parent(path: &str) -> Option<&str> {
    path.rfind('/').map(|slash| &path[..slash])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn each_row_of_the_table() {
        let long = "x".repeat(256);
        let longest = "é".repeat(127) + "x";
        let rows: &[(&str, Result<Name<'_>, Reason>)] = &[
            ("a/b.py", Ok(Name::File("a/b.py"))),
            ("a", Ok(Name::File("a"))),
            ("a/", Ok(Name::Directory("a"))),
            ("a b/+%/ü\n.py", Ok(Name::File("a b/+%/ü\n.py"))),
            (".hidden/..x/...", Ok(Name::File(".hidden/..x/..."))),
            (&longest, Ok(Name::File(&longest))),
            ("", Err(Reason::EmptyPart)),
            ("/", Err(Reason::EmptyPart)),
            ("/etc/passwd", Err(Reason::EmptyPart)),
            ("a//b", Err(Reason::EmptyPart)),
            ("a//", Err(Reason::EmptyPart)),
            (".", Err(Reason::DotPart)),
            ("..", Err(Reason::DotPart)),
            ("../", Err(Reason::DotPart)),
            ("a/../../etc/cron.d/x", Err(Reason::DotPart)),
            ("a/./b", Err(Reason::DotPart)),
            ("a/..", Err(Reason::DotPart)),
            ("a\0b", Err(Reason::Nul)),
            (&long, Err(Reason::LongPart)),
            (".state/manifest.jsonl", Err(Reason::Reserved)),
            (".state", Err(Reason::Reserved)),
            (".state/", Err(Reason::Reserved)),
            (".state2/x", Ok(Name::File(".state2/x"))),
        ];
        for (key, expected) in rows {
            assert_eq!(name(key, Some(".state")), *expected, "key {key:?}");
        }
    }

    #[test]
    fn a_file_may_not_stand_where_the_state_directory_has_its_parents() {
        assert_eq!(name("var", Some("var/state")), Err(Reason::Reserved));
        assert_eq!(name("var/", Some("var/state")), Ok(Name::Directory("var")));
        assert_eq!(name("var/x", Some("var/state")), Ok(Name::File("var/x")));
    }

    #[test]
    fn ancestors_are_the_nearest_first() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(ancestors("a").count(), 0);
    }

    proptest! {
        #[test]
        fn no_key_leaves_dest(key in r"(\.|\.\.|/|//|a|b/|\x00|\n|é|e\u{301}|\PC){0,40}") {
            if let Ok(Name::File(path) | Name::Directory(path)) = name(&key, Some(".s3sync")) {
                let joined = Path::new("/dest").join(path);
                prop_assert!(joined.starts_with("/dest"));
                prop_assert!(Path::new(path).components().all(|part| matches!(part, Component::Normal(_))));
                // The text of a path comes back out of its parts: no two keys share a path.
                let again: Vec<_> = Path::new(path).iter().map(|part| part.to_str().unwrap()).collect();
                prop_assert_eq!(again.join("/"), path);
                prop_assert!(!path.contains('\0'));
            }
        }
    }
}
