//! A sketch as task files: ids, links by id, and what is done as an output of a person's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use toml_edit::{Array, DocumentMut, Item, Value};

use super::name::{slug, unused};
use super::{Part, Sketch, all_done};

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
    /// Those of them that a person writes.
    pub manual: BTreeSet<String>,
    /// Those that an earlier proposal of the same plan brought.
    pub known_before: BTreeSet<String>,
    /// The ids that it gave to what the source has a name of its own for.
    pub ids: BTreeMap<String, String>,
    /// The prompts that it gave, by id: by these, items of one title are told apart.
    pub prompts: BTreeMap<String, String>,
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
    /// Ids by the keys of the source.
    keys: HashMap<String, String>,
    /// Ids by the name that a title gives.
    titles: HashMap<String, Vec<String>>,
    /// The parts in order: the id, the part, and whether it is done.
    flat: Vec<(String, &'a Part, bool)>,
    /// Their ids.
    ids: BTreeSet<String>,
    /// What each dropped part requires: whoever requires it requires that.
    dropped: HashMap<String, Vec<String>>,
    left: Vec<String>,
}

/// The task files of a sketch, and what could not be carried over.
pub fn task_files(sketch: &Sketch, place: &Place) -> (Vec<Proposed>, Vec<String>) {
    let (files, left, _) = named_files(sketch, place);
    (files, left)
}

/// As [`task_files`], with the ids by the source's own names.
pub fn named_files(sketch: &Sketch, place: &Place) -> (Vec<Proposed>, Vec<String>, BTreeMap<String, String>) {
    let mut walk = Walk {
        place,
        keys: HashMap::new(),
        titles: HashMap::new(),
        flat: Vec::new(),
        ids: BTreeSet::new(),
        dropped: HashMap::new(),
        left: sketch.left.clone(),
    };
    let as_prompt = |text: &str| if sketch.is_template { text.to_owned() } else { untemplated(text) };
    let with_root = place.root && place.into.is_empty();
    let mut taken: BTreeSet<String> =
        if with_root { BTreeSet::from(["root".into()]) } else { BTreeSet::new() };
    let top = walk.name(&sketch.parts, &place.into, &mut taken);
    let mut files = Vec::new();
    if with_root {
        let mut root = Table::new(&sketch.title);
        match &sketch.root {
            Some(prompt) => root.text("prompt", &as_prompt(prompt)),
            None => {
                root.text("prompt", &as_prompt(format!("# {}\n\n{}", sketch.title, sketch.intro).trim()));
                root.text("run", "template");
            }
        }
        root.set("root", true.into());
        files.push(Proposed { id: "root".into(), text: root.into_text(), output: None });
    }
    if place.head && !place.into.is_empty() {
        let mut head = Table::new(&sketch.title);
        if !sketch.intro.is_empty() {
            head.text("prompt", &as_prompt(&sketch.intro));
        }
        head.list("requires", top.iter().map(|id| walk.near(&place.into, id)));
        head.text("run", "assemble");
        files.push(Proposed { id: place.into.clone(), text: head.into_text(), output: None });
    }
    files.extend(walk.files(&as_prompt));
    // Lines and places in a list are no names.
    let ids = walk.keys.into_iter().filter(|(key, _)| !key.contains('#')).collect();
    (files, walk.left, ids)
}

impl<'a> Walk<'a> {
    /// Gives the parts of a folder their ids, and tells those that become tasks.
    fn name(&mut self, parts: &'a [Part], folder: &str, taken: &mut BTreeSet<String>) -> Vec<String> {
        let mut ids = Vec::new();
        // What had a name before keeps it, whatever stands around it now.
        let slugs: Vec<String> = parts.iter().map(slug_of).collect();
        let mut same: HashMap<&str, Vec<&Part>> = HashMap::new();
        for (slug, part) in slugs.iter().zip(parts) {
            same.entry(slug).or_default().push(part);
        }
        let kept: Vec<Option<String>> = parts
            .iter()
            .zip(&slugs)
            .map(|(part, slug)| self.name_before(part, slug, &same[slug.as_str()], folder))
            .collect();
        taken.extend(kept.iter().flatten().map(|name| name.to_lowercase()));
        for (part, kept) in parts.iter().zip(kept) {
            let name = kept.unwrap_or_else(|| unused(slug_of(part), taken));
            taken.insert(name.to_lowercase());
            let id = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if let Some(other) = self.keys.insert(part.key.clone(), id.clone()) {
                self.left.push(format!("`{other}` and `{id}` are both called {:?} in the source", part.key));
            }
            self.titles.entry(slug(&part.title)).or_default().push(id.clone());
            // What is a task already stays one, with its output and its record, when it is ticked.
            let known = self.place.known.contains(&id) && !self.place.manual.contains(&id);
            let done = part.done.is_some() && all_done(&part.parts) && !known;
            if part.done.is_some() && !done && !known {
                self.left.push(format!("\"{}\" is done, but not all of its parts are", part.title));
            }
            if done && part.done.as_deref() == Some("") && !self.place.known.contains(&id) {
                self.left.push(format!("\"{}\" is done, and has no text", part.title));
                self.forget(&part.parts, &id);
                self.dropped.insert(id, part.requires.clone());
                continue;
            }
            self.flat.push((id.clone(), part, done));
            self.ids.insert(id.clone());
            if done {
                // Its parts are told by its own text.
                self.forget(&part.parts, &id);
            } else {
                self.name(&part.parts, &id, &mut BTreeSet::new());
            }
            ids.push(id);
        }
        ids
    }

    /// The name that a part had in an earlier proposal: by the source's own name for it, or, of several with one
    /// title, the `same`, by its prompt.
    fn name_before(&self, part: &Part, own: &str, same: &[&Part], folder: &str) -> Option<String> {
        let in_folder = |id: &str| match (parent(id), folder) {
            (None, "") => Some(id.to_owned()),
            (Some(above), folder) if above == folder => id.rsplit('/').next().map(str::to_owned),
            _ => None,
        };
        if let Some(name) = self.place.ids.get(&part.key).and_then(|id| in_folder(id)) {
            return Some(name);
        }
        let number = |name: &str| name.strip_prefix(own)?.strip_prefix('-')?.parse::<usize>().ok();
        let first = if folder.is_empty() { own.to_owned() } else { format!("{folder}/{own}") };
        let alike = self.place.prompts.range(first.clone()..).take_while(|(id, _)| id.starts_with(&first));
        let before = alike.filter_map(|(id, prompt)| Some((in_folder(id)?, prompt)));
        let mut before: Vec<(String, &String)> =
            before.filter(|(name, _)| name == own || number(name).is_some()).collect();
        before.sort_by_key(|(name, _)| number(name));
        let alike = same.iter().filter(|other| other.prompt == part.prompt).count();
        if same.len().max(before.len()) < 2 || alike > 1 {
            return None;
        }
        let words = [Some(&part.prompt), part.unlinked.as_ref()];
        let prompts: Vec<String> = words.into_iter().flatten().map(|text| untemplated(text)).collect();
        let was = |known: &str| prompts.iter().any(|prompt| prompt.trim_end() == known.trim_end());
        before.into_iter().find(|(_, known)| was(known)).map(|(name, _)| name)
    }

    /// Lets the names of parts mean the task that they went into.
    fn forget(&mut self, parts: &[Part], into: &str) {
        for part in parts {
            self.keys.insert(part.key.clone(), into.to_owned());
            self.forget(&part.parts, into);
        }
    }

    /// The id that a name means: an id of the project after a `/`, a key of the source, an id, or a title, a sibling's
    /// first.
    fn find(&self, from: &str, name: &str) -> Option<String> {
        let is_known = |name: &str| self.has(crate::spec::split_heading(name).0);
        if let Some(id) = name.strip_prefix('/').filter(|id| is_known(id)) {
            return Some(id.to_owned());
        }
        if let Some(id) = self.keys.get(name) {
            return Some(id.clone());
        }
        // A task of the project, perhaps one section of its output.
        if is_known(name) {
            return Some(name.to_owned());
        }
        let called = self.titles.get(&slug(name))?;
        let own: Vec<&String> = called.iter().filter(|id| parent(id) == parent(from)).collect();
        match (own.as_slice(), called.as_slice()) {
            ([id], _) => Some((*id).clone()),
            (_, [id]) => Some(id.clone()),
            _ => None,
        }
    }

    /// The ids that some names mean, each once; what no task, or more than one, is called by is told.
    fn resolve(&mut self, from: &str, names: &[String], depth: usize) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for name in names {
            match self.find(from, name) {
                Some(id) if id == from => self.left.push(format!("`{from}` names itself")),
                Some(id) if from.starts_with(&format!("{id}/")) => {
                    self.left.push(format!("`{from}` names `{id}`, which it is a part of"));
                }
                Some(id) => match self.dropped.get(&id).cloned() {
                    Some(instead) if depth < 100 => ids.extend(self.resolve(from, &instead, depth + 1)),
                    Some(_) => {}
                    None => ids.push(id),
                },
                None => {
                    let several = self.titles.get(&slug(name)).map_or(0, Vec::len);
                    let called =
                        if several > 1 { "several tasks are called so" } else { "nothing here is called so" };
                    self.left.push(format!("`{from}` names `{name}`, and {called}"));
                }
            }
        }
        let mut seen = BTreeSet::new();
        ids.retain(|id| id != from && seen.insert(id.clone()));
        ids
    }

    /// How one task names another: by its last part alone, where both are in one folder; from the top, where its own
    /// folder has another of that name.
    fn near(&self, from: &str, to: &str) -> String {
        let bare = crate::spec::split_heading(to).0;
        match parent(from) {
            Some(folder) if parent(bare) == Some(folder) => to[folder.len() + 1..].to_owned(),
            Some(folder) if self.has(&format!("{folder}/{bare}")) => {
                format!("{}{to}", crate::path::to_top(from))
            }
            _ => to.to_owned(),
        }
    }

    /// Whether there is a task of that id, or one will be.
    fn has(&self, id: &str) -> bool {
        self.place.known.contains(id) || self.ids.contains(id)
    }

    fn files(&mut self, as_prompt: &dyn Fn(&str) -> String) -> Vec<Proposed> {
        let flat = self.flat.clone();
        let is_big: BTreeSet<&str> = flat.iter().filter_map(|(id, ..)| parent(id)).collect();
        let mut own: Vec<(String, Vec<String>)> = Vec::new();
        // Words stay where they are unless all of them are links.
        let mut prompts: HashMap<&str, &str> = HashMap::new();
        for (id, part, _) in &flat {
            let told = self.left.len();
            own.push((id.clone(), self.resolve(id, &part.requires, 0)));
            let words = part.unlinked.as_ref().filter(|_| self.left.len() > told);
            prompts.insert(id, words.unwrap_or(&part.prompt));
        }
        let mut requires: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, mut links) in own.clone() {
            // What a big task waits for its first parts wait for: it only joins their outputs.
            if let Some(above) = parent(&id).and_then(|folder| requires.get(folder))
                && !links.iter().any(|other| parent(other) == parent(&id))
            {
                // Not what waits for this very part.
                let waits = |other: &str| {
                    let below = format!("{other}/");
                    own.iter()
                        .any(|(one, links)| (one == other || one.starts_with(&below)) && links.contains(&id))
                };
                let more: Vec<String> =
                    above.iter().filter(|above| !links.contains(above) && !waits(above)).cloned().collect();
                links.extend(more);
            }
            requires.insert(id, links);
        }
        let places = places(&flat);
        let mut files = Vec::new();
        for (id, part, done) in &flat {
            let mut table = Table::new(&part.title);
            table.text("prompt", &as_prompt(prompts[id.as_str()]));
            let big = is_big.contains(id.as_str());
            if big {
                let own = flat.iter().map(|(other, ..)| other).filter(|other| parent(other) == Some(id));
                table.list("requires", own.map(|other| self.near(id, other)));
                for (word, what) in [("refers", &part.refers), ("inputs", &part.inputs)] {
                    if !what.is_empty() {
                        let what = what.join(", ");
                        self.left.push(format!("`{id}` joins its parts, so its `{word}` go nowhere: {what}"));
                    }
                }
            } else {
                table.list(
                    "requires",
                    requires.get(id).into_iter().flatten().map(|other| self.near(id, other)),
                );
                let refers = self.resolve(id, &part.refers, 0);
                table.list("refers", refers.iter().map(|other| self.near(id, other)));
                table.list("inputs", part.inputs.iter().cloned());
            }
            let priority = part.priority.or(places.get(id).copied());
            if let Some(priority) = priority.filter(|priority| *priority != 100) {
                table.set("priority", priority.into());
            }
            table.list("tags", part.tags.iter().cloned());
            match (big, done, part.run) {
                (true, ..) => table.text("run", "assemble"),
                (false, true, _) => table.text("run", "manual"),
                (false, false, Some(run)) => table.text("run", run),
                (false, false, None) => {}
            }
            let output = part.done.clone().filter(|text| *done && !text.is_empty());
            files.push(Proposed { id: id.clone(), text: table.into_text(), output });
        }
        files
    }
}

/// Priorities that keep the source's order, where it has none of its own.
fn places(flat: &[(String, &Part, bool)]) -> HashMap<String, i64> {
    let mut folders: BTreeMap<Option<&str>, Vec<&(String, &Part, bool)>> = BTreeMap::new();
    for entry in flat {
        folders.entry(parent(&entry.0)).or_default().push(entry);
    }
    let bare =
        folders.into_values().filter(|siblings| siblings.iter().all(|(_, part, _)| part.priority.is_none()));
    let placed = bare.flat_map(|siblings| siblings.into_iter().zip(1..));
    placed.map(|((id, ..), place)| (id.clone(), 10 * place)).collect()
}

/// The last part of a task's id, before it is made one that nobody else has.
fn slug_of(part: &Part) -> String {
    part.name.as_deref().map_or_else(|| slug(&part.title), slug_of_name)
}

fn parent(id: &str) -> Option<&str> {
    id.rsplit_once('/').map(|(folder, _)| folder)
}

/// The most bytes of a name that a source gives: with its ending, and a number, it is to be a file's.
const LONGEST_NAME: usize = 200;

/// A name that a source gives, made fit to be a part of an id.
fn slug_of_name(name: &str) -> String {
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && !crate::path::is_new_name(name)
        && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['.', '-'])
        && !crate::path::is_reserved(name);
    if fits { name.to_owned() } else { slug(name) }
}

/// What begins something that is no text in a template.
pub(super) const OPENINGS: [&str; 3] = ["{{", "{%", "{#"];

/// A plain text as a prompt, which is a template.
pub(super) fn untemplated(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = OPENINGS.iter().filter_map(|open| rest.find(open)).min() {
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
        assert_eq!(
            files[1].text,
            "title = \"A\"\nprompt = \"A (after: nobody, known/x)\"\nrequires = [\"known/x\"]\npriority = 10\n"
        );
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
