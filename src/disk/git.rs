//! git, as far as meu asks it: old texts by blob id, what changed since a revision, what is tracked.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cores::joined;
use crate::diag::Error;
use crate::digest::{Digest, TextId};
use crate::path::RelPath;

use super::{Durability, Store};

/// What git sets for its hooks: it speaks of the repository that called, not of the one around the project.
const OF_HOOKS: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

fn git(root: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = command(root, arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

/// What git says to some lines.
fn git_fed(root: &Path, arguments: &[&str], lines: String) -> Option<Vec<u8>> {
    let mut command = command(root, arguments);
    // What a partial clone has left elsewhere is not there.
    command.env("GIT_NO_LAZY_FETCH", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut input = child.stdin.take()?;
    // It answers while it reads: both pipes would be full at last.
    std::thread::scope(|scope| {
        let fed = scope.spawn(move || input.write_all(lines.as_bytes()));
        let output = child.wait_with_output().ok()?;
        (joined(fed).is_ok() && output.status.success()).then_some(output.stdout)
    })
}

fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    OF_HOOKS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
        .arg("-C")
        .arg(root)
        // A folder of the project that looks like a repository is none: its settings could start a program.
        .args(["-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false"])
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stderr(Stdio::null());
    command
}

/// A text out of git's objects, if it is there and is the one meant.
pub fn blob(root: &Path, id: &TextId) -> Option<String> {
    if id.git.len() != 40 || !id.git.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let bytes = git(root, &["cat-file", "blob", &id.git])?;
    (Digest::of(&bytes) == id.blake3).then(|| String::from_utf8(bytes).ok())?
}

fn unknown_revision(revision: &str) -> Error {
    Error::invalid(format!("git knows no revision `{revision}` here"))
        .help("use a branch, a tag, a commit, or HEAD; a shallow clone has few, and git must trust the folder's owner")
}

/// The text that a file of the project had at a revision; none if it was not there.
pub fn file_at(root: &Path, revision: &str, path: &str) -> Result<Option<String>, Error> {
    let commit = format!("{revision}^{{commit}}");
    if revision.is_empty()
        || revision.starts_with('-')
        || git(root, &["rev-parse", "--verify", "--quiet", &commit]).is_none()
    {
        return Err(unknown_revision(revision));
    }
    let bytes = git(root, &["show", &format!("{revision}:./{path}")]);
    Ok(bytes.map(|bytes| crate::text::normal(&String::from_utf8_lossy(&bytes)).into_owned()))
}

/// The texts that a file of the project has on the tips of local branches, each once; none if there may be
/// some and git does not answer.
pub(super) fn on_branches(root: &Path, path: &str) -> Option<Vec<String>> {
    if repository(root).is_none() {
        return Some(Vec::new());
    }
    let branches = git(root, &["for-each-ref", "--format=%(refname)", "refs/heads"])?;
    let named: String =
        String::from_utf8_lossy(&branches).lines().map(|branch| format!("{branch}:./{path}\n")).collect();
    let blobs = git_fed(root, &["cat-file", "--batch-check=%(objectname)"], named)?;
    let blobs = String::from_utf8_lossy(&blobs).into_owned();
    // Where a branch has no such file it says so, with what was asked for.
    let blobs: BTreeSet<&str> = blobs.lines().filter(|line| !line.contains(' ')).collect();
    let text = |blob| {
        let bytes = git(root, &["cat-file", "blob", blob])?;
        Some(crate::text::normal(&String::from_utf8_lossy(&bytes)).into_owned())
    };
    blobs.into_iter().map(text).collect()
}

/// Those of some blobs that git does not have.
pub(super) fn missing<'a>(root: &Path, blobs: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let named = blobs.iter().map(|blob| format!("{blob}\n")).collect();
    let said = git_fed(root, &["cat-file", "--batch-check=%(objectname)"], named).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let there: HashSet<&str> = said.lines().collect();
    blobs.iter().copied().filter(|blob| !there.contains(blob)).collect()
}

/// Those of some paths, from the project's folder, that its repository does not take: what lies in a repository
/// of its own, as submodules do, and what git ignores and does not track.
pub fn not_taken(root: &Path, paths: &[String]) -> HashSet<String> {
    let is_repository =
        |folder: &Path| !folder.as_os_str().is_empty() && root.join(folder).join(".git").exists();
    let (apart, own): (Vec<&String>, Vec<&String>) =
        paths.iter().partition(|path| Path::new(path).ancestors().skip(1).any(is_repository));
    let named = own.iter().map(|path| format!("{path}\0")).collect();
    // It fails where it has none to name.
    let ignored = git_fed(root, &["check-ignore", "--stdin", "-z"], named).unwrap_or_default();
    names_in(&ignored).chain(apart.into_iter().cloned()).collect()
}

/// Names that each end with a zero byte.
fn names_in(said: &[u8]) -> impl Iterator<Item = String> {
    let names = said.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned())
}

/// When a revision was committed, in UTC as RFC 3339 writes it.
pub fn committed_at(root: &Path, revision: &str) -> Result<String, Error> {
    let said = git(root, &["show", "--no-patch", "--format=%ct", &format!("{revision}^{{commit}}")]);
    let seconds = said.and_then(|said| String::from_utf8(said).ok()?.trim().parse().ok());
    seconds.map(super::clock::at).ok_or_else(|| unknown_revision(revision))
}

/// The paths, from the project's folder, that differ from a revision, new ones included.
pub fn changed_since(root: &Path, revision: &str) -> Result<HashSet<String>, Error> {
    let wrong = || unknown_revision(revision);
    if revision.is_empty() || revision.starts_with('-') {
        return Err(wrong());
    }
    let changed =
        git(root, &["diff", "--name-only", "--relative", "-z", revision, "--"]).ok_or_else(wrong)?;
    let new = git(root, &["ls-files", "--others", "--exclude-standard", "-z"]).unwrap_or_default();
    Ok(names_in(&[changed, new].concat()).collect())
}

/// The top of the repository around a folder.
pub fn repository(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|above| above.join(".git").exists())
}

/// Where git lists what it tracks, for the repository around a folder.
pub fn index_of_repository(folder: &Path) -> Option<PathBuf> {
    let git = repository(folder)?.join(".git");
    if git.is_dir() {
        return Some(git.join("index"));
    }
    // A work tree of its own has a file there that says where its folder is.
    let text = std::fs::read_to_string(&git).ok()?;
    let named = Path::new(text.trim().strip_prefix("gitdir:")?.trim());
    Some(git.parent()?.join(named).join("index"))
}

/// Whether git tracks `.meu` or something below it; none if it may and git does not answer.
pub fn tracks_meu(store: &Store) -> Option<bool> {
    if !store.meu().is_dir() {
        return Some(false);
    }
    let Some(index) = index_of_repository(store.root()) else { return Some(false) };
    // Asking git takes milliseconds. An index of version 2 or 3 names every path whole, and most name no
    // such folder at all.
    let folder = index.parent().map(std::fs::read_dir);
    let is_split = folder
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("sharedindex."));
    let names_none = match std::fs::read(index) {
        Ok(index) => matches!(index.get(4..8), Some([0, 0, 0, 2 | 3])) && !is_split && !names_meu(&index),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if names_none {
        return Some(false);
    }
    // Where the file system does not tell `.meu` from `.MEU`, git tracks either name of the folder.
    let folder = if store.root().join(".MEU").exists() { ":(icase).meu" } else { ".meu" };
    git(store.root(), &["ls-files", "-z", "--", folder]).map(|names| !names.is_empty())
}

/// Whether an index has a path with a component `.meu`, be it a folder or, as a link is, its end.
fn names_meu(index: &[u8]) -> bool {
    index.windows(5).any(|window| {
        window[0] == b'.' && matches!(window[4], b'/' | 0) && window[1..4].eq_ignore_ascii_case(b"meu")
    })
}

/// Makes the project's folder a repository, unless it lies in one. Returns the repository's folder.
pub fn make_repository(store: &Store) -> Result<PathBuf, Error> {
    if let Some(top) = repository(store.root()) {
        return Ok(top.to_owned());
    }
    let made = git(store.root(), &["init", "--quiet"]);
    made.map(|_| store.root().to_owned())
        .ok_or_else(|| Error::failed("`git init` did not work").help("is git installed?"))
}

/// Which git there is, if any.
pub fn version_of_git(store: &Store) -> Option<String> {
    let said = String::from_utf8(git(store.root(), &["--version"])?).ok()?;
    said.trim().strip_prefix("git version ").map(str::to_owned)
}

/// Who sits here: as git knows them, else as the system does.
pub fn who(store: &Store) -> String {
    let name = git(store.root(), &["config", "user.name"])
        .map(|name| String::from_utf8_lossy(&name).trim().to_owned());
    let user = || super::variable("USER").or_else(|| super::variable("USERNAME"));
    name.filter(|name| !name.is_empty()).or_else(user).unwrap_or_else(|| "unknown".into())
}

/// Opens a file or a folder in the person's editor, as git would, and waits for it.
pub fn open_editor(store: &Store, path: &Path) -> Result<(), Error> {
    let help = format!("set EDITOR, or edit {} yourself", path.display());
    let set =
        ["VISUAL", "EDITOR"].into_iter().find_map(super::variable).filter(|editor| !editor.trim().is_empty());
    let asked = || String::from_utf8(git(store.root(), &["var", "GIT_EDITOR"])?).ok();
    let editor = set.or_else(asked).ok_or_else(|| Error::failed("no editor is known").help(help.clone()))?;
    let editor = editor.trim();
    // A shell takes the words apart, so that there can be options and names with spaces.
    let ended = Command::new("sh").args(["-c", &format!("{editor} \"$@\""), editor]).arg(path).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        // As shells say it.
        Ok(status) if matches!(status.code(), Some(126 | 127)) => {
            Err(Error::failed(format!("`{editor}` cannot be started")).help(help))
        }
        Ok(_) => Err(Error::failed(format!("`{editor}` did not end well")).help(help)),
        Err(error) => {
            Err(Error::failed(format!("no shell can be started for `{editor}`: {error}")).help(help))
        }
    }
}

/// Opens a built text and the output with the person's difftool, and waits for it.
pub fn difftool(store: &Store, built: &str, output: &RelPath) -> Result<(), Error> {
    let name = format!("tmp/built-{}", output.name());
    let wrong = |error: std::io::Error| Error::failed(format!("git difftool cannot be started: {error}"));
    store.write_meu(&name, built.as_bytes(), Durability::Grouped).map_err(wrong)?;
    // 1 only says that the texts differ.
    command(store.root(), &["difftool", "--no-prompt", "--no-index"])
        .args([store.meu().join(&name), store.full(output)])
        .stderr(Stdio::inherit())
        .status()
        .map(drop)
        .map_err(wrong)
}
