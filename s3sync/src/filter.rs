//! Which paths are synced at all: gitignore patterns on the path below the prefix.
//!
//! The matching is git's own, from gix-glob; the order of decisions is this module's:
//!
//! | an include pattern is given | one matches the path or a directory above it | an exclude pattern matches either | synced |
//! |---|---|---|---|
//! | no | | no | yes |
//! | no | | yes | no |
//! | yes | no | | no |
//! | yes | yes | no | yes |
//! | yes | yes | yes | no: exclude wins |
//!
//! Within one list the last pattern that matches decides, `!pattern` takes back, and nothing below
//! an excluded directory comes back, as in git.

use crate::key;
use gix_glob::pattern::Case;
use gix_glob::{Pattern, wildmatch};
use std::fmt;

/// What is never synced whatever the options say: bytecode, git's own files, and the names that NFS
/// gives to files deleted while open.
pub const DEFAULT_EXCLUDES: [&str; 4] = ["__pycache__/", "*.pyc", ".git/", ".nfs*"];

/// The include and exclude patterns of one run.
#[derive(Clone, Default)]
pub struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Filter {
    /// Patterns as given, the defaults added to `exclude`. Errors name the pattern that says nothing.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let defaults = DEFAULT_EXCLUDES.iter().map(ToString::to_string);
        let exclude: Vec<String> = defaults.chain(exclude.iter().cloned()).collect();
        Ok(Filter {
            include: patterns(include)?,
            exclude: patterns(&exclude)?,
        })
    }

    /// A matcher for many paths; it remembers the directory it saw last, so sorted paths are cheap.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher {
            filter: self,
            directory: String::new(),
            above: Verdict::default(),
        }
    }

    /// Whether one path is synced.
    pub fn admits(&self, path: &str, directory: bool) -> bool {
        self.matcher().admits(path, directory)
    }

    /// Whether an exclude pattern matches the path or a directory above it.
    pub fn excludes(&self, path: &str, directory: bool) -> bool {
        let mut matcher = self.matcher();
        matcher.admits(path, directory);
        self.verdict(path, directory, matcher.above).excluded
    }

    fn verdict(&self, path: &str, directory: bool, above: Verdict) -> Verdict {
        Verdict {
            included: above.included || last_match(&self.include, path, directory) == Some(true),
            excluded: above.excluded || last_match(&self.exclude, path, directory) == Some(true),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect();
        let (include, exclude): (Vec<String>, Vec<String>) =
            (texts(&self.include), texts(&self.exclude));
        formatter
            .debug_struct("Filter")
            .field("include", &include)
            .field("exclude", &exclude)
            .finish()
    }
}

/// See [`Filter::matcher`].
#[derive(Debug)]
pub struct Matcher<'a> {
    filter: &'a Filter,
    directory: String,
    above: Verdict,
}

impl Matcher<'_> {
    /// Whether `path` is synced. `directory` says what it is: `x/` matches directories only.
    pub fn admits(&mut self, path: &str, directory: bool) -> bool {
        let parent = key::parent(path).unwrap_or("");
        if parent != self.directory {
            self.above = self.above(parent);
            self.directory.clear();
            self.directory.push_str(parent);
        }
        let verdict = self.filter.verdict(path, directory, self.above);
        (verdict.included || self.filter.include.is_empty()) && !verdict.excluded
    }

    fn above(&self, directory: &str) -> Verdict {
        let ends = directory.match_indices('/').map(|(slash, _)| slash);
        let mut verdict = Verdict::default();
        for end in ends.chain((!directory.is_empty()).then_some(directory.len())) {
            verdict = self.filter.verdict(&directory[..end], true, verdict);
        }
        verdict
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    included: bool,
    excluded: bool,
}

/// What the last pattern that matches says: `Some(true)` it matches, `Some(false)` a `!` takes it back.
fn last_match(patterns: &[Pattern], path: &str, directory: bool) -> Option<bool> {
    let basename = path.rfind('/').map(|slash| slash + 1);
    let matching = patterns.iter().rev().find(|pattern| {
        pattern.matches_repo_relative_path(
            path.into(),
            basename,
            Some(directory),
            Case::Sensitive,
            wildmatch::Mode::NO_MATCH_SLASH_LITERAL,
        )
    });
    matching.map(|pattern| !pattern.is_negative())
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, String> {
    texts
        .iter()
        .map(|text| {
            Pattern::from_bytes(text.as_bytes()).ok_or_else(|| {
                format!("{text:?} is no pattern: give one as in .gitignore, like *.md or docs/")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        Filter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn each_row_of_the_table() {
        for (include, exclude, path, admitted) in [
            (&[][..], &[][..], "a/b.py", true),
            (&[], &[], "a/__pycache__/b.cpython-312.pyc", false),
            (&[], &[], "a/__pycache__/notes.txt", false),
            (&[], &[], "b.pyc", false),
            (&[], &[], ".git/config", false),
            (&[], &[], "a/.nfs0001", false),
            (&[], &["tests/"], "tests/a.py", false),
            (&[], &["tests/"], "x/tests/a.py", false),
            (&[], &["/tests/"], "x/tests/a.py", true),
            (&[], &["tests/"], "tests", true),
            (&[], &["*.md", "!README.md"], "docs/README.md", true),
            (&[], &["*.md", "!README.md"], "docs/other.md", false),
            (&[], &["docs/", "!docs/a.md"], "docs/a.md", false),
            (&[], &["a/**/z.py"], "a/b/c/z.py", false),
            (&["*.py"], &[], "a/b.py", true),
            (&["*.py"], &[], "a/b.sql", false),
            (&["team-a/"], &[], "team-a/x/b.sql", true),
            (&["team-a/"], &["*.sql"], "team-a/x/b.sql", false),
            (&["*.py"], &["*.py"], "a.py", false),
            (&["*.pyc"], &[], "a.pyc", false),
        ] {
            assert_eq!(
                filter(include, exclude).admits(path, false),
                admitted,
                "{path} under include {include:?} exclude {exclude:?}"
            );
        }
    }

    #[test]
    fn a_remembered_directory_changes_nothing() {
        let filter = filter(&[], &["skip/", "*.tmp"]);
        let mut matcher = filter.matcher();
        for path in [
            "a.py",
            "a/b.py",
            "a/skip/c.py",
            "a/skip/d.py",
            "a/t.tmp",
            "skip/x",
            "z",
        ] {
            assert_eq!(
                matcher.admits(path, false),
                filter.admits(path, false),
                "{path}"
            );
        }
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        assert!(Filter::new(&[], &["  ".to_string()]).is_err());
    }
}
