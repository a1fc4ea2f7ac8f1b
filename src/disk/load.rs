//! Loading a project: files to graph, lock, templates and shelf; all problems at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::WalkBuilder;
use walkdir::WalkDir;

use crate::context::{Shelf, check_prompts};
use crate::cores::{joined, on_all_cores};
use crate::diag::{Diagnostic, Error, Place, Severity, Sink, Source};
use crate::digest::Digest;
use crate::graph::{self, Graph};
use crate::lock::{Lock, Newer};
use crate::path::{RelPath, nfc};
use crate::plan::Failure;
use crate::request::Templates;
use crate::spec::{Config, Project, parse_config, parse_tasks};
use crate::text::Redactor;

use super::check::{check_globbed, check_output_folders, check_schemas, check_tracked};
use super::reload::Stamps;
use super::write::is_absent;
use super::{Began, DiskShelf, FILES_WORTH_A_THREAD, LockFile, Replay, Store, read_failures, replay};

/// Everything that a command needs of a project.
#[derive(Debug)]
pub struct Workspace {
    /// The project's folder.
    pub store: Arc<Store>,
    /// Its tasks and links.
    pub graph: Graph,
    /// The request's templates.
    pub templates: Templates,
    /// The records, with the journal laid over them.
    pub lock: Lock,
    /// The lock as it was read.
    pub lock_file: LockFile,
    /// What a run that was cut off left.
    pub replay: Replay,
    /// The failures of the last tries.
    pub failures: BTreeMap<String, Failure>,
    /// What is never stored or shown.
    pub redactor: Redactor,
    /// Documents and outputs.
    pub shelf: DiskShelf,
    /// What is odd but stops nothing.
    pub warnings: Vec<Diagnostic>,
    /// What was listed to find tasks and documents.
    pub listed: Listed,
}

/// What a person writes for all tasks.
pub const SETTINGS: [&str; 3] = ["meu.toml", "templates/system.txt", "templates/task.txt"];

/// What was listed to find tasks and documents: what is new there is new to the project.
#[derive(Debug, Default)]
pub struct Listed {
    /// When the project began to be read.
    pub began: Began,
    /// The files that tasks were read from, by their path from the project's folder.
    pub task_files: Vec<(String, PathBuf)>,
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// All of it as it was, if somebody wants to know whether it still is.
    pub(super) stamps: Option<Stamps>,
}

/// The folder of the project that `start` lies in: the nearest with a `meu.toml`, upwards.
pub fn find_project(start: &Path) -> Result<PathBuf, Error> {
    let start = start.canonicalize().map_err(|error| {
        Error::invalid(format!("the folder {} cannot be opened: {error}", start.display()))
    })?;
    let found = start.ancestors().find(|folder| folder.join("meu.toml").is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        Error::invalid(format!("no meu.toml in {} or any folder above it", start.display()))
            .help("`meu init` makes a project here; `-C DIR` looks elsewhere")
    })
}

/// Reads a text file that may be absent. The error does not name the file.
pub fn read_optional(path: &Path) -> Result<Option<String>, String> {
    read_text(path, std::fs::metadata(path))
}

/// The text of a file that says what the project is. Its lines are shown where they are wrong, so that no symlink may
/// lead it to what is not the project's, or is hidden.
pub(super) fn read_own(store: &Store, path: &Path) -> Result<Option<String>, String> {
    let meta = std::fs::symlink_metadata(path);
    if !meta.as_ref().is_ok_and(std::fs::Metadata::is_symlink) {
        return read_text(path, meta);
    }
    check_real(store, path)?;
    read_optional(path)
}

/// Whether a file or a folder that is there is one of the project.
fn check_real(store: &Store, path: &Path) -> Result<(), String> {
    let Ok(real) = path.canonicalize() else { return Ok(()) };
    let inside = real.strip_prefix(store.root()).map_err(|_| "a symlink leads it out of the project")?;
    let hidden = inside.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
    match real != path && hidden {
        true => Err("a symlink leads it to what is hidden".into()),
        false => Ok(()),
    }
}

fn read_text(path: &Path, meta: std::io::Result<std::fs::Metadata>) -> Result<Option<String>, String> {
    if meta.is_ok_and(|meta| !meta.is_file()) {
        return Err("it is not a file".into());
    }
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(match crate::text::normal(&text) {
                Cow::Borrowed(normal) if normal.len() == text.len() => text,
                normal => normal.into_owned(),
            })),
            Err(error) => Err(format!(
                "it is not UTF-8 text: the byte at offset {} is wrong",
                error.utf8_error().valid_up_to()
            )),
        },
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a file has the text of a digest. Most have it as it is, and need not be held in memory.
pub fn has_text(path: &Path, digest: Digest) -> bool {
    // Opening a pipe waits for somebody to write.
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let as_it_is = || File::open(path).and_then(Digest::of_all_in).is_ok_and(|now| now == digest);
    let normal = || read_optional(path).is_ok_and(|now| now.is_some_and(|now| Digest::of(now) == digest));
    is_file && (as_it_is() || normal())
}

/// Reads `meu.toml`. None if it cannot be read: what it says could be anything.
pub fn load_config(store: &Store, sink: &Sink) -> Option<Config> {
    let text = match read_own(store, &store.root().join("meu.toml")) {
        Ok(text) => text.unwrap_or_default(),
        Err(message) => {
            sink.push(Diagnostic::error(format!("`meu.toml` cannot be read: {message}")));
            return None;
        }
    };
    let source = Arc::new(Source { path: "meu.toml".into(), text });
    let mut config = parse_config(&source, sink);
    if config.name.is_empty() {
        // Not the folder's name: a clone elsewhere is the same project.
        config.name = "project".into();
    }
    Some(config)
}

/// Texts of task files that are not on disk yet, by path; `None` is a file that is about to go.
pub type Overlay = BTreeMap<String, Option<String>>;

/// Loads a project, or all that is wrong with it.
pub fn load(root: &Path) -> Result<Workspace, Error> {
    load_over(root, &Overlay::new())
}

/// Loads a project that may have no task yet.
pub fn load_or_empty(root: &Path) -> Result<Workspace, Error> {
    load_with(root, &Overlay::new(), true)
}

/// Loads a project as it would be with some task files changed.
pub fn load_over(root: &Path, overlay: &Overlay) -> Result<Workspace, Error> {
    load_with(root, overlay, false)
}

/// What takes out what is never stored or shown. The environment's keys are known from the start: programs see them,
/// too, whether or not a provider is asked.
pub(super) fn redactor_of(config: &Config) -> Redactor {
    let redactor = Redactor::new(&config.redact.patterns);
    for provider in config.providers.values().filter(|provider| provider.api.is_http()) {
        if let Some(key) = super::variable(&provider.api_key_env) {
            redactor.learn_key(key.trim());
        }
    }
    redactor
}

fn load_with(root: &Path, overlay: &Overlay, may_be_empty: bool) -> Result<Workspace, Error> {
    let store = Store::new(root).map_err(|error| {
        Error::invalid(format!("the folder {} cannot be opened: {error}", root.display()))
    })?;
    let store = Arc::new(store);
    let sink = Sink::default();
    let mut listed = Listed::default();
    check_tracked(&store, &sink);
    let Some(config) = load_config(&store, &sink) else { return Err(Error::from(sink.into_sorted())) };
    let redactor = redactor_of(&config);
    let (tasks, (lock_file, lock, lock_sink)) = std::thread::scope(|scope| {
        let lock = scope.spawn(|| {
            let sink = Sink::default();
            let (file, lock) = load_lock(&store, &sink);
            (file, lock, sink)
        });
        (load_tasks(&store, &config, overlay, &mut listed, &sink), joined(lock))
    });
    sink.absorb(lock_sink);
    if listed.task_files.is_empty() && !may_be_empty {
        sink.push(
            Diagnostic::error(format!("there is no task in `{}/`", config.tasks))
                .help("`meu new ID` writes a first one"),
        );
    }
    let templates = load_templates(&store, &config, &tasks, &sink);

    let project = Project { config, tasks };
    // Whatever a record names was written by meu: the outputs of tasks that are gone, that became
    // duplicates, or whose place was changed. Globs skip them all.
    let recorded = recorded(&lock);
    let files = walk_documents(&store, &graph::glob_bases(&project), &mut listed, &sink);
    let graph = graph::build(project, &files, &recorded, &sink);
    let known = HashMap::new();
    finish(Plan { store, graph, templates, lock, lock_file, redactor, listed, known }, sink)
}

/// What a project is, without its texts: all that task files, `meu.toml`, templates and lock say.
pub(super) struct Plan {
    pub(super) store: Arc<Store>,
    pub(super) graph: Graph,
    /// None if they cannot be read.
    pub(super) templates: Option<Templates>,
    pub(super) lock: Lock,
    pub(super) lock_file: LockFile,
    pub(super) redactor: Redactor,
    pub(super) listed: Listed,
    /// Of a part of a project: texts that are known to be as they were.
    pub(super) known: HashMap<RelPath, Option<Digest>>,
}

/// Looks at the texts of a project: the second half of loading it. `sink` has what was wrong so far.
pub(super) fn finish(plan: Plan, sink: Sink) -> Result<Workspace, Error> {
    let Plan { store, graph, templates, lock, lock_file, redactor, listed, known } = plan;
    let index = graph.config.index.clone();
    let made = graph
        .nodes()
        .map(|(_, node)| node.output.folded())
        .chain([index.folded(), "meu.lock".to_owned()])
        .collect();
    let disowned = match graph.root().is_none() {
        true => lock
            .tasks()
            .flat_map(|id| lock.records(id))
            .filter(|record| record.output == index.as_str())
            .filter_map(|record| record.built.as_ref().map(|built| built.blake3))
            .collect(),
        false => Vec::new(),
    };
    let shelf = match graph.is_part() {
        true => DiskShelf::of_part(store.clone(), index, made, known),
        false => DiskShelf::new(store.clone(), index, disowned, made),
    };
    check_prompts(&graph, &shelf, &sink);
    check_schemas(&graph, &shelf, &sink);
    if !graph.config.redact.patterns.is_empty() {
        // It would hold the words of what is never stored.
        shelf.keep_no_corpus();
    }
    check_globbed(&graph, &shelf, &sink);
    // Of a part the seal compares its stamp: it is long, and to read it would cost more than all else.
    let index = (!graph.is_part()).then(|| shelf.digest(&graph.config.index));
    if let Some(Err(error)) = index {
        sink.push(Diagnostic::error(format!("`{}` cannot be read: {error}", graph.config.index)));
    }
    check_output_folders(&store, &graph, &sink);
    let clean = |text: &str| redactor.clean(text).into_owned();
    let diagnostics: Vec<_> =
        sink.into_sorted().into_iter().map(|diagnostic| diagnostic.cleaned(&clean)).collect();
    let failed = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let (Some(templates), false) = (templates, failed) else {
        return Err(Error::from(diagnostics));
    };
    let mut workspace = Workspace {
        replay: replay(&store),
        failures: read_failures(&store),
        redactor,
        store,
        graph,
        templates,
        lock,
        lock_file,
        shelf,
        warnings: diagnostics,
        listed,
    };
    workspace.lay_journal_over();
    Ok(workspace)
}

/// The places of all records.
fn recorded(lock: &Lock) -> Vec<RelPath> {
    let records = lock.tasks().flat_map(|id| lock.records(id));
    records.filter_map(|record| RelPath::parse(&record.output).ok()).collect()
}

impl Workspace {
    /// The task files, each with the digest of what was read of it. `None` if one of them has no task.
    pub fn task_texts(&self) -> Option<Vec<(&Path, Digest)>> {
        let texts: HashMap<&str, &str> = self
            .graph
            .nodes()
            .map(|(_, node)| (node.task.id.source.path.as_str(), node.task.id.source.text.as_str()))
            .collect();
        let files = self.listed.task_files.iter();
        files.map(|(shown, path)| Some((path.as_path(), Digest::of(texts.get(shown.as_str())?)))).collect()
    }

    /// Whether there is more to tell of it than what its files say: warnings, which are told each time, or a journal.
    pub fn is_odd(&self) -> bool {
        !self.warnings.is_empty() || self.replay.found || self.replay.unreadable
    }

    /// What was read of a task file.
    pub fn task_text(&self, path: &str) -> Option<&str> {
        let mut sources = self.graph.nodes().map(|(_, node)| &node.task.id.source);
        sources.find(|source| source.path == path).map(|source| source.text.as_str())
    }

    /// The documents that some globs find; what is odd there comes to the warnings.
    pub fn documents(&mut self, globs: &[String]) -> Result<Vec<RelPath>, Error> {
        let bases = graph::outermost(globs.iter().map(|glob| graph::base_of(glob)).collect());
        let sink = Sink::default();
        let files = walk_documents(&self.store, &bases, &mut self.listed, &sink);
        self.warnings.extend(sink.into_sorted());
        graph::documents(&self.graph, &files, &recorded(&self.lock), globs).map_err(Error::invalid)
    }

    /// A record of the journal counts once the file is no longer what it was before: then the text was
    /// written, whatever a person did to it since. An empty file is what a power cut may leave of a text that was not
    /// on the medium yet: nobody has said yes to it.
    fn lay_journal_over(&mut self) {
        let empty = Some(Digest::of(""));
        for (record, before, writes) in &self.replay.records {
            let path = RelPath::parse(&record.output).ok();
            let on_disk = path.and_then(|path| self.shelf.digest(&path).ok()).flatten();
            let changed = *before != Some(*writes) && on_disk != *before && on_disk != empty;
            if on_disk == Some(*writes) || changed {
                self.lock.put(record.clone());
            }
        }
    }
}

/// The ids of the tasks of the project around a folder, as far as they can be read.
pub fn task_ids(folder: &Path) -> Result<Vec<String>, Error> {
    let root = find_project(folder)?;
    let store = Store::new(&root).map_err(|error| Error::invalid(error.to_string()))?;
    let sink = Sink::default();
    let Some(config) = load_config(&store, &sink) else { return Ok(Vec::new()) };
    let tasks = load_tasks(&store, &config, &Overlay::new(), &mut Listed::default(), &sink);
    Ok(tasks.into_iter().map(|task| task.id.value).collect())
}

fn load_tasks(
    store: &Store,
    config: &Config,
    overlay: &Overlay,
    listed: &mut Listed,
    sink: &Sink,
) -> Vec<crate::spec::Task> {
    let folder = store.full(&config.tasks);
    if let Err(message) = check_real(store, &folder) {
        sink.push(Diagnostic::error(format!("the folder `{}` cannot be read: {message}", config.tasks)));
        return Vec::new();
    }
    let mut files: Vec<(String, PathBuf)> = Vec::new();
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    for entry in WalkDir::new(&folder).into_iter().filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 && !folder.exists() => continue,
            Err(error) => {
                sink.push(Diagnostic::error(format!(
                    "the folder `{}` cannot be read: {error}",
                    config.tasks
                )));
                continue;
            }
        };
        let path = entry.path();
        // The first one may be a link to a folder.
        if entry.depth() == 0 || entry.file_type().is_dir() {
            listed.folders.push(path.to_owned());
        }
        if path.extension().is_none_or(|extension| extension != "toml") || entry.file_type().is_dir() {
            continue;
        }
        match path.strip_prefix(&folder).ok().and_then(Path::to_str) {
            Some(relative) => files.push((nfc(&relative.replace('\\', "/")), path.to_owned())),
            None => sink.push(Diagnostic::error(format!("the file name {} is not UTF-8", path.display()))),
        }
    }
    // What is there already, in whichever way its name is spelled, is what the overlay speaks of.
    let known: HashSet<&str> = files.iter().map(|(relative, _)| relative.as_str()).collect();
    let prefix = format!("{}/", config.tasks);
    let new = overlay.keys().filter_map(|path| Some((path.strip_prefix(&prefix)?, path)));
    let new = new.filter(|(relative, _)| !known.contains(relative));
    let new: Vec<(String, PathBuf)> =
        new.map(|(relative, path)| (relative.to_owned(), store.root().join(path))).collect();
    files.extend(new);
    files.sort();
    files.dedup_by(|a, b| {
        let twice = a.0 == b.0;
        if twice && a.1 != b.1 {
            sink.push(
                Diagnostic::error(format!(
                    "two files are `{}/{}`: their names differ in spelling alone",
                    config.tasks, a.0
                ))
                .help("rename one of them; accents can be one character or two"),
            );
        }
        twice
    });
    listed.task_files =
        files.iter().map(|(relative, path)| (format!("{}/{relative}", config.tasks), path.clone())).collect();
    read_tasks(store, &files, &config.tasks, overlay, sink)
}

/// The tasks in some files, by their paths in the folder of tasks.
pub(super) fn read_tasks(
    store: &Store,
    files: &[(String, PathBuf)],
    folder: &RelPath,
    overlay: &Overlay,
    sink: &Sink,
) -> Vec<crate::spec::Task> {
    let read = on_all_cores(files, FILES_WORTH_A_THREAD, |(relative, path)| {
        let sink = Sink::default();
        let shown = format!("{folder}/{relative}");
        let read = match overlay.get(&shown) {
            Some(None) => return (Vec::new(), sink),
            Some(Some(text)) => Ok(Some(text.clone())),
            None => read_own(store, path),
        };
        let tasks = match read {
            Ok(text) => {
                let source = Arc::new(Source { path: shown, text: text.unwrap_or_default() });
                parse_tasks(&source, relative.strip_suffix(".toml").unwrap_or(relative), &sink)
            }
            Err(message) => {
                sink.push(Diagnostic::error(format!("`{shown}` cannot be read: {message}")));
                Vec::new()
            }
        };
        (tasks, sink)
    });
    let mut tasks = Vec::with_capacity(files.len());
    for (some, problems) in read {
        tasks.extend(some);
        sink.absorb(problems);
    }
    tasks
}

/// The lock, and what it records.
fn load_lock(store: &Store, sink: &Sink) -> (LockFile, Lock) {
    let file = LockFile::read(store).unwrap_or_else(|message| {
        sink.push(Diagnostic::error(format!("`meu.lock` cannot be read: {message}")).help(
            "see that it is a file that you may read, or take it from git again: `git checkout -- meu.lock`",
        ));
        LockFile::empty(store)
    });
    let text = file.text().unwrap_or_default();
    let lock = Lock::parse(text).unwrap_or_else(|Newer(version)| {
        sink.push(
            Diagnostic::error(format!(
                "meu.lock has the format {version}, and this meu reads up to {}",
                crate::lock::VERSION
            ))
            .help("use the meu that wrote it, or a newer one"),
        );
        Lock::default()
    });
    // A file of another kind has no line that can be read: the first few tell as much as all.
    let (nobodys, most) = (lock.broken.iter().filter(|broken| broken.task.is_none()), 20);
    let more = nobodys.clone().count().saturating_sub(most);
    if more > 0 {
        sink.push(
            Diagnostic::error(format!("{more} more lines of meu.lock cannot be read"))
                .help("is it a lock at all? `git checkout -- meu.lock` takes it from git again"),
        );
    }
    for broken in nobodys.take(most) {
        let place = Place {
            file: "meu.lock".into(),
            line: broken.line,
            column: 1,
            source_line: broken.text.chars().take(100).collect(),
            width: 1,
        };
        sink.push(
            Diagnostic::error(format!(
                "this line of the lock cannot be read, not even whose it is: {}",
                broken.message
            ))
            .at(place)
            .help("take it from git again, or delete it: its task is then an edited one without a base"),
        );
    }
    (file, lock)
}

/// The request's templates, which may name the vars of the project and of tasks.
pub(super) fn load_templates(
    store: &Store,
    config: &Config,
    tasks: &[crate::spec::Task],
    sink: &Sink,
) -> Option<Templates> {
    let mut vars = config.vars.clone();
    vars.extend(tasks.iter().flat_map(|task| task.vars.clone()));
    let inside = |name: &str| {
        let path = store.root().join("templates").join(name);
        check_real(store, &path).and_then(|()| read_optional(&path))
    };
    let read = |name: &str| match inside(name) {
        Ok(text) => text,
        Err(message) => {
            sink.push(Diagnostic::error(format!("`templates/{name}` cannot be read: {message}")));
            None
        }
    };
    let (system, task) = (read("system.txt"), read("task.txt"));
    match Templates::new(system, task, &vars) {
        Ok(templates) => Some(templates),
        Err(trouble) => {
            sink.push(Diagnostic::error(trouble.message).maybe_help(trouble.help));
            None
        }
    }
}

/// The project's files below some folders, sorted: no hidden ones, none that git ignores.
fn walk_documents(store: &Store, bases: &[String], listed: &mut Listed, sink: &Sink) -> Vec<RelPath> {
    if bases.is_empty() {
        return Vec::new();
    }
    let root = store.root().to_owned();
    let in_git = super::repository(&root).is_some();
    let wanted: Vec<PathBuf> = bases.iter().map(|base| root.join(base.trim_end_matches('/'))).collect();
    let mut walk = WalkBuilder::new(&root);
    walk.hidden(true).git_global(false).git_exclude(false).ignore(false).require_git(in_git).parents(in_git);
    walk.filter_entry(move |entry| {
        let path = entry.path();
        wanted.iter().any(|base| path.starts_with(base) || base.starts_with(path))
    });
    let mut files = Vec::new();
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                sink.push(Diagnostic::warning(format!("a folder of documents cannot be read: {error}")));
                continue;
            }
        };
        if entry.file_type().is_none_or(|kind| kind.is_dir()) {
            listed.folders.push(entry.into_path());
            continue;
        }
        let relative = entry.path().strip_prefix(&root).ok();
        match relative.and_then(Path::to_str).map(|text| RelPath::parse(&text.replace('\\', "/"))) {
            Some(Ok(path)) => files.push(path),
            Some(Err(_)) | None => sink.push(Diagnostic::warning(format!(
                "{} is left out: its name is not UTF-8 or no path",
                entry.path().display()
            ))),
        }
    }
    files.sort();
    files
}
