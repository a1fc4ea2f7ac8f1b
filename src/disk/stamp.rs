//! What the system says of a file, by which it is told whether it is as it was.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::digest::Digest;

use super::{has_text, read_optional};

/// Younger files than this, in nanoseconds, are read again next time: more than any file system's tick.
pub const RACY: i128 = 2_000_000_000;

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) size: u64,
    /// Nanoseconds since 1970 of the last change of the contents, and of the inode.
    pub(super) modified: i128,
    pub(super) changed: i128,
    pub(super) inode: u64,
    pub(super) device: u64,
}

impl Stat {
    pub(super) fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, inode, device) = {
            use std::os::unix::fs::MetadataExt;
            (i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec()), meta.ino(), meta.dev())
        };
        #[cfg(not(unix))]
        let (changed, inode, device) = (0, 0, 0);
        Stat { size: meta.len(), modified: meta.modified().map_or(0, nanos), changed, inode, device }
    }

    pub(super) fn youngest(&self) -> i128 {
        self.modified.max(self.changed)
    }
}

/// Nanoseconds since 1970.
pub(super) fn nanos(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

/// A file as it was when it was read.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    path: PathBuf,
    /// None if it is not there.
    stat: Option<Stat>,
    /// Whether it is older than the reading, so that the same stat is the same text.
    is_old: bool,
    /// The text that was read, where that is known.
    text: Option<Digest>,
}

impl Stamp {
    /// Of a file as it is, which began to be read at some time in nanoseconds since 1970.
    pub(super) fn of(path: PathBuf, began: i128, text: Option<Digest>) -> Self {
        Stamp::new(stat(&path), path, began, text)
    }

    /// The same, where it is known what the system says of it.
    pub(super) fn new(stat: Option<Stat>, path: PathBuf, began: i128, text: Option<Digest>) -> Self {
        let is_old = stat.is_none_or(|stat| stat.youngest() + RACY < began);
        Stamp { path, stat, is_old, text }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was old enough for its stat to vouch for its text.
    pub(super) fn is_old(&self) -> bool {
        self.is_old
    }

    /// Whether the file is as it was.
    pub(super) fn stands(&self) -> bool {
        let same = |text| {
            let is_gone = || text == Digest::of("") && matches!(read_optional(&self.path), Ok(None));
            has_text(&self.path, text) || is_gone()
        };
        (self.is_old && stat(&self.path) == self.stat) || self.text.is_some_and(same)
    }
}

fn stat(path: &Path) -> Option<Stat> {
    std::fs::metadata(path).ok().map(|meta| Stat::of(&meta))
}
