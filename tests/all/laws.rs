//! The laws, over random projects, random edits and random `-j`, in this process.
//!
//! A project is drawn from a small pool of ids, documents and prompts, so that edits meet. The model is
//! the offline drafter. What a run may ask is predicted from digests alone: the requests recorded
//! before and after it, and those that were ever answered.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use meu::context::Shelf;
use meu::digest::Digest;
use meu::disk::{self, Workspace};
use meu::event::{Event, Outcome};
use meu::graph::Ix;
use meu::lock::Lock;
use meu::provider::Providers;
use meu::run::{self, Options, Ran};
use proptest::prelude::*;

use crate::house::{files, folder};
use crate::seal::{apply, step};

/// Ids in an order in which `requires` never closes a circle: each requires earlier ones only.
pub(super) const IDS: [&str; 9] = ["a", "b", "p/x", "p/y", "p", "q/r/s", "q/t", "q", "z"];
pub(super) const DOCS: [&str; 4] = ["docs/one.md", "docs/two.md", "notes/three.md", "four.txt"];
pub(super) const TEXTS: [&str; 6] = [
    "# Kettles\n\nThe kettle boils water in four minutes. It must never run dry.\n\n## Care\n\nRinse it weekly.\n",
    "# Kettles\n\nThe kettle boils water in five minutes. It must never run dry.\n\n## Care\n\nRinse it weekly.\n",
    "The river rises in spring. Boats then need longer ropes, and the bridge is closed for carts.\n",
    "- one item about ropes\n- another about the bridge\n\n| a | b |\n| - | - |\n| 1 | 2 |\n",
    "",
    "Ein Satz über Wasser. 水は四分で沸く。川は春に増水する。\n",
];
pub(super) const PROMPTS: [&str; 4] = [
    "Say how long the kettle boils water.",
    "Say how long the kettle boils water, and what care it needs.",
    "Describe the bridge and the ropes for {{ vars.audience }}.",
    "Sum up what is known of water.\n\nIn one paragraph.",
];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Model,
    Template,
    Assemble,
}

#[derive(Clone, Debug)]
pub(super) struct TaskSpec {
    kind: Kind,
    prompt: usize,
    requires: BTreeSet<usize>,
    refers: BTreeSet<usize>,
    inputs: BTreeSet<usize>,
    glob: bool,
    pin: Option<usize>,
    siblings: usize,
    priority: i64,
    item_max: usize,
    /// How many passages are searched for, and out of whose outputs.
    retrieve: (usize, usize),
    gate: Gate,
}

/// What else than a request decides whether a task is done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gate {
    None,
    /// A person approves of its output.
    Approval,
    /// Its answer must have a word, which not every answer has.
    Expect,
    /// A person writes its output.
    Manual,
    /// It stands for an earlier task.
    Duplicates(usize),
}

const SEARCHED: [&str; 3] = ["upstream", "earlier", "documents"];

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) root: Option<usize>,
    tasks: BTreeMap<usize, TaskSpec>,
    pub(super) docs: BTreeMap<usize, usize>,
    audience: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Doc(usize, usize),
    DocGone(usize),
    Touch(usize),
    Crlf(usize),
    Prompt(usize, usize),
    Requires(usize, usize),
    Refers(usize, usize),
    Task(usize, TaskSpec),
    TaskGone(usize),
    OutputGone(usize),
    Root(Option<usize>),
    Audience(usize),
    Priority(usize, i64),
    Unread,
    StateGone,
    StateDamaged,
    CorpusGone,
}

fn subset(n: usize, most: usize) -> impl Strategy<Value = BTreeSet<usize>> {
    prop::collection::btree_set(0..n, 0..=most)
}

pub(super) fn task() -> impl Strategy<Value = TaskSpec> {
    let kind = prop_oneof![4 => Just(Kind::Model), 1 => Just(Kind::Template), 1 => Just(Kind::Assemble)];
    let links = (subset(IDS.len(), 3), subset(IDS.len(), 2), subset(DOCS.len(), 2));
    let rest = (
        any::<bool>(),
        prop::option::weighted(0.2, 0..DOCS.len()),
        0usize..3,
        -1i64..3,
        prop_oneof![Just(90usize), Just(400), Just(4000)],
        prop_oneof![2 => Just((0usize, 0usize)), 1 => (1usize..4, 0..SEARCHED.len())],
    );
    (kind, 0..PROMPTS.len(), links, rest).prop_map(
        |(kind, prompt, (requires, refers, inputs), (glob, pin, siblings, priority, item_max, retrieve))| {
            TaskSpec {
                kind,
                prompt,
                requires,
                refers,
                inputs,
                glob,
                pin,
                siblings,
                priority,
                item_max,
                retrieve,
                gate: Gate::None,
            }
        },
    )
}

/// Tasks some of which wait for a person, fail what is expected of them, or stand for others.
pub(super) fn gated_task() -> impl Strategy<Value = TaskSpec> {
    let gate = prop_oneof![
        4 => Just(Gate::None),
        1 => Just(Gate::Approval),
        1 => Just(Gate::Expect),
        1 => Just(Gate::Manual),
        1 => (0..IDS.len()).prop_map(Gate::Duplicates),
    ];
    (task(), gate).prop_map(|(task, gate)| TaskSpec { gate, ..task })
}

pub(super) fn plan_of(task: impl Strategy<Value = TaskSpec>) -> impl Strategy<Value = Plan> {
    (
        prop::option::of(0..PROMPTS.len()),
        prop::collection::btree_map(0..IDS.len(), task, 1..6),
        prop::collection::btree_map(0..DOCS.len(), 0..TEXTS.len(), 1..=DOCS.len()),
        0usize..2,
    )
        .prop_map(|(root, tasks, docs, audience)| Plan { root, tasks, docs, audience })
}

pub(super) fn edit_of(task: impl Strategy<Value = TaskSpec> + 'static) -> impl Strategy<Value = Edit> {
    let id = 0..IDS.len();
    let doc = 0..DOCS.len();
    prop_oneof![
        4 => (doc.clone(), 0..TEXTS.len()).prop_map(|(doc, text)| Edit::Doc(doc, text)),
        1 => doc.clone().prop_map(Edit::DocGone),
        1 => doc.clone().prop_map(Edit::Touch),
        1 => doc.prop_map(Edit::Crlf),
        2 => (id.clone(), 0..PROMPTS.len()).prop_map(|(id, prompt)| Edit::Prompt(id, prompt)),
        2 => (id.clone(), id.clone()).prop_map(|(from, to)| Edit::Requires(from, to)),
        2 => (id.clone(), id.clone()).prop_map(|(from, to)| Edit::Refers(from, to)),
        2 => (id.clone(), task).prop_map(|(id, task)| Edit::Task(id, task)),
        1 => id.clone().prop_map(Edit::TaskGone),
        2 => id.clone().prop_map(Edit::OutputGone),
        1 => prop::option::of(0..PROMPTS.len()).prop_map(Edit::Root),
        1 => (0usize..2).prop_map(Edit::Audience),
        1 => (id, -1i64..3).prop_map(|(id, priority)| Edit::Priority(id, priority)),
        1 => Just(Edit::Unread),
        1 => Just(Edit::StateGone),
        1 => Just(Edit::StateDamaged),
        1 => Just(Edit::CorpusGone),
    ]
}

impl Plan {
    /// The same without globs and searches.
    pub(super) fn without_globs(mut self) -> Plan {
        for task in self.tasks.values_mut() {
            (task.glob, task.retrieve) = (false, (0, 0));
        }
        self
    }

    pub(super) fn apply(&mut self, edit: &Edit, root: &Path) {
        match edit {
            Edit::Doc(doc, text) => drop(self.docs.insert(*doc, *text)),
            Edit::DocGone(doc) => drop(self.docs.remove(doc)),
            Edit::Prompt(id, prompt) => drop(self.tasks.get_mut(id).map(|task| task.prompt = *prompt)),
            Edit::Requires(from, to) => toggle(self.tasks.get_mut(from).map(|task| &mut task.requires), *to),
            Edit::Refers(from, to) => toggle(self.tasks.get_mut(from).map(|task| &mut task.refers), *to),
            Edit::Task(id, task) => drop(self.tasks.insert(*id, task.clone())),
            Edit::TaskGone(id) => drop(self.tasks.remove(id)),
            Edit::Root(prompt) => self.root = *prompt,
            Edit::Audience(audience) => self.audience = *audience,
            Edit::Priority(id, priority) => {
                self.tasks.entry(*id).and_modify(|task| task.priority = *priority).or_insert_with(quiet);
            }
            Edit::OutputGone(id) => drop(fs::remove_file(root.join("out").join(format!("{}.md", IDS[*id])))),
            Edit::StateGone => drop(fs::remove_file(root.join(".meu/state"))),
            Edit::StateDamaged => drop(fs::write(root.join(".meu/state"), "meu state 1\nx")),
            Edit::CorpusGone => drop(fs::remove_dir_all(root.join(".meu/corpus"))),
            Edit::Unread => fs::write(root.join("unread.txt"), "nobody reads this").expect("a file"),
            Edit::Touch(_) | Edit::Crlf(_) => {}
        }
        if self.tasks.is_empty() {
            self.tasks.insert(0, quiet());
        }
        self.write(root);
        match edit {
            Edit::Crlf(doc) if self.docs.contains_key(doc) => {
                let path = root.join(DOCS[*doc]);
                let text = fs::read_to_string(&path).expect("a document").replace('\n', "\r\n");
                fs::write(path, text).expect("a document");
            }
            Edit::Touch(doc) if self.docs.contains_key(doc) => {
                let file = fs::File::options().append(true).open(root.join(DOCS[*doc])).expect("a document");
                file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
            }
            _ => {}
        }
    }

    /// Writes the plan's sources; what is no longer in it goes.
    pub(super) fn write(&self, root: &Path) {
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        wanted.insert(
            "meu.toml".into(),
            format!(
                "[project]\nname = \"p\"\n[vars]\naudience = \"{}\"\n[model]\nmax_output_tokens = 120\n[context]\ntokenizer = \"chars\"\nbudget = 3000\n",
                ["sailors", "cooks"][self.audience]
            ),
        );
        for (doc, text) in &self.docs {
            wanted.insert(DOCS[*doc].into(), TEXTS[*text].into());
        }
        if let Some(prompt) = self.root {
            wanted.insert("tasks/root.toml".into(), format!("root = true\nprompt = {:?}\n", PROMPTS[prompt]));
        }
        for (id, task) in &self.tasks {
            wanted.insert(format!("tasks/{}.toml", IDS[*id]), self.toml(*id, task));
        }
        let have: BTreeSet<String> =
            files(root).into_keys().filter(|path| !path.starts_with("out/")).collect();
        for gone in have.iter().filter(|path| {
            !wanted.contains_key(*path) && (path.starts_with("tasks/") || DOCS.contains(&path.as_str()))
        }) {
            fs::remove_file(root.join(gone)).expect("removed");
        }
        for (path, text) in wanted {
            let full = root.join(&path);
            fs::create_dir_all(full.parent().expect("a folder")).expect("folders");
            fs::write(full, text).expect("a source");
        }
    }

    /// The task that one is a duplicate of.
    fn other(&self, id: usize) -> Option<usize> {
        match self.tasks.get(&id)?.gate {
            Gate::Duplicates(other) if other < id && self.tasks.contains_key(&other) => Some(other),
            _ => None,
        }
    }

    /// The task whose output is read where one is named.
    fn meant(&self, id: usize) -> usize {
        self.other(id).map_or(id, |other| self.meant(other))
    }

    fn toml(&self, id: usize, task: &TaskSpec) -> String {
        let known = |links: &BTreeSet<usize>, keep: &dyn Fn(usize) -> bool| -> Vec<&str> {
            links.iter().filter(|to| keep(**to) && self.tasks.contains_key(to)).map(|to| IDS[*to]).collect()
        };
        let requires = known(&task.requires, &|to| to < id);
        let refers = known(&task.refers, &|to| self.meant(to) != id);
        let mut inputs: Vec<String> = task
            .inputs
            .iter()
            .filter(|doc| self.docs.contains_key(doc))
            .map(|doc| DOCS[*doc].to_owned())
            .collect();
        if task.glob {
            inputs.push("docs/*.md".into());
        }
        let kind = match (&task.gate, &task.kind) {
            (Gate::Manual, _) => "manual",
            (_, Kind::Model) => "model",
            (_, Kind::Template) => "template",
            (_, Kind::Assemble) => "assemble",
        };
        let gate = match task.gate {
            Gate::Approval => "approval = true\n".into(),
            Gate::Expect => "expect = { contains = [\"minutes\"] }\n".into(),
            _ => match self.other(id) {
                Some(other) => format!("duplicates = {:?}\n", IDS[other]),
                None => String::new(),
            },
        };
        let in_place: String = match (&task.kind, requires.first()) {
            (Kind::Template, Some(first)) => format!("\n\n{{{{ text('task:{first}') }}}}"),
            _ => String::new(),
        };
        let pin = match task.pin.filter(|doc| self.docs.contains_key(doc)) {
            Some(doc) => format!("pin = [{:?}]\n", format!("doc:{}", DOCS[doc])),
            None => String::new(),
        };
        format!(
            "{gate}run = {kind:?}\nprompt = {:?}\nrequires = {requires:?}\nrefers = {refers:?}\ninputs = {inputs:?}\npriority = {}\n[context]\nitem_max = {}\nsiblings = {}\nretrieve = {{ k = {}, from = {:?}, documents = [\"**/*.md\", \"four.txt\"] }}\n{pin}",
            format!("{}{in_place}", PROMPTS[task.prompt]),
            task.priority,
            task.item_max,
            task.siblings,
            task.retrieve.0,
            SEARCHED[task.retrieve.1],
        )
    }
}

fn toggle(links: Option<&mut BTreeSet<usize>>, to: usize) {
    if let Some(links) = links
        && !links.remove(&to)
    {
        links.insert(to);
    }
}

/// A task that asks for nothing.
fn quiet() -> TaskSpec {
    TaskSpec {
        kind: Kind::Model,
        prompt: 0,
        requires: BTreeSet::new(),
        refers: BTreeSet::new(),
        inputs: BTreeSet::new(),
        glob: false,
        pin: None,
        siblings: 0,
        priority: 100,
        item_max: 400,
        retrieve: (0, 0),
        gate: Gate::None,
    }
}

pub(super) struct Happened {
    pub(super) ran: Ran,
    /// By id: how each task ended.
    pub(super) ended: BTreeMap<String, Outcome>,
}

/// Runs everything, as the command does; nothing may fail.
fn run_all(root: &Path, jobs: usize) -> Happened {
    let happened = run_whatever_comes(root, jobs);
    let failed = happened.ended.iter().find(|(_, ended)| **ended == Outcome::Failed);
    assert_eq!(failed, None);
    happened
}

/// Runs everything.
pub(super) fn run_whatever_comes(root: &Path, jobs: usize) -> Happened {
    let happened = run_loaded(&load(root), jobs);
    let workspace = load(root);
    meu::cli::write_index(&workspace).expect("INDEX.md is written");
    happened
}

/// Runs all that is loaded.
pub(super) fn run_loaded(workspace: &Workspace, jobs: usize) -> Happened {
    // A process that another test is just starting has this lock open too, until it becomes that process.
    let _hold = std::iter::repeat_with(|| disk::hold(&workspace.store))
        .take(1_000_000)
        .inspect(|_| std::thread::yield_now())
        .find_map(Result::ok)
        .expect("nobody else runs");
    let providers =
        Providers::new(&workspace.graph.config, workspace.redactor.clone(), workspace.store.root());
    let graph = &workspace.graph;
    let targets = graph.nodes().map(|(ix, _)| ix).filter(|ix| !graph.is_edge(*ix)).collect();
    let options = Options { targets, jobs, keep_going: true, ..Options::default() };
    let mut ended = BTreeMap::new();
    let ran = run::run(workspace, &providers, &options, &|| false, &mut |event| {
        if let Event::TaskFinished(finished) = event {
            ended.insert(finished.task.clone(), finished.status);
        }
    })
    .expect("the run ends well");
    workspace.shelf.save();
    Happened { ran, ended }
}

pub(super) fn load(root: &Path) -> Workspace {
    disk::load(root).unwrap_or_else(|error| panic!("{error:?}"))
}

fn lock(root: &Path) -> Lock {
    Lock::parse(&fs::read_to_string(root.join("meu.lock")).unwrap_or_default()).expect("a lock")
}

/// The recorded requests of the tasks whose output is on disk.
fn recorded(root: &Path) -> BTreeMap<String, (Digest, bool)> {
    let lock = lock(root);
    lock.tasks()
        .filter_map(|task| {
            let record = lock.records(task).first()?;
            let there = root.join(&record.output).exists();
            Some((task.to_owned(), (record.request, there)))
        })
        .collect()
}

/// All files but what orphans left.
fn without_orphans(root: &Path) -> BTreeMap<String, String> {
    let workspace = load(root);
    let known = |id: &str| workspace.graph.find(id).is_some();
    let lock = lock(root);
    let orphans: HashSet<String> = lock
        .tasks()
        .filter(|id| !known(id))
        .flat_map(|id| lock.records(id).iter().map(|record| record.output.clone()))
        .filter(|output| !workspace.graph.nodes().any(|(_, node)| node.output.as_str() == output))
        .collect();
    files(root)
        .into_iter()
        .filter(|(path, _)| !orphans.contains(path) || path == "INDEX.md")
        .map(|(path, bytes)| {
            let mut text = String::from_utf8(bytes).expect("text");
            if orphans.contains(&path) {
                // The body is that of a root task that is gone; the region is kept up.
                let region = meu::text::split_region(&text).expect("whole");
                text = text[region.before.len()..].to_owned();
            }
            let text = if path == "meu.lock" {
                let line_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a line");
                let kept: Vec<&str> =
                    text.lines().filter(|line| line_of(line)["task"].as_str().is_none_or(known)).collect();
                kept.join("\n")
            } else {
                text
            };
            (path, text)
        })
        .collect()
}

fn is_model(workspace: &Workspace, id: &str) -> bool {
    let found = workspace.graph.find(id).map(|ix| workspace.graph.node(ix));
    found.is_some_and(|node| node.task.run == meu::spec::Runner::Model)
}

/// The number of cases: what CI runs, or what `PROPTEST_CASES` says.
pub(super) fn cases() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 256;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases())]

    /// Laws 1 (settled), 2 (incremental equals clean), 3 (exactly the changed) and 8 (fresh needs proof).
    #[test]
    fn edits_and_runs_keep_the_laws(plan in plan_of(task()), steps in prop::collection::vec((edit_of(task()), 1usize..5), 1..6)) {
        let temporary = folder();
        let root = temporary.path().join("incremental");
        fs::create_dir_all(&root).expect("a folder");
        let mut plan = plan;
        plan.write(&root);
        run_all(&root, 2);
        let mut answered: HashSet<Digest> = recorded(&root).into_values().map(|(request, _)| request).collect();

        for (edit, jobs) in &steps {
            plan.apply(edit, &root);
            let before = recorded(&root);
            let happened = run_all(&root, *jobs);
            let after = recorded(&root);
            let workspace = load(&root);

            // Law 3, from digests alone.
            for (task, (request, there)) in &after {
                if !is_model(&workspace, task) {
                    continue;
                }
                let asked = happened.ended.get(task) == Some(&Outcome::Built);
                let unchanged = before.get(task).is_some_and(|(old, there)| old == request && *there);
                prop_assert!(*there, "{task} has its output");
                prop_assert!(!(asked && unchanged), "{task} was asked though its request is the recorded one");
                prop_assert!(!(asked && answered.contains(request)), "{task} was asked though its request was answered before");
                prop_assert!(asked || unchanged || answered.contains(request), "{task} has an answer that nobody gave");
            }
            answered.extend(after.values().map(|(request, _)| *request));

            // Law 1.
            let files_before = files(&root);
            let again = run_all(&root, *jobs);
            prop_assert!(again.ended.is_empty(), "a second run did {:?}", again.ended);
            prop_assert_eq!(again.ran.sums.built + again.ran.sums.cached, 0);
            prop_assert!(files(&root) == files_before, "a second run wrote outside .meu/");

            // Law 8: what is called fresh has its text on disk.
            let verdicts = run::Survey::all(&workspace, None);
            for (ix, node) in workspace.graph.nodes() {
                let state = verdicts[ix.0].as_ref().map(|verdict| verdict.state);
                prop_assert_eq!(state, Some(meu::plan::State::Fresh), "{}", node.id());
                let text = workspace.shelf.text(&node.output).expect("readable").expect("there");
                let lock = lock(&root);
                prop_assert!(lock.records(node.id()).iter().any(|record| record.knows(Digest::of(&*text))));
            }
        }

        // Law 2.
        let clean = temporary.path().join("clean");
        fs::create_dir_all(&clean).expect("a folder");
        plan.write(&clean);
        if root.join("unread.txt").exists() {
            fs::copy(root.join("unread.txt"), clean.join("unread.txt")).expect("copied");
        }
        for doc in plan.docs.keys() {
            fs::copy(root.join(DOCS[*doc]), clean.join(DOCS[*doc])).expect("copied");
        }
        run_all(&clean, 1);
        let (incremental, clean) = (without_orphans(&root), without_orphans(&clean));
        prop_assert_eq!(incremental.keys().collect::<Vec<_>>(), clean.keys().collect::<Vec<_>>());
        for (path, text) in &clean {
            prop_assert_eq!(incremental.get(path), Some(text), "{}", path);
        }
    }

    /// Law 1 with tasks that wait for persons, fail or stand for others, whatever persons do: only what failed is tried
    /// again, and nothing comes of it.
    #[test]
    fn a_second_run_changes_nothing(plan in plan_of(gated_task()), steps in prop::collection::vec(step(), 1..8)) {
        let temporary = folder();
        let root = temporary.path();
        let mut plan = plan;
        plan.write(root);
        for step in steps {
            apply(&step, &mut plan, root);
            if disk::load(root).is_err() {
                return Ok(());
            }
            let first = run_whatever_comes(root, 2);
            let before = files(root);
            let second = run_whatever_comes(root, 2);
            let waits = |ended: &Outcome| matches!(ended, Outcome::Failed | Outcome::Blocked | Outcome::Awaiting);
            let left = |happened: Happened| -> BTreeMap<String, Outcome> {
                happened.ended.into_iter().filter(|(_, ended)| waits(ended)).collect()
            };
            prop_assert!(second.ended.values().all(waits), "{:?}", second.ended);
            prop_assert_eq!(left(first), left(second));
            prop_assert!(files(root) == before, "a second run wrote");
        }
    }

    /// Law 8 under a tampering hand: whatever is written over an output, fresh is only the text built.
    #[test]
    fn a_tampered_output_is_never_fresh(plan in plan_of(task()), which in any::<prop::sample::Index>(), text in "[a-c\n]{0,6}") {
        let temporary = folder();
        let root = temporary.path();
        plan.write(root);
        run_all(root, 2);
        let workspace = load(root);
        let ix = Ix(which.index(workspace.graph.len()));
        let node = workspace.graph.node(ix);
        if Some(ix) == workspace.graph.root() {
            return Ok(());
        }
        let built = fs::read_to_string(root.join(node.output.as_str())).expect("an output");
        fs::write(root.join(node.output.as_str()), &text).expect("tampered");
        let workspace = load(root);
        let state = run::Survey::all(&workspace, None)[ix.0].as_ref().map(|verdict| verdict.state);
        prop_assert_eq!(state == Some(meu::plan::State::Fresh), text == built, "{:?}", state);
    }
}
