//! Proposals: `.meu/proposals/NAME/`, plans that nobody approved yet.
//!
//! ```text
//! proposal.json   what it is, and the digests of its files as they were written
//! tasks/ID.toml   task files, for a person to read and edit
//! outputs/ID.md   the texts of what is done already
//! base/ID.toml    what landed of it before, or what it was made from: the base of a merge
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::author::Reads;
use crate::diag::Error;
use crate::digest::Digest;
use crate::path::RelPath;

use super::{Durability, Store};

/// A plan that is kept until a person approves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposal {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub about: About,
    /// Task texts by id, with what a person edited.
    pub tasks: BTreeMap<String, String>,
    /// The texts of outputs that are there already, by id.
    pub outputs: BTreeMap<String, String>,
    /// The base of a merge, by id.
    pub base: BTreeMap<String, String>,
}

/// What a proposal says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Where it comes from, in words.
    pub source: String,
    /// What could not be carried over, a line each.
    pub left: Vec<String>,
    /// The digests of its task files as they were written.
    pub written: BTreeMap<String, Digest>,
    /// The tasks of it that landed already.
    #[serde(default)]
    pub landed: BTreeSet<String>,
    /// What a task read that was taken apart.
    #[serde(default)]
    pub reads: Reads,
}

impl Proposal {
    /// The tasks that a person edited, or added, since it was written.
    pub fn edited(&self) -> Vec<&str> {
        let is_edited = |id: &str, text: &str| self.about.written.get(id) != Some(&Digest::of(text));
        let edited = self.tasks.iter().filter(|(id, text)| is_edited(id, text)).map(|(id, _)| id.as_str());
        edited
            .chain(self.about.written.keys().map(String::as_str).filter(|id| !self.tasks.contains_key(*id)))
            .collect()
    }
}

/// The proposals of a project.
#[derive(Clone, Copy, Debug)]
pub struct Proposals<'a>(pub &'a Store);

fn wrong(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::failed(format!("{}: {error}", path.display()))
}

impl Proposals<'_> {
    fn folder(&self, name: &str) -> PathBuf {
        self.0.meu().join("proposals").join(name)
    }

    /// Where a proposal's task file is, from the project's folder.
    pub fn shown(name: &str, id: &str) -> String {
        format!(".meu/proposals/{name}/tasks/{id}.toml")
    }

    /// The names of all.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.meu().join("proposals")).into_iter().flatten().flatten();
        let whole = entries.filter(|entry| entry.path().join("proposal.json").is_file());
        let mut names: Vec<String> = whole.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// A proposal; none of that name is an error that says which there are.
    pub fn get(&self, name: &str) -> Result<Proposal, Error> {
        self.find(name)?.ok_or_else(|| {
            let names = self.names();
            let error = Error::failed(format!("there is no proposal `{name}`"));
            match names.as_slice() {
                [] => error.help("`meu plan import FILE` or `meu plan propose GOAL` makes one"),
                names => error.help(format!("there is {}", names.join(", "))),
            }
        })
    }

    /// A proposal, if there is one of that name. What landed of it earlier is known even when it is gone.
    pub fn find(&self, name: &str) -> Result<Option<Proposal>, Error> {
        check_name(name)?;
        let folder = self.folder(name);
        let file = folder.join("proposal.json");
        let about = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::failed(format!("{} cannot be read: {error}", file.display()))
                    .help(format!("`meu plan drop {name}` throws the proposal away"))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&file)(error)),
        };
        Ok(Some(Proposal {
            name: name.to_owned(),
            about,
            tasks: texts(&folder.join("tasks"), ".toml")?,
            outputs: texts(&folder.join("outputs"), ".md")?,
            base: self.base(name)?,
        }))
    }

    /// What landed of a proposal earlier.
    pub fn base(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        check_name(name)?;
        texts(&self.folder(name).join("base"), ".toml")
    }

    /// Keeps a proposal, in the place of an earlier one of its name. It counts once all of it is there.
    pub fn put(&self, proposal: &Proposal) -> Result<(), Error> {
        let Proposal { name, about, tasks, outputs, base } = proposal;
        check_name(name)?;
        let folder = self.folder(name);
        let file = folder.join("proposal.json");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(&file)(error)),
            _ => {}
        }
        for (kind, extension, texts) in
            [("tasks", "toml", tasks), ("outputs", "md", outputs), ("base", "toml", base)]
        {
            let inside = folder.join(kind);
            for old in files(&inside)? {
                fs::remove_file(&old).map_err(wrong(&old))?;
            }
            for (id, text) in texts {
                RelPath::parse_writable(&format!("{id}.{extension}"))
                    .map_err(|problem| Error::invalid(format!("the id `{id}`: {}", problem.message())))?;
                self.write(&format!("proposals/{name}/{kind}/{id}.{extension}"), text.as_bytes())?;
            }
        }
        let bytes = serde_json::to_vec_pretty(about).map_err(|error| Error::failed(error.to_string()))?;
        self.write(&format!("proposals/{name}/proposal.json"), &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_meu(name, bytes, Durability::Grouped).map_err(wrong(&self.0.meu().join(name)))
    }

    /// Throws a proposal away, and what is known of what landed of it.
    pub fn drop(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let folder = self.folder(name);
        fs::remove_dir_all(&folder).map_err(wrong(&folder))
    }
}

/// A name is one part of a path.
fn check_name(name: &str) -> Result<(), Error> {
    let fits =
        RelPath::parse_writable(name).is_ok_and(|path| path.folder().is_empty()) && !name.starts_with('.');
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!("`{name}` cannot be the name of a proposal"))
        .help("take letters, digits and `-`"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = WalkDir::new(folder).into_iter().filter(|_| folder.is_dir());
    entries
        .filter(|entry| entry.as_ref().map_or(true, |entry| entry.file_type().is_file()))
        .map(|entry| entry.map(walkdir::DirEntry::into_path).map_err(|error| wrong(folder)(error.into())))
        .collect()
}

/// The texts of a folder, by their paths without the extension.
fn texts(folder: &Path, extension: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut texts = BTreeMap::new();
    for path in files(folder)? {
        let relative =
            path.strip_prefix(folder).ok().and_then(Path::to_str).map(|path| path.replace('\\', "/"));
        let Some(id) = relative.as_deref().and_then(|path| path.strip_suffix(extension)) else { continue };
        let read = super::read_optional(&path);
        let text =
            read.map_err(|message| Error::failed(format!("{} cannot be read: {message}", path.display())))?;
        texts.insert(crate::path::nfc(id), text.unwrap_or_default());
    }
    Ok(texts)
}
