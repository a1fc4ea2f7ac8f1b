//! Files and their stats: what a seal vouches for, in folders, looked at by several threads.
//!
//! Per folder: length of its path (u32), its path, how many entries (u32), their bytes (u32); then per entry
//! its kind (u8), length of its name (u8), its name, its stat (four u64). All little endian.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use crate::disk::{Stat, identity, nanoseconds};

/// Below so many entries, of about so many bytes, one thread is faster.
const FEW: usize = 1000 * 44;

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file by its text; it may be absent.
    File,
    /// A folder by what is in it.
    Folder,
    /// That a folder is this very one, or that nothing is there.
    Place,
    /// Git's list of what it tracks.
    GitIndex,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::File, Kind::Folder, Kind::Place, Kind::GitIndex];
}

/// The stat of what is not there.
pub(super) const ABSENT: Stat = Stat { size: 0, modified: 0, changed: 0, identity: 0 };

/// The stat that no file has.
pub(super) const NEVER: Stat =
    Stat { size: u64::MAX, modified: i64::MAX, changed: i64::MAX, identity: u64::MAX };

/// What the system says of what is in a folder.
#[allow(clippy::unnecessary_cast)] // the types differ between systems
fn look_at(folder: impl std::os::fd::AsFd, name: &[u8], kind: Kind) -> Stat {
    let flags = if kind == Kind::Place { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
    let Ok(stat) = statat(folder, name, flags) else { return ABSENT };
    let identity = identity(stat.st_ino as u64, stat.st_dev as u64);
    if kind == Kind::Place {
        return Stat { identity, size: u64::from(stat.st_mode & 0o170_000), ..ABSENT };
    }
    Stat {
        size: stat.st_size as u64,
        modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        identity,
    }
}

/// One entry of the tree.
pub(super) struct Leaf<'a> {
    folder: &'a Path,
    name: &'a [u8],
    /// Which one it is, of all.
    pub(super) index: usize,
    /// What it stands for.
    pub(super) kind: Kind,
    /// Its stat as recorded.
    pub(super) stat: Stat,
    /// Where that stands.
    pub(super) stat_at: usize,
}

impl Leaf<'_> {
    /// Its path.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(OsStr::from_bytes(self.name))
    }
}

/// Some entries of a tree, by index.
#[derive(Default)]
pub(super) struct Entries(Vec<bool>);

impl Entries {
    pub(super) fn has(&self, entry: u32) -> bool {
        self.0.get(entry as usize).is_some_and(|has| *has)
    }
}

impl Extend<u32> for Entries {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, entries: T) {
        for entry in entries {
            let at = entry as usize;
            if at >= self.0.len() {
                self.0.resize(at + 1, false);
            }
            self.0[at] = true;
        }
    }
}

impl FromIterator<u32> for Entries {
    fn from_iter<T: IntoIterator<Item = u32>>(entries: T) -> Self {
        let mut some = Entries::default();
        some.extend(entries);
        some
    }
}

/// Where a folder's path and its entries are in a tree, and the index of the first of them.
pub(super) struct Folder {
    path: Range<usize>,
    entries: Range<usize>,
    first: usize,
}

/// Entries by folder.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    bytes: &'a [u8],
    folders: &'a [Folder],
}

impl<'a> Tree<'a> {
    /// Adds a folder to a tree that is being written; stats are filled in later. `None` for a name that is longer
    /// than 255 bytes.
    pub(super) fn folder<'n>(
        tree: &mut Vec<u8>,
        path: &Path,
        entries: impl Iterator<Item = (&'n OsStr, Kind)>,
    ) -> Option<()> {
        let mut bytes = Vec::new();
        let mut count: u32 = 0;
        for (name, kind) in entries {
            bytes.push(kind as u8);
            bytes.push(u8::try_from(name.len()).ok()?);
            bytes.extend(name.as_bytes());
            bytes.extend(ABSENT.to_bytes());
            count += 1;
        }
        let path = path.as_os_str().as_bytes();
        tree.extend((path.len() as u32).to_le_bytes());
        tree.extend(path);
        tree.extend(count.to_le_bytes());
        tree.extend((bytes.len() as u32).to_le_bytes());
        tree.extend(bytes);
        Some(())
    }

    /// Writes a stat into a tree.
    pub(super) fn set(tree: &mut [u8], at: usize, stat: Stat) {
        tree[at..at + Stat::BYTES].copy_from_slice(&stat.to_bytes());
    }

    /// The tree in some bytes, of which these are the folders.
    pub(super) fn new(bytes: &'a [u8], folders: &'a [Folder]) -> Self {
        Tree { bytes, folders }
    }

    /// The folders of the tree in some bytes. `None` if they hold none.
    pub(super) fn folders(bytes: &[u8]) -> Option<Vec<Folder>> {
        fn number(rest: &mut &[u8]) -> Option<usize> {
            let (number, more) = rest.split_first_chunk::<4>()?;
            *rest = more;
            usize::try_from(u32::from_le_bytes(*number)).ok()
        }
        fn bytes_of(rest: &mut &[u8], all: &[u8], length: usize) -> Option<Range<usize>> {
            let at = all.len() - rest.len();
            *rest = rest.get(length..)?;
            Some(at..at + length)
        }
        let mut rest = bytes;
        let (mut folders, mut first) = (Vec::new(), 0);
        while !rest.is_empty() {
            let length = number(&mut rest)?;
            let path = bytes_of(&mut rest, bytes, length)?;
            let (count, length) = (number(&mut rest)?, number(&mut rest)?);
            let entries = bytes_of(&mut rest, bytes, length)?;
            let folder = Folder { path, entries, first };
            // One that is not whole must not pass for one in which nothing changed.
            let leaves = folder.leaves(bytes).try_fold(0, |leaves, leaf| leaf.map(|_| leaves + 1));
            if leaves != Some(count) {
                return None;
            }
            folders.push(folder);
            first += count;
        }
        Some(folders)
    }

    /// The folder that an entry is in, by number.
    pub(super) fn folder_of(&self, index: usize) -> Option<usize> {
        self.folders.partition_point(|folder| folder.first <= index).checked_sub(1)
    }

    /// The first entry of a folder, and the paths of all.
    pub(super) fn paths_in(&self, folder: usize) -> (usize, Vec<PathBuf>) {
        let folder = &self.folders[folder];
        (folder.first, folder.leaves(self.bytes).flatten().map(|leaf| leaf.path()).collect())
    }

    /// The entry of a path.
    pub(super) fn find(&self, path: &Path) -> Option<Leaf<'a>> {
        let (folder, name) = (path.parent()?, path.file_name()?.as_bytes());
        let bytes = self.bytes;
        let folder =
            self.folders.iter().find(|it| bytes[it.path.clone()] == *folder.as_os_str().as_bytes())?;
        folder.leaves(bytes).flatten().find(|leaf| leaf.name == name)
    }

    /// Every entry, as recorded.
    pub(super) fn leaves(&self) -> impl Iterator<Item = Leaf<'a>> {
        let bytes = self.bytes;
        self.folders.iter().flat_map(|folder| folder.leaves(bytes)).flatten()
    }

    /// Looks at every entry, each folder by its handle, and gathers what `each` makes of it and of its stat
    /// now. While the other threads wake, this one checks whether what they see is of use: `None` if not.
    pub(super) fn walk<T: Send>(
        &self,
        check: impl FnOnce() -> bool,
        each: impl Fn(&Leaf<'_>, Stat) -> Option<T> + Sync,
    ) -> Option<Vec<T>> {
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::new());
        let work = || {
            let mut own = Vec::new();
            while let Some(folder) = self.folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                folder.walk(self.bytes, &each, &mut own);
            }
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(&mut own);
        };
        let workers = match self.bytes.len() < FEW {
            true => 1,
            false => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
        };
        let checked = std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            let checked = check();
            match checked {
                true => work(),
                false => next.store(self.folders.len(), Ordering::Relaxed),
            }
            checked
        });
        checked.then(|| found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Folder {
    fn path<'a>(&self, bytes: &'a [u8]) -> &'a Path {
        Path::new(OsStr::from_bytes(&bytes[self.path.clone()]))
    }

    /// Its entries in order; a `None` ends those of a damaged one.
    fn leaves<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = Option<Leaf<'a>>> + use<'a> {
        let (path, end, mut index) = (self.path(bytes), self.entries.end, self.first);
        let mut rest = &bytes[self.entries.clone()];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let mut leaf = || {
                let (&[kind, length], more) = rest.split_first_chunk::<2>()?;
                let (name, more) = more.split_at_checked(usize::from(length))?;
                let (recorded, more) = more.split_first_chunk::<{ Stat::BYTES }>()?;
                let stat_at = end - more.len() - Stat::BYTES;
                rest = more;
                index += 1;
                let kind = *Kind::ALL.get(usize::from(kind))?;
                Some(Leaf {
                    folder: path,
                    name,
                    index: index - 1,
                    kind,
                    stat: Stat::from_bytes(recorded),
                    stat_at,
                })
            };
            let found = leaf();
            if found.is_none() {
                rest = &[];
            }
            Some(found)
        })
    }

    fn walk<T>(&self, bytes: &[u8], each: &impl Fn(&Leaf<'_>, Stat) -> Option<T>, found: &mut Vec<T>) {
        #[cfg(target_os = "linux")]
        let only_path = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        let only_path = OFlags::RDONLY;
        let flags = only_path | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Nothing is in a folder that is not there.
        let handle = openat(CWD, self.path(bytes), flags, Mode::empty()).ok();
        for leaf in self.leaves(bytes).flatten() {
            let stat = handle.as_ref().map_or(ABSENT, |handle| look_at(handle, leaf.name, leaf.kind));
            found.extend(each(&leaf, stat));
        }
    }
}
