//! The manifest on disk: a head, then one JSON line a change, appended.
//!
//! Appending keeps an edit among 20,000 files at some hundred bytes, where a rewrite would send
//! megabytes to EFS. What a burst is about to publish is written before it as intents, and counts
//! once its commit follows: after a `kill -9` in between, the reader learns which files may be old
//! or new. A last line without its newline was never finished and is ignored.

use super::line::Line;
use super::{Change, Entry, Manifest};
use crate::state::StateDir;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};

/// The journal's name in the state directory.
pub const NAME: &str = "manifest.jsonl";
/// The format that this version writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// What a journal held.
#[derive(Debug)]
pub struct Loaded {
    /// The source it belongs to, canonical.
    pub source: String,
    /// Everything that was committed.
    pub manifest: Manifest,
    /// What was intended, by a writer that ended before it could commit.
    pub pending: Vec<Change>,
    /// Lines, the head included: how long the journal is.
    pub lines: usize,
    /// Whether it can be appended to: no half line, nothing pending, nothing unreadable.
    pub clean: bool,
    /// Lines that said nothing this version understands.
    pub unreadable: usize,
}

/// Reads the journal; `None` when there is none.
pub fn load(state: &StateDir) -> io::Result<Option<Loaded>> {
    match state.open(NAME) {
        Ok(file) => read(BufReader::with_capacity(64 << 10, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(mut reader: impl BufRead) -> io::Result<Option<Loaded>> {
    let mut buffer = Vec::new();
    reader.read_until(b'\n', &mut buffer)?;
    let head: Line<'_> = match serde_json::from_slice(&buffer) {
        Ok(head) if buffer.ends_with(b"\n") => head,
        // A journal is renamed into place whole, so a broken head is somebody else's file.
        _ => return Err(invalid("its first line is no head of a manifest")),
    };
    let (Some(format), Some(source)) = (head.s3sync, head.source) else {
        return Err(invalid("its first line is no head of a manifest"));
    };
    if format != FORMAT {
        return Err(invalid(&format!(
            "it has format {format}, and this s3sync knows {FORMAT} only: run the newer version"
        )));
    }
    let mut loaded = Loaded {
        source: source.into_owned(),
        manifest: Manifest::default(),
        pending: Vec::new(),
        lines: 1,
        clean: true,
        unreadable: 0,
    };
    let mut intents: Vec<(u64, Change)> = Vec::new();
    loop {
        buffer.clear();
        if reader.read_until(b'\n', &mut buffer)? == 0 {
            break;
        }
        if !buffer.ends_with(b"\n") {
            loaded.clean = false;
            break;
        }
        loaded.lines += 1;
        loaded.take(&buffer, &mut intents);
    }
    loaded.clean &= intents.is_empty() && loaded.unreadable == 0;
    loaded.pending = intents.into_iter().map(|(_, change)| change).collect();
    Ok(Some(loaded))
}

impl Loaded {
    fn take(&mut self, text: &[u8], intents: &mut Vec<(u64, Change)>) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(text) else {
            self.unreadable += 1;
            return;
        };
        if let Some(number) = line.commit {
            let (done, open) = std::mem::take(intents)
                .into_iter()
                .partition(|(intent, _)| *intent == number);
            *intents = open;
            let done: Vec<(u64, Change)> = done;
            done.into_iter()
                .for_each(|(_, change)| self.manifest.apply(change));
            return;
        }
        let intent = line.intent;
        match (line.change(), intent) {
            (Some(change), Some(number)) => intents.push((number, change)),
            (Some(change), None) => self.manifest.apply(change),
            (None, _) => self.unreadable += 1,
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{NAME} cannot be used: {why}"),
    )
}

/// The journal of the one writer, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    lines: usize,
    bursts: u64,
}

impl Journal {
    /// Opens an existing, clean journal of `lines` lines.
    pub fn append_to(state: &StateDir, lines: usize) -> io::Result<Self> {
        Ok(Journal {
            file: state.open_append(NAME)?,
            lines,
            bursts: 0,
        })
    }

    /// Writes a new journal that holds `manifest` alone, and puts it in place of any other. A writer
    /// that was frozen and wakes now appends to a file without a name: its lines reach nobody.
    pub fn rewrite(state: &StateDir, source: &str, manifest: &Manifest) -> io::Result<Self> {
        const FRESH: &str = "manifest.jsonl.new";
        let mut writer = BufWriter::with_capacity(256 << 10, state.create(FRESH)?);
        let mut lines = 1;
        write_line(&mut writer, &Line::head(source))?;
        for change in manifest.changes() {
            write_line(&mut writer, &Line::of(&change, None))?;
            lines += 1;
        }
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        state.rename(FRESH, NAME)?;
        Ok(Journal {
            file: state.open_append(NAME)?,
            lines,
            bursts: 0,
        })
    }

    /// Writes what a burst is about to publish, durably, and returns the burst's number.
    pub fn intend<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a str, &'a Entry)>,
    ) -> io::Result<u64> {
        self.bursts += 1;
        let burst = self.bursts;
        self.write(files.map(|(path, entry)| Line::put(path, entry, Some(burst))))?;
        Ok(burst)
    }

    /// Makes the intents of `burst` count, and then `changes`, in one write.
    pub fn commit(&mut self, burst: u64, changes: &[Change]) -> io::Result<()> {
        let after = changes.iter().map(|change| Line::of(change, None));
        self.write(std::iter::once(Line::commit(burst)).chain(after))
    }

    /// Appends changes that need no burst.
    pub fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        self.write(changes.iter().map(|change| Line::of(change, None)))
    }

    /// Whether most of the journal says nothing any more.
    pub fn is_long(&self, manifest: &Manifest) -> bool {
        self.lines > 2 * (manifest.files.len() + manifest.directories.len()) + 1_000
    }

    fn write<'a>(&mut self, lines: impl Iterator<Item = Line<'a>>) -> io::Result<()> {
        let mut writer = BufWriter::with_capacity(64 << 10, &self.file);
        let mut count = 0;
        for line in lines {
            write_line(&mut writer, &line)?;
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        writer.flush()?;
        drop(writer);
        self.file.sync_data()?;
        self.lines += count;
        Ok(())
    }
}

fn write_line(writer: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Complete, Local};

    fn entry(byte: u8) -> Entry {
        Entry {
            etag: format!("{byte:032x}").into(),
            size: u64::from(byte),
            modified: 1_700_000_000_000,
            sha256: [byte; 32],
            md5: true,
            local: Local {
                mtime: 1_700_000_000_123_456_789,
                inode: 42,
                ctime: 7,
            },
        }
    }

    fn put(path: &str, byte: u8) -> Change {
        Change::Put(path.into(), entry(byte))
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::at(directory.path()).unwrap();
        (directory, state)
    }

    fn reload(state: &StateDir) -> Loaded {
        load(state).unwrap().unwrap()
    }

    #[test]
    fn what_was_written_comes_back() {
        let (_directory, state) = state();
        assert!(load(&state).unwrap().is_none());
        let mut manifest = Manifest::default();
        let odd = "a b/\"q\"\n\u{1}é\\.py";
        manifest.apply(put(odd, 1));
        manifest.apply(Change::MakeDirectory("empty".into()));
        manifest.apply(Change::Complete(Complete { at: 5, files: 1 }));
        manifest.apply(Change::DeepScrubbed(9));
        manifest.apply(Change::Generation(manifest.revision()));
        manifest.history.note(5, 1, 2);
        let mut journal = Journal::rewrite(&state, "s3://b/p/", &manifest).unwrap();
        assert_eq!(reload(&state).manifest, manifest);
        let more = [
            put("z", 2),
            Change::Remove(odd.into()),
            Change::RemoveDirectory("empty".into()),
        ];
        journal.append(&more).unwrap();
        more.into_iter().for_each(|change| manifest.apply(change));
        let loaded = reload(&state);
        assert_eq!((loaded.manifest, loaded.clean), (manifest, true));
        assert_eq!(loaded.source, "s3://b/p/");
    }

    #[test]
    fn an_intent_counts_only_once_it_is_committed() {
        let (_directory, state) = state();
        let mut journal = Journal::rewrite(&state, "s3://b/", &Manifest::default()).unwrap();
        let burst = journal
            .intend([("a", &entry(1)), ("b", &entry(2))].into_iter())
            .unwrap();
        let open = reload(&state);
        assert_eq!(
            (open.manifest.files.len(), open.pending.len(), open.clean),
            (0, 2, false)
        );
        journal
            .commit(burst, &[Change::Remove("b".into())])
            .unwrap();
        let done = reload(&state);
        assert_eq!(
            (done.manifest.files.len(), done.pending.len(), done.clean),
            (1, 0, true)
        );
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_read_up_to_its_last_whole_line() {
        let (directory, state) = state();
        let mut journal = Journal::rewrite(&state, "s3://b/", &Manifest::default()).unwrap();
        for number in 0..5u8 {
            journal
                .append(&[put(&format!("f{number}"), number)])
                .unwrap();
        }
        let whole = std::fs::read(directory.path().join(NAME)).unwrap();
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for end in head..=whole.len() {
            std::fs::write(directory.path().join(NAME), &whole[..end]).unwrap();
            let lines = whole[..end].iter().filter(|byte| **byte == b'\n').count();
            let loaded = reload(&state);
            assert_eq!(loaded.manifest.files.len(), lines - 1, "cut at {end}");
            assert_eq!(loaded.clean, whole[..end].ends_with(b"\n"), "cut at {end}");
        }
    }

    #[test]
    fn a_line_nobody_understands_is_counted_and_costs_only_itself() {
        let (directory, state) = state();
        let mut journal = Journal::rewrite(&state, "s3://b/", &Manifest::default()).unwrap();
        journal.append(&[put("a", 1)]).unwrap();
        let mut file = state.open_append(NAME).unwrap();
        file.write_all(b"\0\0\0\n{\"later\":1}\n").unwrap();
        journal.append(&[put("b", 2)]).unwrap();
        let loaded = reload(&state);
        assert_eq!(
            (loaded.manifest.files.len(), loaded.unreadable, loaded.clean),
            (2, 2, false)
        );
        drop(directory);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let (directory, state) = state();
        std::fs::write(
            directory.path().join(NAME),
            "{\"s3sync\":2,\"source\":\"s3://b/\"}\n",
        )
        .unwrap();
        let error = load(&state).unwrap_err().to_string();
        assert!(error.contains("format 2"), "{error}");
    }
}
