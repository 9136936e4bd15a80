//! Reads `airflow.cfg` as Python's `configparser` does with its defaults, and with names whose case
//! counts, as Airflow has it.
//!
//! What Python refuses (a line without `=` or `:`, an option that is there twice) Airflow refuses
//! with a message of its own; here such a line is passed over, or the last one counts.

use std::collections::BTreeMap;

/// Options of this section are those of every section.
const EVERY_SECTION: &str = "DEFAULT";
/// Python gives up on references nested deeper.
const DEPTH: usize = 10;

type Options = BTreeMap<String, String>;

/// The options of a file, by section.
#[derive(Clone, Default)]
pub(super) struct Ini {
    sections: BTreeMap<String, Options>,
    everywhere: Options,
}

impl Ini {
    pub(super) fn parse(text: &str) -> Self {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.read(line);
        }
        reader.ini
    }

    /// An option's value with its references filled in; none where it is not there.
    pub(super) fn value(&self, section: &str, name: &str) -> Option<String> {
        let raw = self.raw(section, name)?;
        // Where Python would raise an error, Airflow says so itself.
        Some(
            self.fill(section, raw, 0)
                .unwrap_or_else(|| raw.trim_end().to_owned()),
        )
    }

    fn raw(&self, section: &str, name: &str) -> Option<&str> {
        let options = self.sections.get(section)?;
        let value = options.get(name).or_else(|| self.everywhere.get(name))?;
        Some(value.trim_end())
    }

    /// `%%` is a percent sign, `%(name)s` another option of the section.
    fn fill(&self, section: &str, raw: &str, depth: usize) -> Option<String> {
        if depth > DEPTH {
            return None;
        }
        let (mut filled, mut rest) = (String::new(), raw);
        while let Some((before, after)) = rest.split_once('%') {
            filled.push_str(before);
            rest = if let Some(after) = after.strip_prefix('%') {
                filled.push('%');
                after
            } else {
                let (name, after) = after.strip_prefix('(')?.split_once(")s")?;
                let value = self.raw(section, name)?;
                filled.push_str(&self.fill(section, value, depth + 1)?);
                after
            };
        }
        filled.push_str(rest);
        Some(filled)
    }
}

/// Where the next line belongs.
#[derive(Default)]
struct Reader {
    ini: Ini,
    section: Option<String>,
    option: Option<String>,
    indent: usize,
}

impl Reader {
    fn read(&mut self, line: &str) {
        let text = line.trim();
        if text.starts_with(['#', ';']) {
            return;
        }
        if text.is_empty() {
            self.append("");
            return;
        }
        let indent = line.chars().take_while(|char| char.is_whitespace()).count();
        if self.option.is_some() && indent > self.indent {
            self.append(text);
            return;
        }
        self.indent = indent;
        if let Some(header) = header(text) {
            self.section = Some(header.to_owned());
            self.option = None;
            if header != EVERY_SECTION {
                self.ini.sections.entry(header.to_owned()).or_default();
            }
            return;
        }
        let Some(end) = text.find(['=', ':']) else {
            return;
        };
        let (name, value) = (text[..end].trim_end(), text[end + 1..].trim());
        let Some(options) = self.options() else {
            return;
        };
        options.insert(name.to_owned(), value.to_owned());
        self.option = Some(name.to_owned());
    }

    /// A line more of the option's value.
    fn append(&mut self, text: &str) {
        let Some(name) = self.option.clone() else {
            return;
        };
        if let Some(value) = self.options().and_then(|options| options.get_mut(&name)) {
            value.push('\n');
            value.push_str(text);
        }
    }

    fn options(&mut self) -> Option<&mut Options> {
        let section = self.section.as_deref()?;
        if section == EVERY_SECTION {
            return Some(&mut self.ini.everywhere);
        }
        self.ini.sections.get_mut(section)
    }
}

/// `[core]`; what follows the last bracket is nothing to Python.
fn header(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
; a comment
[core]
executor = CeleryExecutor
fernet_key=a=b:c
  # not a value
dags : /dags

list = one
    two

    three
next = %(dags)s/%%d
broken = 10%
[empty]
[DEFAULT]
shared = yes
";

    #[test]
    fn options_are_read_as_python_reads_them() {
        let ini = Ini::parse(TEXT);
        for (section, name, value) in [
            ("core", "executor", Some("CeleryExecutor")),
            ("core", "fernet_key", Some("a=b:c")),
            ("core", "dags", Some("/dags")),
            ("core", "list", Some("one\ntwo\n\nthree")),
            ("core", "next", Some("/dags/%d")),
            ("core", "broken", Some("10%")),
            ("core", "shared", Some("yes")),
            ("empty", "shared", Some("yes")),
            ("core", "Executor", None),
            ("none", "shared", None),
            ("empty", "executor", None),
        ] {
            assert_eq!(
                ini.value(section, name).as_deref(),
                value,
                "{section} {name}"
            );
        }
    }

    #[test]
    fn references_that_never_end_are_left_as_they_are() {
        let ini = Ini::parse("[a]\nx = %(y)s\ny = %(x)s\n");
        assert_eq!(ini.value("a", "x").as_deref(), Some("%(y)s"));
    }
}
