//! [`Project`] to [`Graph`]: resolution, cycles, order, levels, selectors, outline.
//!
//! Ordering links are `requires` (hard, the root included) and, where they close no circle, `refers`
//! and the tasks that `pin`, `manual` and `items` name (soft). All walks are iterative: a chain of
//! thousands of tasks is an ordinary project.

mod build;
mod order;
mod outline;
mod part;
mod rename;
mod resolve;
mod select;

use std::collections::HashMap;
use std::sync::Arc;

pub use build::{build, documents};
pub use order::open_counts;
pub use outline::{Entry, outline};
pub use part::{Lists, Piece, Whole, build_part};
pub use rename::{Renamed, rename};
pub use resolve::{base_of, glob_bases, glob_bases_of, outermost};
pub use select::{Facts, select, shard};

use crate::path::{RelPath, nfc};
use crate::spec::{
    At, Config, IndexPick, ItemRef, ModelSettings, Policy, Provider, RetrieveFrom, Runner, Task, Tier, Vars,
};

/// The number of a task in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ix(pub usize);

/// A link to a task, resolved.
#[derive(Clone, Debug)]
pub struct Dep {
    /// The task whose output is meant; never a duplicate.
    pub task: Ix,
    /// One section of it.
    pub heading: Option<String>,
    /// Where the link is declared.
    pub at: At<String>,
    /// Whether the task comes strictly earlier. A soft link inside a circle does not order: its item
    /// is the other's card.
    pub earlier: bool,
}

impl Dep {
    /// What it means, from the top: an id, with the section if it means one.
    pub fn name(&self, graph: &Graph) -> String {
        let id = graph.node(self.task).id();
        self.heading.as_ref().map_or(id.to_owned(), |heading| format!("{id}#{heading}"))
    }
}

/// A document that a task names or that its glob found.
#[derive(Clone, Debug)]
pub struct Input {
    /// The document.
    pub path: RelPath,
    /// One section of it.
    pub heading: Option<String>,
    /// Whether the task names it literally; only then must it exist and be readable.
    pub literal: bool,
    /// Where it is named.
    pub at: At<String>,
}

/// What `pin`, `manual` or `items` name, resolved.
#[derive(Clone, Debug)]
pub enum Target {
    /// INDEX.md, or one section of it.
    Index(Option<String>),
    /// A task's output.
    Task(Dep),
    /// A document.
    Doc(Input),
}

/// A task in the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// The task as it is written.
    pub task: Arc<Task>,
    /// Where its output is. A duplicate has that of the task it stands for.
    pub output: RelPath,
    /// What it requires, in declared order, without the implied root.
    pub requires: Vec<Dep>,
    /// What it refers to, in declared order.
    pub refers: Vec<Dep>,
    /// What it is drawn beside.
    pub relates_to: Vec<Ix>,
    /// The task that stands for it.
    pub duplicate_of: Option<Ix>,
    /// Its documents, in declared order, those of a glob by path.
    pub inputs: Vec<Input>,
    /// Items that are always in.
    pub pin: Vec<Target>,
    /// Items that are never in.
    pub exclude: Vec<ItemRef>,
    /// Items of the manual tier.
    pub manual: Vec<Target>,
    /// An approved context.
    pub items: Option<Vec<Target>>,
    /// The documents that the retriever may look into; none where it is off.
    pub searched: Arc<Vec<RelPath>>,
    /// The tasks whose outputs the retriever waits for, of `retrieve.from = "earlier"`: those of lower
    /// levels that no other of them comes after.
    pub after: Arc<Vec<Ix>>,
    /// The longest way of ordering links to it from a task that needs nothing.
    pub level: usize,
    /// What it asks, overrides applied.
    pub model: ModelSettings,
    /// How its context is put together, overrides applied.
    pub policy: Policy,
    /// Its vars, overrides applied.
    pub vars: Arc<Vars>,
}

impl Node {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.task.id.value
    }

    /// The plan it belongs to: its id's folder, empty at the top.
    pub fn plan(&self) -> &str {
        self.id().rsplit_once('/').map_or("", |(plan, _)| plan)
    }

    /// Whether something is searched for when its context is gathered.
    pub fn retrieves(&self) -> bool {
        self.items.is_none() && self.searches()
    }

    /// Whether its context has a tier of what is searched for, were it not approved already.
    pub fn searches(&self) -> bool {
        self.policy.retrieve.k > 0
            && self.policy.tiers.contains(&Tier::Retrieved)
            && !matches!(self.task.run, Runner::Template | Runner::Assemble)
            && self.duplicate_of.is_none()
    }

    /// Whether it declares a task, whose output its prompt may then take in place.
    pub fn declares(&self, task: Ix) -> bool {
        let links = self.requires.iter().chain(&self.refers);
        links.chain(self.targets()).any(|dep| dep.task == task)
    }

    /// The links to tasks that `pin`, `manual` and `items` make.
    fn targets(&self) -> impl Iterator<Item = &Dep> {
        let lists = self.pin.iter().chain(&self.manual).chain(self.items.iter().flatten());
        lists.filter_map(|target| match target {
            Target::Task(dep) => Some(dep),
            _ => None,
        })
    }

    /// All documents that it reads, with the section it takes.
    pub fn documents(&self) -> impl Iterator<Item = &Input> {
        let lists = self.pin.iter().chain(&self.manual).chain(self.items.iter().flatten());
        let named = lists.filter_map(|target| match target {
            Target::Doc(input) => Some(input),
            _ => None,
        });
        self.inputs.iter().chain(named)
    }

    /// Whether INDEX.md, or a part of it, is in its context.
    pub fn reads_index(&self) -> bool {
        let named = self.pin.iter().chain(&self.manual).chain(self.items.iter().flatten());
        let by_itself = self.items.is_none()
            && !self.task.root
            && !matches!(self.task.run, Runner::Template | Runner::Assemble)
            && self.policy.tiers.contains(&Tier::Index)
            && self.policy.index != IndexPick::None;
        by_itself || named.into_iter().any(|target| matches!(target, Target::Index(_)))
    }

    /// The schema that its output must fit.
    pub fn schema(&self) -> Option<&RelPath> {
        self.task.expect.as_ref()?.schema.as_ref().map(|schema| &schema.value)
    }
}

/// All tasks of a project with their links resolved, free of circles of `requires`.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The project's configuration.
    pub config: Config,
    nodes: Vec<Node>,
    by_id: HashMap<String, Ix>,
    root: Option<Ix>,
    order: Vec<Ix>,
    /// The tasks of each plan, by (priority, id); without duplicates and the root.
    plans: HashMap<String, Vec<Ix>>,
    /// What is not in it, where it is a part of a project.
    outside: Option<Box<part::Outside>>,
}

impl Graph {
    /// The number of tasks.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A task.
    pub fn node(&self, ix: Ix) -> &Node {
        &self.nodes[ix.0]
    }

    /// All tasks, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (Ix, &Node)> {
        self.nodes.iter().enumerate().map(|(at, node)| (Ix(at), node))
    }

    /// The task of an id.
    pub fn find(&self, id: &str) -> Option<Ix> {
        self.by_id.get(id).copied()
    }

    /// The tasks that a name may mean in the file of a task, as in its links, the nearest first; where one is a duplicate,
    /// the one that it stands for.
    pub fn meanings(&self, from: Ix, name: &str) -> impl Iterator<Item = Ix> {
        let ids = resolve::candidates(self.node(from).id(), &nfc(name));
        ids.into_iter().filter_map(|id| self.find(&id)).map(|ix| self.canonical(ix))
    }

    /// The root task.
    pub fn root(&self) -> Option<Ix> {
        self.root
    }

    /// All tasks, each after everything that orders it; ties by (priority, id).
    pub fn order(&self) -> &[Ix] {
        &self.order
    }

    /// The task that stands for this one: itself, or what it duplicates.
    pub fn canonical(&self, ix: Ix) -> Ix {
        self.node(ix).duplicate_of.unwrap_or(ix)
    }

    /// The provider that a task's model names.
    pub fn provider(&self, ix: Ix) -> Option<&Provider> {
        self.config.providers.get(&self.node(ix).model.provider)
    }

    /// The provider of a task and those that stand in for it, in the order in which they are asked.
    pub fn providers(&self, ix: Ix) -> impl Iterator<Item = &Provider> {
        let first = self.provider(ix);
        let others = first.into_iter().flat_map(|provider| &provider.fallback);
        first.into_iter().chain(others.filter_map(|other| self.config.providers.get(&other.value)))
    }

    /// The provider that makes vectors for a task's search, if one does.
    pub fn embedder(&self, ix: Ix) -> Option<&Provider> {
        let node = self.node(ix);
        let embed = node.policy.retrieve.embed.as_ref().filter(|_| node.retrieves())?;
        self.config.providers.get(&embed.provider)
    }

    /// Lets every task ask one provider, whatever it says itself.
    pub fn use_provider(&mut self, name: &str) -> Result<(), crate::diag::Error> {
        if !self.config.providers.contains_key(name) {
            let known: Vec<&str> = self.config.providers.keys().map(String::as_str).collect();
            let error = crate::diag::Error::invalid(format!("no provider `{name}`"));
            return Err(error.help(format!("known providers: {}", known.join(", "))));
        }
        let (model, http) = match self.config.providers.get(name) {
            Some(provider) => (provider.model.clone(), provider.api.is_http()),
            None => (String::new(), false),
        };
        self.config.model.provider = name.to_owned();
        if !model.is_empty() {
            self.config.model.name = model.clone();
        }
        for node in &mut self.nodes {
            node.model.provider = name.to_owned();
            // As where it stands in: its own model, if it names one.
            if !model.is_empty() {
                node.model.name = model.clone();
            }
            if http && node.model.name.is_empty() && node.task.run == Runner::Model {
                return Err(no_model(name));
            }
        }
        Ok(())
    }

    /// A name that means a task in the file of another one.
    pub fn name_from(&self, from: Ix, to: Ix) -> String {
        let nothing = std::collections::BTreeMap::new();
        resolve::Ids::of_nodes(&self.nodes, &nothing).name_from(self.node(from).id(), self.node(to).id())
    }

    /// The tasks that must be up to date before this one: what it requires and the root. Those at the edge of a
    /// part are.
    pub fn hard(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        let node = self.node(ix);
        let root = self.root.filter(|root| *root != ix && node.duplicate_of.is_none());
        let all = root.into_iter().chain(node.requires.iter().map(|dep| dep.task)).chain(node.duplicate_of);
        all.filter(move |above| !self.is_edge(ix) && !self.is_edge(*above))
    }

    /// The tasks that come earlier without being required.
    pub fn soft(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        let node = self.node(ix);
        let links = node.refers.iter().chain(node.targets()).filter(|dep| dep.earlier).map(|dep| dep.task);
        links.chain(node.after.iter().copied()).filter(|earlier| !self.is_edge(*earlier))
    }

    /// The tasks whose outputs the retriever may look into: strictly earlier ones, the root aside.
    pub fn searched_tasks(&self, ix: Ix) -> Vec<Ix> {
        let node = self.node(ix);
        if !node.retrieves() || node.task.root {
            return Vec::new();
        }
        let wanted: Vec<bool> = match node.policy.retrieve.from {
            RetrieveFrom::Documents => return Vec::new(),
            RetrieveFrom::Earlier => self.nodes.iter().map(|other| other.level < node.level).collect(),
            RetrieveFrom::Upstream => {
                let links = |ix: Ix| {
                    let node = self.node(ix);
                    node.requires.iter().chain(&node.refers).filter(|dep| dep.earlier).map(|dep| dep.task)
                };
                self.closure(links(ix), links)
            }
        };
        let is_text =
            |ix: &Ix| wanted[ix.0] && Some(*ix) != self.root && self.node(*ix).duplicate_of.is_none();
        (0..self.len()).map(Ix).filter(is_text).collect()
    }

    /// All tasks that come earlier by some link of this one.
    pub fn ordering(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        self.hard(ix).chain(self.soft(ix))
    }

    /// For each task those that it orders, in order and each once: the turned-round [`Graph::ordering`].
    pub fn dependants(&self) -> Vec<Vec<Ix>> {
        let mut dependants = vec![Vec::new(); self.len()];
        for (ix, _) in self.nodes() {
            for earlier in self.ordering(ix) {
                if dependants[earlier.0].last() != Some(&ix) {
                    dependants[earlier.0].push(ix);
                }
            }
        }
        dependants
    }

    /// These tasks and all that `next` reaches from them, marked by number.
    pub fn closure<I: Iterator<Item = Ix>>(
        &self,
        from: impl IntoIterator<Item = Ix>,
        next: impl Fn(Ix) -> I,
    ) -> Vec<bool> {
        let mut seen = vec![false; self.len()];
        let mut todo: Vec<Ix> = from.into_iter().collect();
        while let Some(ix) = todo.pop() {
            if !std::mem::replace(&mut seen[ix.0], true) {
                todo.extend(next(ix));
            }
        }
        seen
    }

    /// The big tasks above a task, the nearest first.
    pub fn above(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        let mut folder = self.node(ix).plan();
        std::iter::from_fn(move || {
            while !folder.is_empty() {
                let found = self.find(folder);
                folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
                if found.is_some() {
                    return found;
                }
            }
            None
        })
    }

    /// The other tasks of the same plan, by (priority, id); without duplicates and the root.
    pub fn siblings(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        let plan = self.plans.get(self.node(ix).plan());
        plan.into_iter().flatten().copied().filter(move |other| *other != ix)
    }

    /// Groups the tasks of each plan, by (priority, id).
    fn group_plans(&mut self) {
        let mut plans: HashMap<String, Vec<Ix>> = HashMap::new();
        for (ix, node) in self.nodes().filter(|(_, node)| node.duplicate_of.is_none() && !node.task.root) {
            plans.entry(node.plan().to_owned()).or_default().push(ix);
        }
        for tasks in plans.values_mut() {
            tasks.sort_by_key(|ix| self.rank(*ix));
        }
        self.plans = plans;
    }

    /// What decides between tasks that may both go first.
    pub fn rank(&self, ix: Ix) -> (i64, &str) {
        let node = self.node(ix);
        (node.task.priority, node.id())
    }
}

/// A provider of several models was not told which.
pub fn no_model(provider: &str) -> crate::diag::Error {
    crate::diag::Error::invalid(format!("no model is named for the provider `{provider}`"))
        .help(format!("add `model = \"…\"` to `[providers.{provider}]`"))
}
