//! Whole files or none: a temporary file in `.meu/tmp`, synced, renamed into place.
//!
//! After a crash the file at a place is the old one or the new one. What a rename promises after a
//! power cut is the file system's; so outputs are synced before the record that speaks of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::diag::Error;
use crate::path::RelPath;

use super::read_optional;
use super::stamp::Stat;

/// When a file's bytes must be on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before its rename: it took money or a program to make.
    Now,
    /// Before the record that speaks of it, with all others at once: it can be made again.
    Grouped,
    /// When it is written: whoever writes it sees to that.
    Seen,
    /// Never: it only saves work, and without it all is computed anew.
    Scratch,
}

/// The variable that names a folder in which several copies of a project share what was answered; a relative
/// one is looked for from the project's folder.
const SHARED_CACHE: &str = "MEU_CACHE_DIR";

/// A project's folder and the writing in it.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    meu: PathBuf,
    shared: Option<PathBuf>,
    unsynced: Mutex<Unsynced>,
    names: AtomicU64,
}

/// What was written and is not known to be on the medium.
#[derive(Debug, Default)]
struct Unsynced {
    /// Files whose texts may not be.
    files: Vec<PathBuf>,
    /// Folders whose names may not be.
    folders: BTreeSet<PathBuf>,
}

/// So many files are brought to the medium one by one: with a call for the whole file system others' bytes are waited
/// for, too.
const FEW: usize = 32;

impl Store {
    /// The store of a project's folder.
    pub fn new(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let shared = super::variable(SHARED_CACHE).filter(|folder| !folder.is_empty());
        Ok(Store {
            meu: root.join(".meu"),
            shared: shared.map(|folder| root.join(folder)),
            root,
            unsynced: Mutex::default(),
            names: AtomicU64::new(0),
        })
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `.meu/`.
    pub fn meu(&self) -> &Path {
        &self.meu
    }

    /// A cache that several copies of a project share, if there is one.
    pub fn shared(&self) -> Option<&Path> {
        self.shared.as_deref()
    }

    /// Where a path is on disk. A name that the disk has decomposed is found too.
    pub fn full(&self, path: &RelPath) -> PathBuf {
        let full = self.root.join(path.as_str());
        if path.as_str().is_ascii() || full.exists() {
            return full;
        }
        let [full, decomposed] = self.spellings(path);
        if decomposed.exists() { decomposed } else { full }
    }

    /// Where a path may be on disk: as it is spelled, and with its accents decomposed.
    pub fn spellings(&self, path: &RelPath) -> [PathBuf; 2] {
        use unicode_normalization::UnicodeNormalization;
        let decomposed: String = path.as_str().nfd().collect();
        [path.as_str(), &decomposed].map(|spelled| self.root.join(spelled))
    }

    /// Makes `.meu/`, which ignores itself.
    pub fn make_meu(&self) -> Result<(), Error> {
        let tmp = self.meu.join("tmp");
        let is_no_folder = |path: &&PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_dir());
        if let Some(path) = [&self.meu, &tmp].into_iter().find(is_no_folder) {
            return Err(Error::failed(format!("{} is not a folder", path.display()))
                .help("move it away: meu makes a folder of that name"));
        }
        let make = || -> io::Result<()> {
            fs::create_dir_all(&tmp)?;
            let ignore = self.meu.join(".gitignore");
            if !ignore.exists() {
                fs::write(ignore, "*\n")?;
            }
            Ok(())
        };
        make().map_err(|error| Error::failed(format!("{} cannot be made: {error}", self.meu.display())))
    }

    /// Removes what a run that was cut off left in `.meu/tmp`. Only the holder of the project may.
    pub fn sweep(&self) {
        for entry in fs::read_dir(self.meu.join("tmp")).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Writes a file of the project whole or not at all.
    pub fn write(&self, path: &RelPath, text: &str, durability: Durability) -> io::Result<()> {
        self.write_by(path, durability, &|| Ok(true), |file| file.write_all(text.as_bytes()))
    }

    /// Puts a text in the place of `old`, which was read there ([`read_optional`]; `None` where there was nothing), with
    /// the line ends and the byte order mark of what is there. What somebody has changed since stays as it is: an error.
    pub fn edit(&self, path: &RelPath, old: Option<&str>, new: &str) -> io::Result<()> {
        let new = self.as_in(path, new);
        let stands = || self.has_text(path, old);
        self.write_by(path, Durability::Now, &stands, |file| file.write_all(new.as_bytes()))
    }

    /// A text with the line ends and the byte order mark of the file at a path.
    pub fn as_in(&self, path: &RelPath, text: &str) -> String {
        let raw = fs::read(self.full(path)).unwrap_or_default();
        let mark = if raw.starts_with(&[0xef, 0xbb, 0xbf]) { "\u{feff}" } else { "" };
        let crlf = raw.windows(2).any(|pair| pair == b"\r\n");
        format!("{mark}{}", if crlf { text.replace('\n', "\r\n") } else { text.to_owned() })
    }

    /// Writes a file whose bytes come from elsewhere, unless just before the rename what it is to replace is not what it
    /// was: `stands` tells. That is an error ([`is_changed`]).
    pub(super) fn write_by<T>(
        &self,
        path: &RelPath,
        durability: Durability,
        stands: &Stands<'_>,
        fill: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let full = self.full(path);
        // Behind a symlink could be anything, git's own files too.
        if self.is_aliased(path.as_str()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is a symlink or lies behind one",
            ));
        }
        let folder = full.parent().unwrap_or(&self.root).to_owned();
        let filled = self.replace(&full, durability, stands, fill)?;
        let mut unsynced = self.unsynced();
        // A folder that was just made is a name in the one above it.
        for folder in folder.ancestors().take_while(|above| above.starts_with(&self.root)) {
            if !unsynced.folders.insert(folder.to_owned()) {
                break;
            }
        }
        // Where there are many, which ones they are does not matter.
        if durability == Durability::Grouped && unsynced.files.len() <= FEW {
            unsynced.files.push(full);
        }
        Ok(filled)
    }

    /// Whether a text is at a path now, or none.
    fn has_text(&self, path: &RelPath, text: Option<&str>) -> io::Result<bool> {
        Ok(read_optional(&self.full(path)).map_err(io::Error::other)?.as_deref() == text)
    }

    /// What keeps a file from being made at a path: itself, or a file where a folder should be.
    pub fn in_the_way(&self, path: &RelPath) -> Option<String> {
        let full = self.full(path);
        if full.symlink_metadata().is_ok() {
            return Some(path.to_string());
        }
        let above = full.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok())?;
        let name = above.strip_prefix(&self.root).ok()?.to_string_lossy().into_owned();
        (!above.is_dir()).then_some(name)
    }

    /// Removes a file whose words are elsewhere, as they were read ([`read_optional`]), and the folders that it leaves
    /// empty. What somebody has changed since stays as it is: an error.
    pub fn remove(&self, path: &RelPath, old: &str) -> io::Result<()> {
        self.remove_by(path, &|| self.has_text(path, Some(old)))
    }

    /// The same, where `stands` tells whether it is as it was.
    pub(super) fn remove_by(&self, path: &RelPath, stands: &Stands<'_>) -> io::Result<()> {
        let full = self.full(path);
        if !stands()? {
            return Err(changed());
        }
        fs::remove_file(&full)?;
        let mut folder = full.parent();
        while let Some(empty) = folder.filter(|folder| *folder != self.root) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
        Ok(())
    }

    /// Writes a file below `.meu/`.
    pub fn write_meu(&self, name: &str, bytes: &[u8], durability: Durability) -> io::Result<()> {
        self.write_meu_in_pieces(name, &[bytes], durability)
    }

    /// The same, where the bytes lie in several places.
    pub fn write_meu_in_pieces(
        &self,
        name: &str,
        pieces: &[&[u8]],
        durability: Durability,
    ) -> io::Result<()> {
        let full = self.meu.join(name);
        self.replace(&full, durability, &|| Ok(true), |file| {
            pieces.iter().try_for_each(|bytes| file.write_all(bytes))
        })
    }

    /// Writes pieces over what is at some places of a file below `.meu/`, which was opened as `was`. A crash leaves some of
    /// them written and some not: whoever reads it has to tell. An error if another file is there by now, or one that has
    /// another name, too.
    pub fn write_meu_over(&self, name: &str, was: &File, pieces: &[(usize, &[u8])]) -> io::Result<()> {
        let full = self.meu.join(name);
        let file = File::options().write(true).open(&full)?;
        let identity = |file: &File| file.metadata().map(|meta| Stat::of(&meta).identity);
        if !is_plain(&full) || identity(&file)? != identity(was)? {
            return Err(io::Error::other("it is another file"));
        }
        pieces.iter().try_for_each(|(at, bytes)| {
            fail_point("over")?;
            file.write_all_at(bytes, *at as u64)
        })
    }

    /// Whether a path of the project is a symlink or lies behind one, in whichever way its name is spelled.
    pub fn is_aliased(&self, path: &str) -> bool {
        use unicode_normalization::UnicodeNormalization;
        let aliased = |path: &str| {
            let full = self.root.join(path);
            full.ancestors().take_while(|at| *at != self.root).any(Path::is_symlink)
        };
        aliased(path) || (!path.is_ascii() && aliased(&path.nfd().collect::<String>()))
    }

    fn replace<T>(
        &self,
        full: &Path,
        durability: Durability,
        stands: &Stands<'_>,
        fill: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let scratch = self.meu.join("tmp");
        let temporary = scratch.join(format!("{}-{number}.tmp", std::process::id()));
        let write = |temporary: &Path| -> io::Result<T> {
            fail_point("create")?;
            let mut new = File::options();
            new.read(true).write(true).create(true).truncate(true);
            let mut file = in_folder(&scratch, || new.open(temporary))?;
            fail_point("write")?;
            let filled = fill(&mut file)?;
            if durability == Durability::Now {
                file.sync_all()?;
            }
            if let Ok(old) = fs::metadata(full) {
                file.set_permissions(old.permissions())?;
            }
            drop(file);
            fail_point("rename")?;
            if !stands()? {
                return Err(changed());
            }
            if durability == Durability::Scratch {
                // Some file systems write a file out at once that is renamed over another.
                let _ = fs::remove_file(full);
            }
            match in_folder(full.parent().unwrap_or(&self.root), || fs::rename(temporary, full)) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    rename_across(temporary, full)?
                }
                other => other?,
            }
            Ok(filled)
        };
        let written = write(&temporary);
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        let filled = written?;
        fail_point("renamed")?;
        Ok(filled)
    }

    /// A file in `.meu/tmp` of which nobody else writes one of that name.
    pub fn scratch(&self, name: &str) -> Scratch {
        Scratch(self.meu.join("tmp").join(format!("{}-{name}", std::process::id())))
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings all outputs that were written to the medium, before the record that speaks of them; `and_more` says that
    /// there is more that matters, written by others or elsewhere.
    pub fn sync_written(&self, and_more: bool) -> io::Result<()> {
        let files = std::mem::take(&mut self.unsynced().files);
        if and_more || files.len() > FEW {
            self.sync()?;
        } else {
            files.iter().try_for_each(|file| sync(file))?;
        }
        self.sync_folders()
    }

    /// Brings all that was written to the medium, by one call for the file system instead of one a file.
    fn sync(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(File::open(&self.root)?)?;
        #[cfg(all(unix, not(target_os = "linux")))]
        rustix::fs::sync();
        Ok(())
    }

    /// Brings the names of files to the medium that are there themselves.
    pub(super) fn sync_folders(&self) -> io::Result<()> {
        let folders = std::mem::take(&mut self.unsynced().folders);
        folders.iter().try_for_each(|folder| match sync(folder) {
            // One that may be gone through and not be read.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.sync(),
            synced => synced,
        })
    }
}

/// Tells whether a file is as it was when it was decided about.
pub(super) type Stands<'a> = dyn Fn() -> io::Result<bool> + 'a;

/// Somebody changed a file that was about to be replaced.
#[derive(Debug)]
struct Changed;

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("somebody changed it just now")
    }
}

impl std::error::Error for Changed {}

pub(super) fn changed() -> io::Error {
    io::Error::other(Changed)
}

/// Whether a file was left as it is, since somebody changed it while it was about to be replaced.
pub fn is_changed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Changed>())
}

/// A file that programs read and that one thread writes again and again. It goes when that thread is done with it; what a
/// crash leaves is swept away with the next run.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes a text all that it says.
    pub fn write(&self, text: &str) -> io::Result<()> {
        // What a program made of it, a link to elsewhere perhaps, is not to be written to.
        if !is_plain(&self.0) {
            let _ = fs::remove_file(&self.0);
        }
        let mut options = File::options();
        // Not emptied first: some file systems bring such a file to the medium at once.
        options.write(true).create(true).truncate(false);
        // Nobody else's to read.
        options.mode(0o600);
        let mut file = in_folder(self.0.parent().unwrap_or(&self.0), || options.open(&self.0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether a file is there that can be written, and has no other name.
fn is_plain(path: &Path) -> bool {
    let plain = |meta: fs::Metadata| meta.is_file() && meta.nlink() == 1 && !meta.permissions().readonly();
    path.symlink_metadata().is_ok_and(plain)
}

/// Whether nothing is at a path, not even a folder that it could be in.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Brings a file or a folder to the medium, if it is still there.
fn sync(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        Ok(()) => Ok(()),
    }
}

/// Makes something in a folder, which is made too if it is not there.
pub(super) fn in_folder<T>(folder: &Path, make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            make()
        }
        made => made,
    }
}

/// A rename to another file system: a copy beside the place, then a rename there.
fn rename_across(temporary: &Path, full: &Path) -> io::Result<()> {
    let mut beside = full.as_os_str().to_owned();
    beside.push(".meu-tmp");
    let beside = PathBuf::from(beside);
    let moved = fs::copy(temporary, &beside)
        .and_then(|_| File::open(&beside)?.sync_all())
        .and_then(|()| fs::rename(&beside, full));
    if moved.is_err() {
        let _ = fs::remove_file(&beside);
    }
    moved?;
    fs::remove_file(temporary)
}

/// What tests make happen at a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The process dies.
    Kill,
    /// The disk is full, from now on.
    Full,
    /// The medium fails, once.
    Broken,
}

/// A place where tests make a write fail: `MEU_FAIL=kill:7`, `full:7` or `broken:7` at the seventh such
/// place that is reached.
pub(super) fn fail_point(_place: &str) -> io::Result<()> {
    static WANTED: OnceLock<Option<(Fault, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("MEU_FAIL").ok()?;
        let (kind, number) = text.split_once(':')?;
        let fault = match kind {
            "kill" => Fault::Kill,
            "full" => Fault::Full,
            "broken" => Fault::Broken,
            _ => return None,
        };
        Some((fault, number.parse().ok()?))
    });
    let Some((fault, number)) = wanted else { return Ok(()) };
    let reached = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
    match fault {
        Fault::Kill if reached == *number => std::process::abort(),
        Fault::Full if reached >= *number => {
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
        }
        Fault::Broken if reached == *number => Err(io::Error::other("input/output error")),
        _ => Ok(()),
    }
}
