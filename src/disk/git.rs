//! git, as far as meu asks it: old texts by blob id, what changed since a revision, what is tracked.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::diag::Error;
use crate::digest::{Digest, TextId};

fn git(root: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

/// A text out of git's objects, if it is there and is the one meant.
pub fn blob(root: &Path, id: &TextId) -> Option<String> {
    if id.git.len() != 40 || !id.git.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let bytes = git(root, &["cat-file", "blob", &id.git])?;
    (Digest::of(&bytes) == id.blake3).then(|| String::from_utf8(bytes).ok())?
}

/// The paths, from the project's folder, that differ from a revision, new ones included.
pub fn changed_since(root: &Path, revision: &str) -> Result<HashSet<String>, Error> {
    let wrong = || {
        Error::invalid(format!("git knows no revision `{revision}` here"))
            .help("use a branch, a tag, a commit, or HEAD, inside a git repository")
    };
    if revision.is_empty() || revision.starts_with('-') {
        return Err(wrong());
    }
    let changed =
        git(root, &["diff", "--name-only", "--relative", "-z", revision, "--"]).ok_or_else(wrong)?;
    let new = git(root, &["ls-files", "--others", "--exclude-standard", "-z"]).unwrap_or_default();
    let names = [changed, new].concat();
    Ok(names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

/// Whether git tracks something below a folder of the project.
pub fn is_tracked(root: &Path, folder: &str) -> bool {
    git(root, &["ls-files", "-z", "--", folder]).is_some_and(|names| !names.is_empty())
}
