//! A sketch as task files: ids, links by id, and what is done as an output of a person's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use toml_edit::{Array, DocumentMut, Item, Value};

use super::name::{slug, unused};
use super::{Part, Sketch};

/// Where a sketch is to go.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The folder of its tasks, an id; the top if empty. With a title of its own it is a big task there.
    pub into: String,
    /// Whether the folder's own task comes with it.
    pub head: bool,
    /// Whether the project has room for a root task.
    pub root: bool,
    /// The ids of the tasks that the project has.
    pub known: BTreeSet<String>,
}

/// A task file that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The task's id.
    pub id: String,
    /// Its file's text.
    pub text: String,
    /// The text of an output that is there already.
    pub output: Option<String>,
}

/// What is told of each part on the walk.
struct Walk<'a> {
    place: &'a Place,
    /// Ids by what links may call a part: its key, its id, the name that its title gives.
    names: HashMap<String, String>,
    /// The parts in order, each with its id and that of the big task that it is in.
    flat: Vec<(String, &'a Part)>,
    /// What each dropped part requires: whoever requires it requires that.
    dropped: HashMap<String, Vec<String>>,
    left: Vec<String>,
}

/// The task files of a sketch, and what could not be carried over.
pub fn task_files(sketch: &Sketch, place: &Place) -> (Vec<Proposed>, Vec<String>) {
    let mut walk = Walk {
        place,
        names: HashMap::new(),
        flat: Vec::new(),
        dropped: HashMap::new(),
        left: sketch.left.clone(),
    };
    let with_root = place.root && place.into.is_empty();
    let mut taken: BTreeSet<String> =
        if with_root { BTreeSet::from(["root".into()]) } else { BTreeSet::new() };
    let top = walk.name(&sketch.parts, &place.into, &mut taken);
    let mut files = Vec::new();
    if with_root {
        let mut root = Table::new(&sketch.title);
        match &sketch.root {
            Some(prompt) => root.text("prompt", &untemplated(prompt)),
            None => {
                root.text("prompt", &untemplated(format!("# {}\n\n{}", sketch.title, sketch.intro).trim()));
                root.text("run", "template");
            }
        }
        root.set("root", true.into());
        files.push(Proposed { id: "root".into(), text: root.into_text(), output: None });
    }
    if place.head && !place.into.is_empty() {
        let mut head = Table::new(&sketch.title);
        if !sketch.intro.is_empty() {
            head.text("prompt", &untemplated(&sketch.intro));
        }
        head.list("requires", top.iter().map(|id| near(&place.into, id)));
        head.text("run", "assemble");
        files.push(Proposed { id: place.into.clone(), text: head.into_text(), output: None });
    }
    files.extend(walk.files());
    (files, walk.left)
}

impl<'a> Walk<'a> {
    /// Gives the parts of a folder their ids, and tells those that become tasks.
    fn name(&mut self, parts: &'a [Part], folder: &str, taken: &mut BTreeSet<String>) -> Vec<String> {
        let mut ids = Vec::new();
        for part in parts {
            let name = part.name.as_deref().map_or_else(|| slug(&part.title), slug_of_name);
            let name = unused(name, taken);
            taken.insert(name.clone());
            let id = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            for alias in [&part.key, &id, &slug(&part.title)] {
                self.names.entry(alias.clone()).or_insert_with(|| id.clone());
            }
            if part.done.as_deref() == Some("") {
                self.left.push(format!("\"{}\" is done, and has no text", part.title));
                self.dropped.insert(id, part.requires.clone());
                continue;
            }
            self.flat.push((id.clone(), part));
            self.name(&part.parts, &id, &mut BTreeSet::new());
            ids.push(id);
        }
        ids
    }

    /// The ids that some names mean, each once; what nothing is called by is told.
    fn resolve(&mut self, from: &str, names: &[String], depth: usize) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for name in names {
            let found = self.names.get(name).or_else(|| self.names.get(&slug(name))).cloned();
            // A task of the project, perhaps one section of its output.
            let known = || self.place.known.contains(crate::spec::split_heading(name).0);
            let found = found.or_else(|| known().then(|| name.clone()));
            let more = match found {
                // Its parts are in it already, and it cannot wait for what it is a part of.
                Some(id) if id == from || from.starts_with(&format!("{id}/")) => Vec::new(),
                Some(id) => match self.dropped.get(&id).cloned() {
                    Some(instead) if depth < 100 => self.resolve(from, &instead, depth + 1),
                    Some(_) => Vec::new(),
                    None => vec![id],
                },
                None => {
                    self.left.push(format!("`{from}` names `{name}`, and nothing here is called so"));
                    Vec::new()
                }
            };
            ids.extend(more.into_iter().filter(|id| *id != from));
        }
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        ids
    }

    fn files(&mut self) -> Vec<Proposed> {
        let flat = self.flat.clone();
        let is_big: BTreeSet<&str> =
            flat.iter().filter_map(|(id, _)| id.rsplit_once('/').map(|(folder, _)| folder)).collect();
        let mut requires: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, part) in &flat {
            let mut own = self.resolve(id, &part.requires, 0);
            // What a big task waits for its first parts wait for: it only joins their outputs.
            if let Some((folder, _)) = id.rsplit_once('/')
                && let Some(above) = requires.get(folder)
                && !own.iter().any(|other| other.rsplit_once('/').is_some_and(|(other, _)| other == folder))
            {
                own.extend(above.iter().filter(|above| !own.contains(above)).cloned().collect::<Vec<_>>());
            }
            requires.insert(id.clone(), own);
        }
        let places = places(&flat);
        let mut files = Vec::new();
        for (id, part) in &flat {
            let mut table = Table::new(&part.title);
            table.text("prompt", &untemplated(&part.prompt));
            let children = || {
                flat.iter().filter(|(other, _)| parent(other) == Some(id)).map(|(other, _)| near(id, other))
            };
            let big = is_big.contains(id.as_str());
            if big {
                table.list("requires", children());
            } else if part.done.is_none() {
                table.list("requires", requires.get(id).into_iter().flatten().map(|other| near(id, other)));
                let refers = self.resolve(id, &part.refers, 0);
                table.list("refers", refers.iter().map(|other| near(id, other)));
                table.list("inputs", part.inputs.iter().cloned());
            }
            if let Some(priority) =
                part.priority.or(places.get(id).copied()).filter(|priority| *priority != 100)
            {
                table.set("priority", priority.into());
            }
            table.list("tags", part.tags.iter().cloned());
            match (big, &part.done) {
                (true, _) => table.text("run", "assemble"),
                (false, Some(_)) => table.text("run", "manual"),
                (false, None) => {}
            }
            let output = part.done.clone().filter(|_| !big);
            files.push(Proposed { id: id.clone(), text: table.into_text(), output });
        }
        files
    }
}

/// Priorities that keep the source's order, where it has none of its own.
fn places(flat: &[(String, &Part)]) -> HashMap<String, i64> {
    let mut folders: BTreeMap<Option<&str>, Vec<&(String, &Part)>> = BTreeMap::new();
    for entry in flat {
        folders.entry(parent(&entry.0)).or_default().push(entry);
    }
    let bare =
        folders.into_values().filter(|siblings| siblings.iter().all(|(_, part)| part.priority.is_none()));
    let placed = bare.flat_map(|siblings| siblings.into_iter().zip(1..));
    placed.map(|((id, _), place)| (id.clone(), 10 * place)).collect()
}

fn parent(id: &str) -> Option<&str> {
    id.rsplit_once('/').map(|(folder, _)| folder)
}

/// A name that a source gives, made fit to be a part of an id.
fn slug_of_name(name: &str) -> String {
    let fits = !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['.', '-'])
        && !crate::path::is_reserved(name);
    if fits { name.to_owned() } else { slug(name) }
}

/// How one task names another: by its last part alone, where both are in one folder.
fn near(from: &str, to: &str) -> String {
    match (parent(from), to.rsplit_once('/')) {
        (Some(folder), Some((other, name))) if folder == other => name.to_owned(),
        _ => to.to_owned(),
    }
}

/// A plain text as a prompt, which is a template.
pub(super) fn untemplated(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        safe.push_str(&rest[..at]);
        safe.push_str(&format!("{{{{ '{}' }}}}", &rest[at..at + 2]));
        rest = &rest[at + 2..];
    }
    safe.push_str(rest);
    safe
}

/// The text of a task file in the making.
struct Table(DocumentMut);

impl Table {
    fn new(title: &str) -> Self {
        let mut table = Table(DocumentMut::new());
        // A line end in it would be one in headings.
        table.text("title", &title.split_whitespace().collect::<Vec<_>>().join(" "));
        table
    }

    fn set(&mut self, key: &str, value: Value) {
        self.0.insert(key, Item::Value(value));
    }

    fn text(&mut self, key: &str, text: &str) {
        if text.contains('\n') && key == "prompt" {
            self.set(key, format!("{}\n", text.trim_end()).into());
        } else {
            self.set(key, text.into());
        }
    }

    fn list(&mut self, key: &str, texts: impl Iterator<Item = String>) {
        let mut array: Array = texts.collect();
        if array.is_empty() {
            return;
        }
        if array.to_string().len() > 90 {
            array.iter_mut().for_each(|value| value.decor_mut().set_prefix("\n  "));
            array.set_trailing("\n");
            array.set_trailing_comma(true);
        }
        self.set(key, Value::Array(array));
    }

    fn into_text(self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::read_markdown;

    #[test]
    fn a_sketch_becomes_files_with_links_by_id() {
        let sketch = read_markdown(
            "p.md",
            "# P\n\nAbout {{ it }}.\n\n## Phase 1\nGoal: x\n\n1. One: do\n2. Two\n\n## Phase 2 (done)\n\n## Phase 3\n- Three (after: One)\n",
            false,
        );
        let place = Place { root: true, ..Place::default() };
        let (files, left) = task_files(&sketch, &place);
        let found: Vec<(&str, &str)> =
            files.iter().map(|file| (file.id.as_str(), file.text.as_str())).collect();
        assert_eq!(
            found,
            [
                (
                    "root",
                    "title = \"P\"\nprompt = \"\"\"\n# P\n\nAbout {{ '{{' }} it }}.\n\"\"\"\nrun = \"template\"\nroot = true\n"
                ),
                (
                    "phase-1",
                    "title = \"Phase 1\"\nprompt = \"Goal: x\"\nrequires = [\"phase-1/one\", \"phase-1/two\"]\npriority = 10\nrun = \"assemble\"\n"
                ),
                ("phase-1/one", "title = \"One\"\nprompt = \"One: do\"\npriority = 10\n"),
                ("phase-1/two", "title = \"Two\"\nprompt = \"Two\"\nrequires = [\"one\"]\npriority = 20\n"),
                (
                    "phase-3",
                    "title = \"Phase 3\"\nprompt = \"Phase 3\"\nrequires = [\"phase-3/three\"]\npriority = 20\nrun = \"assemble\"\n"
                ),
                (
                    "phase-3/three",
                    "title = \"Three\"\nprompt = \"Three\"\nrequires = [\"phase-1/one\", \"phase-1\"]\npriority = 10\n"
                ),
            ]
        );
        assert_eq!(left, ["\"Phase 2\" is done, and has no text"]);
    }

    #[test]
    fn names_that_nothing_has_are_told() {
        let sketch = read_markdown("p.md", "- [ ] A (after: nobody, known/x)\n- [x] B: was done\n", false);
        let place = Place {
            into: "plan".into(),
            head: true,
            known: BTreeSet::from(["known/x".into()]),
            ..Place::default()
        };
        let (files, left) = task_files(&sketch, &place);
        assert_eq!(left, ["`plan/a` names `nobody`, and nothing here is called so"]);
        assert_eq!(files[0].text, "title = \"P\"\nrequires = [\"plan/a\", \"plan/b\"]\nrun = \"assemble\"\n");
        assert_eq!(files[1].text, "title = \"A\"\nprompt = \"A\"\nrequires = [\"known/x\"]\npriority = 10\n");
        assert_eq!(
            files[2].text,
            "title = \"B\"\nprompt = \"B: was done\"\npriority = 20\nrun = \"manual\"\n"
        );
        assert_eq!(files[2].output.as_deref(), Some("# B\n\nB: was done"));
    }

    proptest::proptest! {
        #[test]
        fn a_prompt_renders_to_the_text_that_it_came_from(text in "[{}%#'a \n-]{0,40}") {
            let rendered = minijinja::Environment::new().render_str(&untemplated(&text), ()).expect("it renders");
            // minijinja takes one line end off the end of a template.
            proptest::prop_assert_eq!(rendered, text.strip_suffix('\n').unwrap_or(&text));
        }
    }
}
