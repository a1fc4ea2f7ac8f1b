//! Proposals: `.meu/proposals/NAME/`, plans that nobody approved yet.
//!
//! ```text
//! proposal.json   what it is, and the digests of its files as they were written
//! tasks/ID.toml   task files, for a person to read and edit
//! outputs/ID.md   the texts of what is done already
//! base/ID.toml    what landed of it before, or what it was made from: the base of a merge
//! begun.json      while it lands: what it brings to where nothing was
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
    /// What it is a plan of: another one of the same place and source is a patch of it.
    #[serde(default)]
    pub of: String,
    /// What could not be carried over, a line each.
    pub left: Vec<String>,
    /// The digests of its task files as they were written.
    pub written: BTreeMap<String, Digest>,
    /// The tasks of it that landed already.
    #[serde(default)]
    pub landed: BTreeSet<String>,
    /// The ids of what the source has a name of its own for.
    #[serde(default)]
    pub ids: BTreeMap<String, String>,
    /// What a task read that was taken apart.
    #[serde(default)]
    pub reads: Reads,
}

impl Proposal {
    /// The digests of its files by name: a task's id, and `outputs/ID`.
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        let tasks = self.tasks.iter().map(|(id, text)| (id.clone(), Digest::of(text)));
        tasks
            .chain(self.outputs.iter().map(|(id, text)| (format!("outputs/{id}"), Digest::of(text))))
            .collect()
    }

    /// A task of it landed: what the next proposal of its name is merged with.
    pub fn land(&mut self, id: &str) {
        if let Some(text) = self.tasks.remove(id) {
            self.base.insert(id.to_owned(), text);
            self.about.landed.insert(id.to_owned());
        }
        self.forget(id);
    }

    /// What is proposed of a task's output, and was written of it, is over.
    pub fn forget(&mut self, id: &str) {
        self.outputs.remove(id);
        self.about.written.retain(|name, _| name != id && *name != format!("outputs/{id}"));
    }

    /// What a person edited, added or took out since it was written.
    pub fn edited(&self) -> Vec<String> {
        let (now, written) = (self.digests(), &self.about.written);
        let names = now.keys().chain(written.keys().filter(|name| !now.contains_key(*name)));
        names.filter(|name| now.get(*name) != written.get(*name)).cloned().collect()
    }
}

/// What a landing brings to where nothing was, by id: the file, and the task's text.
pub type Begun = BTreeMap<String, (String, String)>;

/// The proposals of a project.
#[derive(Clone, Copy, Debug)]
pub struct Proposals<'a>(pub &'a Store);

fn wrong(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::failed(format!("{}: {error}", path.display()))
}

/// What a file of a proposal says.
fn parsed<T: serde::de::DeserializeOwned>(bytes: &[u8], file: &Path, name: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::failed(format!("{} cannot be read: {error}", file.display()))
            .help(format!("`meu plan drop {name}` throws the proposal away"))
    })
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
        for cut_off in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            if let Some(name) = cut_off.strip_prefix('.').and_then(|name| name.strip_suffix(".old")) {
                self.recover(name);
            }
        }
        let entries = fs::read_dir(self.0.meu().join("proposals")).into_iter().flatten().flatten();
        let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        let whole = visible.filter(|entry| entry.path().join("proposal.json").is_file());
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
        self.recover(name);
        let folder = self.folder(name);
        let file = folder.join("proposal.json");
        let about = match fs::read(&file) {
            Ok(bytes) => parsed(&bytes, &file, name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&file)(error)),
        };
        let mut proposal = Proposal {
            name: name.to_owned(),
            about,
            tasks: texts(&folder.join("tasks"), ".toml")?,
            outputs: texts(&folder.join("outputs"), ".md")?,
            base: texts(&folder.join("base"), ".toml")?,
        };
        self.complete(&mut proposal)?;
        Ok(Some(proposal))
    }

    /// Of a landing that was cut off has landed what is there now, whoever wrote in it since. What somebody wrote in the
    /// proposal since is proposed still.
    fn complete(&self, proposal: &mut Proposal) -> Result<(), Error> {
        let place = self.begun(&proposal.name);
        let begun: Begun = match fs::read(&place) {
            Ok(bytes) => parsed(&bytes, &place, &proposal.name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(wrong(&place)(error)),
        };
        for (id, (file, text)) in begun {
            if !self.0.root().join(file).is_file() {
                continue;
            }
            if proposal.tasks.get(&id) == Some(&text) {
                proposal.land(&id);
            } else {
                proposal.base.insert(id.clone(), text);
                proposal.about.landed.insert(id);
            }
        }
        Ok(())
    }

    fn begun(&self, name: &str) -> PathBuf {
        self.folder(name).join("begun.json")
    }

    /// A landing begins.
    pub fn begin(&self, name: &str, begun: &Begun) -> Result<(), Error> {
        let bytes = serde_json::to_vec(begun).map_err(|error| Error::failed(error.to_string()))?;
        let name = format!("proposals/{name}/begun.json");
        self.0.write_meu(&name, &bytes, Durability::Now).map_err(wrong(Path::new(&name)))
    }

    /// A landing was taken back. This needs no room on the disk.
    pub fn take_back(&self, name: &str) {
        // What cannot be removed tells of what is not there.
        let _ = fs::remove_file(self.begun(name));
    }

    /// What landed of a proposal earlier.
    pub fn base(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        Ok(self.find(name)?.map(|proposal| proposal.base).unwrap_or_default())
    }

    /// Keeps a proposal, in the place of an earlier one of its name.
    pub fn put(&self, proposal: &Proposal) -> Result<(), Error> {
        self.stage(proposal)?.commit()
    }

    /// Writes a proposal beside the one that is there; it counts once it is committed.
    pub fn stage(&self, proposal: &Proposal) -> Result<Staged, Error> {
        let Proposal { name, about, tasks, outputs, base } = proposal;
        check_name(name)?;
        self.recover(name);
        let staged =
            Staged { new: self.beside(name, "new"), old: self.beside(name, "old"), place: self.folder(name) };
        for left in [&staged.new, &staged.old].into_iter().filter(|left| left.exists()) {
            fs::remove_dir_all(left).map_err(wrong(left))?;
        }
        for (kind, extension, texts) in
            [("tasks", "toml", tasks), ("outputs", "md", outputs), ("base", "toml", base)]
        {
            for (id, text) in texts {
                RelPath::parse_writable(&format!("{id}.{extension}"))
                    .map_err(|problem| Error::invalid(format!("the id `{id}`: {}", problem.message())))?;
                self.write(&staged.new.join(kind).join(format!("{id}.{extension}")), text.as_bytes())?;
            }
        }
        // Last: with it the folder is whole.
        let bytes = serde_json::to_vec_pretty(about).map_err(|error| Error::failed(error.to_string()))?;
        self.write(&staged.new.join("proposal.json"), &bytes)?;
        // What it takes the place of is removed when it counts.
        self.0.sync_written(true).map_err(wrong(&staged.new))?;
        Ok(staged)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let name = path.strip_prefix(self.0.meu()).map(|name| name.to_string_lossy().into_owned());
        self.0.write_meu(&name.unwrap_or_default(), bytes, Durability::Seen).map_err(wrong(path))
    }

    /// Beside a proposal's folder, where no proposal is looked for.
    fn beside(&self, name: &str, word: &str) -> PathBuf {
        self.0.meu().join("proposals").join(format!(".{name}.{word}"))
    }

    /// Completes an exchange of folders that was cut off.
    fn recover(&self, name: &str) {
        let folder = self.folder(name);
        let (new, old) = (self.beside(name, "new"), self.beside(name, "old"));
        if !folder.exists() {
            let whole = if new.join("proposal.json").is_file() { new } else { old };
            // What cannot be moved is told when it is read.
            let _ = fs::rename(whole, folder);
        }
    }

    /// Throws a proposal away, and what is known of what landed of it.
    pub fn drop(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        // What an exchange left would come back in its place.
        let left = [self.beside(name, "new"), self.beside(name, "old")];
        for folder in left.iter().filter(|folder| folder.exists()).chain([&self.folder(name)]) {
            fs::remove_dir_all(folder).map_err(wrong(folder))?;
        }
        Ok(())
    }
}

/// A proposal that is written, and does not count yet.
#[derive(Debug)]
pub struct Staged {
    new: PathBuf,
    old: PathBuf,
    place: PathBuf,
}

impl Staged {
    /// Lets it count: two renames, which [`Proposals::find`] completes if they are cut off.
    pub fn commit(self) -> Result<(), Error> {
        if self.place.exists() {
            fs::rename(&self.place, &self.old).map_err(wrong(&self.place))?;
        }
        super::write::fail_point("proposal").map_err(wrong(&self.place))?;
        fs::rename(&self.new, &self.place).map_err(wrong(&self.place))?;
        if self.old.exists() {
            fs::remove_dir_all(&self.old).map_err(wrong(&self.old))?;
        }
        Ok(())
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
