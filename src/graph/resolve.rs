//! Names to tasks and documents: bare and relative ids, globs over ids, globs over documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::{Glob, GlobBuilder, GlobMatcher};

use super::Ix;
use crate::diag::{Diagnostic, did_you_mean};
use crate::path::{RelPath, nfc, to_top};
use crate::spec::{At, Config, Policy, Task};

/// Whether a name is a glob.
pub(super) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

/// What a glob finds.
pub(super) fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map(|glob: Glob| glob.compile_matcher())
        .map_err(|error| format!("the glob `{pattern}` cannot be read: {}", error.kind()))
}

/// The part of a pattern before its first wild part: a folder with its `/`, or empty.
fn literal_base(pattern: &str) -> &str {
    let wild = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    &pattern[..pattern[..wild].rfind('/').map_or(0, |at| at + 1)]
}

/// The folder that a document glob looks into, with its `/`, or empty.
pub fn base_of(glob: &str) -> String {
    literal_base(&nfc(glob.trim_start_matches("./"))).to_owned()
}

/// The folders that the document globs of a task look into.
pub fn glob_bases_of<'a>(task: &'a Task, policy: &'a Policy) -> impl Iterator<Item = String> + 'a {
    let searched = if policy.retrieve.k > 0 { &policy.retrieve.documents[..] } else { &[] };
    let named = task.inputs.iter().map(|input| crate::spec::split_heading(&input.value).0);
    named.filter(|name| is_glob(name)).chain(searched.iter().map(String::as_str)).map(base_of)
}

/// The folders that the document globs of a project look into, none inside another.
pub fn glob_bases(project: &crate::spec::Project) -> Vec<String> {
    let mut bases: BTreeSet<String> = BTreeSet::new();
    for task in &project.tasks {
        bases.extend(glob_bases_of(task, &task.policy.over(&project.config.policy)));
    }
    outermost(bases)
}

/// Folders without those that lie in another of them.
pub fn outermost(folders: BTreeSet<String>) -> Vec<String> {
    let mut outer: Vec<String> = Vec::new();
    for folder in folders {
        if !outer.iter().any(|known| folder.starts_with(known.as_str())) {
            outer.push(folder);
        }
    }
    outer
}

/// All ids, in order.
pub(super) struct Ids<'a> {
    by_name: BTreeMap<&'a str, Ix>,
    names: Vec<&'a str>,
    /// How many unknown ids were told.
    told: std::cell::Cell<usize>,
}

impl<'a> Ids<'a> {
    pub(super) fn new(tasks: &'a [Arc<Task>]) -> Self {
        Ids::of(tasks.iter().map(|task| task.id.value.as_str()).collect())
    }

    /// The ids of a graph, some of them renamed.
    pub(super) fn of_nodes(nodes: &'a [super::Node], renamed: &'a BTreeMap<String, String>) -> Self {
        Ids::of(nodes.iter().map(|node| renamed.get(node.id()).map_or(node.id(), String::as_str)).collect())
    }

    fn of(names: Vec<&'a str>) -> Self {
        Ids {
            by_name: names.iter().enumerate().map(|(at, id)| (*id, Ix(at))).collect(),
            names,
            told: Default::default(),
        }
    }

    /// A name that means a task in the file of the task `from`: its id, or a relative one where another
    /// task of that name is nearer.
    pub(super) fn name_from(&self, from: &str, id: &str) -> String {
        let wanted = self.by_name.get(id).copied();
        if self.one(from, id) == wanted {
            return id.to_owned();
        }
        format!("{}{id}", to_top(from))
    }

    /// The id of a number.
    pub(super) fn id(&self, ix: Ix) -> String {
        self.names[ix.0].to_owned()
    }

    /// The tasks that `name` may mean in the file of the task `from`, the nearest first.
    pub(super) fn all(&self, from: &str, name: &str) -> Vec<Ix> {
        let ids = candidates(from, &nfc(name));
        ids.iter().filter_map(|id| self.by_name.get(id.as_str()).copied()).collect()
    }

    /// The task that `name` means in the file of the task `from`.
    pub(super) fn one(&self, from: &str, name: &str) -> Option<Ix> {
        let found = self.all(from, name);
        let own = self.by_name.get(from);
        // A task's own name means another of that name further up, if there is one.
        found.iter().find(|ix| Some(*ix) != own).or(found.first()).copied()
    }

    /// The tasks that a glob means: those in the task's own folder, else those from the top.
    pub(super) fn glob(&self, from: &str, pattern: &str) -> Result<Vec<Ix>, String> {
        for pattern in candidates(from, &nfc(pattern)) {
            let matcher = matcher(&pattern)?;
            let base = literal_base(&pattern);
            let found: Vec<Ix> = self
                .by_name
                .range(base..)
                .take_while(|(id, _)| id.starts_with(base))
                .filter(|(id, _)| matcher.is_match(id))
                .map(|(_, ix)| *ix)
                .collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    pub(super) fn unknown(&self, link: &At<String>, name: &str) -> Diagnostic {
        // Looking for a near name costs a walk over all ids; a project with hundreds of unknown ones has
        // another problem.
        let told = self.told.get();
        self.told.set(told + 1);
        let known = self.by_name.keys().copied().filter(|_| told < 100);
        let help = did_you_mean(name.trim_start_matches("./").trim_start_matches("../"), known)
            .unwrap_or_else(|| {
                "a bare name is looked for in the task's own folder, then from the top".into()
            });
        Diagnostic::error(format!("no task `{name}`")).at(link.place()).help(help)
    }
}

/// The ids that a name may mean, the first that exists counts.
pub(super) fn candidates(from: &str, name: &str) -> Vec<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    if name.starts_with("./") || name.starts_with("../") {
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in name.split('/') {
            match part {
                "." | "" => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Vec::new();
                    }
                }
                part => parts.push(part),
            }
        }
        return vec![parts.join("/")];
    }
    if folder.is_empty() { vec![name.to_owned()] } else { vec![format!("{folder}/{name}"), name.to_owned()] }
}

/// The documents that globs may find.
pub(super) struct Documents<'a> {
    files: &'a [RelPath],
    config: &'a Config,
    /// By folded path: the task that writes it; one written before has none.
    written: BTreeMap<String, Option<Ix>>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(
        config: &'a Config,
        files: &'a [RelPath],
        recorded: &[RelPath],
        outputs: &[RelPath],
    ) -> Self {
        let gone = recorded.iter().map(|path| (path.folded(), None));
        let made = outputs.iter().enumerate().map(|(at, path)| (path.folded(), Some(Ix(at))));
        let written = gone.chain(made).collect();
        Documents { files, config, written }
    }

    /// Whether there is a file of this very name.
    pub(super) fn has(&self, name: &str) -> bool {
        RelPath::parse(name).is_ok_and(|path| self.files.binary_search(&path).is_ok())
    }

    /// The task whose output a path is.
    pub(super) fn writer(&self, path: &RelPath) -> Option<Ix> {
        self.written.get(&path.folded()).copied().flatten()
    }

    /// Why no request may hold this file, if so.
    pub(super) fn refused(&self, path: &RelPath) -> Option<&'static str> {
        self.config.refused(path)
    }

    pub(super) fn glob(&self, pattern: &str) -> Result<Vec<RelPath>, String> {
        let pattern = nfc(pattern.trim_start_matches("./"));
        if pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
            return Err(format!("the glob `{pattern}` leaves the project"));
        }
        let matcher = matcher(&pattern)?;
        let base = literal_base(&pattern);
        let start = self.files.partition_point(|path| path.as_str() < base);
        Ok(self.files[start..]
            .iter()
            .take_while(|path| path.as_str().starts_with(base))
            .filter(|path| matcher.is_match(path.as_str()) && !self.skipped(path))
            .cloned()
            .collect())
    }

    /// What globs leave out: all that meu writes or reads as its own.
    fn skipped(&self, path: &RelPath) -> bool {
        self.refused(path).is_some()
            || path.is_new_answer()
            || path.is_in(self.config.tasks.as_str())
            || (path.folder().is_empty() && path.name().starts_with("meu."))
            || self.written.contains_key(&path.folded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_near_first() {
        assert_eq!(candidates("a/b/c", "x"), ["a/b/x", "x"]);
        assert_eq!(candidates("a/b/c", "./x"), ["a/b/x"]);
        assert_eq!(candidates("a/b/c", "../x"), ["a/x"]);
        assert_eq!(candidates("a/b/c", "../../x/*"), ["x/*"]);
        assert_eq!(candidates("a/b/c", "../../../x"), [""; 0]);
        assert_eq!(candidates("c", "x"), ["x"]);
    }

    #[test]
    fn a_globs_base_is_its_literal_folder() {
        assert_eq!(literal_base("docs/**/*.md"), "docs/");
        assert_eq!(literal_base("do*"), "");
        assert_eq!(literal_base("a/b{c,d}/e"), "a/");
    }
}
