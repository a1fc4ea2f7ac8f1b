//! What the system says of a file, by which it is told whether it is as it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

use super::{has_text, read_optional};

/// Younger files than this, in nanoseconds, are read again next time: more than any file system's tick.
pub const RACY: i128 = 2_000_000_000;

/// What the system says of a file: the same of the same path is the same file, as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// When its contents last changed, in nanoseconds since 1970.
    pub modified: i64,
    /// When its inode last changed, in nanoseconds since 1970.
    pub changed: i64,
    /// Which inode of which device it is.
    pub identity: u64,
}

impl Stat {
    /// How many bytes it is stored in.
    pub const BYTES: usize = 32;

    /// Of a file by its path, or of what a link there leads to; `None` if it cannot be looked at.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|meta| Stat::of(&meta))
    }

    /// Of a file that was looked at.
    pub fn of(meta: &Metadata) -> Self {
        Stat {
            size: meta.len(),
            modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            identity: identity(meta.ino(), meta.dev()),
        }
    }

    /// When it last changed in any way, in nanoseconds since 1970.
    pub fn youngest(&self) -> i128 {
        i128::from(self.modified.max(self.changed))
    }

    /// Whether it vouches for the contents that the file had when its inode changed, however young it is: whoever writes to
    /// it after that (and not through a mapping that was written to before) leaves another time, of one clock with that of
    /// the inode. Not where times may be rounded.
    pub fn is_settled(&self) -> bool {
        self.changed > self.modified && self.modified % 1_000_000 != 0
    }

    /// It as it is stored.
    pub fn to_bytes(&self) -> [u8; Stat::BYTES] {
        let words = [self.size, self.modified as u64, self.changed as u64, self.identity];
        let mut bytes = [0; Stat::BYTES];
        bytes.as_chunks_mut::<8>().0.copy_from_slice(&words.map(u64::to_le_bytes));
        bytes
    }

    /// What was stored.
    pub fn from_bytes(bytes: &[u8; Stat::BYTES]) -> Self {
        let word = |at: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[at]);
        Stat { size: word(0), modified: word(1) as i64, changed: word(2) as i64, identity: word(3) }
    }
}

/// A time of a file in nanoseconds since 1970.
pub fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

/// A number for an inode of a device.
pub fn identity(inode: u64, device: u64) -> u64 {
    inode ^ device.rotate_left(40)
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
        Stamp::new(Stat::at(&path), path, began, text)
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
        (self.is_old && Stat::at(&self.path) == self.stat) || self.text.is_some_and(same)
    }
}
