//! Gathering: which items are candidates for a task's context, why, and in which order.
//!
//! This reads names and digests, no texts. [`recipe`] sums up all that decides a request, so that a
//! request whose recipe is unchanged need not be put together to know its digest.

use std::collections::HashSet;

use crate::digest::{Digest, Framer};
use crate::graph::{Dep, Graph, Ix, Target};
use crate::path::RelPath;
use crate::spec::{IndexPick, ItemRef, Runner, Subject, Task, Tier, extra_text};
use crate::text::{FRONT_MATTER, Format, first_paragraph};

use super::{Dropped, Shelf, Unreadable};

/// Where a candidate's text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file: a document, an output, or INDEX.md without its region.
    File {
        /// The file.
        path: RelPath,
        /// The task whose output it is.
        output_of: Option<Ix>,
        /// Whether a missing or unreadable file is an error; found by a glob, it is only left out.
        literal: bool,
    },
    /// The card of a task.
    Card(Ix),
}

impl Source {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&RelPath> {
        match self {
            Source::File { path, .. } => Some(path),
            Source::Card(_) => None,
        }
    }
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub item: ItemRef,
    /// Its first tier.
    pub tier: Tier,
    /// Whether a person pinned it.
    pub pinned: bool,
    /// Where its text comes from.
    pub source: Source,
}

/// The candidates of a task.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Candidates in the order in which they are filled in.
    pub candidates: Vec<Candidate>,
    /// What was left out before any text was read.
    pub dropped: Vec<Dropped>,
    /// Everything that the task declares: what its prompt may take in place.
    pub declared: Vec<Candidate>,
    /// The place among the candidates at which the retriever's hits come; `None` where nothing is
    /// searched. What is searched is [`searched`].
    pub retrieved_at: Option<usize>,
}

/// The card of a task: its title and the first paragraph of its prompt, unrendered.
pub fn card(graph: &Graph, ix: Ix) -> String {
    card_of(&graph.node(ix).task)
}

/// The same of a task that is in no graph.
pub fn card_of(task: &Task) -> String {
    let prompt = task.prompt.as_ref().map_or("", |prompt| first_paragraph(&prompt.value));
    if prompt.is_empty() { task.title.clone() } else { format!("{}\n\n{prompt}", task.title) }
}

/// Gathers the candidates of a task. `manual` are items that a person names for this once.
pub fn gather(graph: &Graph, ix: Ix, manual: &[ItemRef]) -> Gathered {
    let node = graph.node(ix);
    let mut gatherer =
        Gatherer { graph, excluded: &node.exclude, seen: HashSet::new(), found: Gathered::default() };
    let declared: Vec<Candidate> = node
        .requires
        .iter()
        .map(|dep| task(graph, dep, Tier::Requires))
        .chain(
            node.inputs
                .iter()
                .map(|input| document(input.path.clone(), input.heading.clone(), input.literal, Tier::Input)),
        )
        .chain(node.refers.iter().map(|dep| task(graph, dep, Tier::Refers)))
        .chain(node.pin.iter().chain(&node.manual).map(|found| target(graph, found, Tier::Manual)))
        .chain(node.items.iter().flatten().map(|found| target(graph, found, Tier::Manual)))
        .collect();

    // They have no bundle.
    if matches!(node.task.run, Runner::Template | Runner::Assemble) {
        gatherer.found.declared = declared;
        return gatherer.found;
    }
    if let Some(items) = &node.items {
        let siblings: Vec<Ix> = graph.siblings(ix).take(node.policy.siblings).collect();
        for found in items {
            let wanted = target(graph, found, Tier::Manual);
            // The card of a big task above stays a card.
            if let Source::File { output_of: Some(big), .. } | Source::Card(big) = wanted.source
                && wanted.item.heading.is_none()
                && !node.requires.iter().chain(&node.refers).any(|dep| dep.task == big)
                && graph.above(ix).any(|above| graph.canonical(above) == big)
            {
                gatherer.add(Candidate { tier: Tier::Plan, source: Source::Card(big), ..wanted });
                continue;
            }
            let pinned = node.pin.iter().any(|pin| target(graph, pin, Tier::Manual).item == wanted.item);
            // A sibling that comes before stays one.
            let is_sibling = |of: &Source| match of {
                Source::File { output_of: Some(other), .. } => siblings.contains(other),
                _ => false,
            };
            // An approved item keeps the tier that it had by its links, or by a search.
            // The items themselves stand at the end of what is declared.
            let tier = declared[..declared.len() - items.len()]
                .iter()
                .find(|known| known.item == wanted.item)
                .map_or(if node.searches() { Tier::Retrieved } else { wanted.tier }, |known| known.tier);
            let tier = match &wanted.source {
                _ if wanted.item.subject == Subject::Index => wanted.tier,
                source if tier == Tier::Manual && wanted.item.heading.is_none() && is_sibling(source) => {
                    Tier::Plan
                }
                _ => tier,
            };
            gatherer.add(Candidate { tier, pinned, ..wanted });
        }
        gatherer.found.declared = declared;
        return gatherer.found;
    }

    let tiers = &node.policy.tiers;
    if !node.task.root && tiers.contains(&Tier::Index) {
        gatherer.index(&node.policy.index);
    }
    for found in &node.pin {
        let wanted = target(graph, found, Tier::Manual);
        let tier =
            declared.iter().find(|known| known.item == wanted.item).map_or(wanted.tier, |known| known.tier);
        gatherer.add(Candidate { tier, pinned: true, ..wanted });
    }
    for tier in tiers {
        match tier {
            Tier::Index => {}
            Tier::Retrieved => {
                gatherer.found.retrieved_at = node.retrieves().then_some(gatherer.found.candidates.len());
            }
            Tier::Requires | Tier::Input | Tier::Refers => {
                for candidate in declared.iter().filter(|candidate| candidate.tier == *tier) {
                    gatherer.add(candidate.clone());
                }
            }
            Tier::Plan => gatherer.plan(ix),
            Tier::Manual => {
                for found in &node.manual {
                    gatherer.add(target(graph, found, Tier::Manual));
                }
                for item in manual {
                    gatherer.by_name(item);
                }
            }
        }
    }
    gatherer.found.declared = declared;
    gatherer.found
}

struct Gatherer<'a> {
    graph: &'a Graph,
    excluded: &'a [ItemRef],
    seen: HashSet<ItemRef>,
    found: Gathered,
}

impl Gatherer<'_> {
    fn add(&mut self, candidate: Candidate) {
        // A section of what is in whole is in already.
        let whole = ItemRef::whole(candidate.item.subject.clone());
        let is_front = candidate.item.heading.as_deref() == Some(FRONT_MATTER);
        if self.seen.contains(&candidate.item) || (!is_front && self.seen.contains(&whole)) {
            return;
        }
        self.seen.insert(candidate.item.clone());
        let index = candidate.item.subject == Subject::Index;
        if !index && self.excluded.iter().any(|excluded| excluded.covers(&candidate.item)) {
            self.found.dropped.push(Dropped {
                item: candidate.item,
                tier: candidate.tier,
                reason: "excluded".into(),
                tokens_full: 0,
            });
        } else {
            self.found.candidates.push(candidate);
        }
    }

    fn index(&mut self, pick: &IndexPick) {
        let headings: Vec<Option<String>> = match pick {
            IndexPick::None => Vec::new(),
            IndexPick::All => vec![None],
            IndexPick::Headings(headings) => headings.iter().cloned().map(Some).collect(),
        };
        for heading in headings {
            let found = target(self.graph, &Target::Index(heading), Tier::Index);
            self.add(found);
        }
    }

    /// Cards of big tasks above, then of siblings; a sibling that is upstream gives its output.
    fn plan(&mut self, ix: Ix) {
        let policy = &self.graph.node(ix).policy;
        let above: Vec<Ix> = self.graph.above(ix).take(policy.above).collect();
        for big in above {
            if Some(big) != self.graph.root() {
                self.card(big);
            }
        }
        let siblings: Vec<Ix> = self.graph.siblings(ix).take(policy.siblings).collect();
        for (sibling, is_upstream) in siblings.iter().copied().zip(self.graph.comes_after(ix, &siblings)) {
            if is_upstream {
                self.add(output(self.graph, sibling, None, Tier::Plan));
            } else {
                self.card(sibling);
            }
        }
    }

    fn card(&mut self, ix: Ix) {
        let ix = self.graph.canonical(ix);
        self.add(Candidate {
            item: ItemRef::whole(Subject::Task(self.graph.node(ix).id().to_owned())),
            tier: Tier::Plan,
            pinned: false,
            source: Source::Card(ix),
        });
    }

    fn by_name(&mut self, item: &ItemRef) {
        let candidate = match &item.subject {
            Subject::Index => target(self.graph, &Target::Index(item.heading.clone()), Tier::Manual),
            Subject::Task(id) => match self.graph.find(id) {
                Some(ix) => output(self.graph, self.graph.canonical(ix), item.heading.clone(), Tier::Manual),
                None => return,
            },
            Subject::Doc(path) => match RelPath::parse(path) {
                Ok(path) => document(path, item.heading.clone(), true, Tier::Manual),
                Err(_) => return,
            },
        };
        self.add(candidate);
    }
}

fn output(graph: &Graph, ix: Ix, heading: Option<String>, tier: Tier) -> Candidate {
    let node = graph.node(ix);
    Candidate {
        item: ItemRef { subject: Subject::Task(node.id().to_owned()), heading },
        tier,
        pinned: false,
        source: Source::File { path: node.output.clone(), output_of: Some(ix), literal: true },
    }
}

/// A task's output, or its card where the link lies in a circle and does not order.
fn task(graph: &Graph, dep: &Dep, tier: Tier) -> Candidate {
    let candidate = output(graph, dep.task, dep.heading.clone(), tier);
    if dep.earlier {
        return candidate;
    }
    Candidate { item: ItemRef::whole(candidate.item.subject), source: Source::Card(dep.task), ..candidate }
}

fn document(path: RelPath, heading: Option<String>, literal: bool, tier: Tier) -> Candidate {
    Candidate {
        item: ItemRef { subject: Subject::Doc(path.to_string()), heading },
        tier,
        pinned: false,
        source: Source::File { path, output_of: None, literal },
    }
}

/// The texts that a task's retriever may look into, by reference: documents, then outputs.
pub fn searched(graph: &Graph, ix: Ix) -> Vec<Candidate> {
    let node = graph.node(ix);
    let documents = node.searched.iter();
    let documents = documents.map(|path| document(path.clone(), None, false, Tier::Retrieved));
    let outputs = graph.searched_tasks(ix).into_iter();
    let wanted = documents.chain(outputs.map(|other| output(graph, other, None, Tier::Retrieved)));
    let excluded = |item: &ItemRef| node.exclude.iter().any(|excluded| excluded.covers(item));
    wanted.filter(|candidate| !excluded(&candidate.item)).collect()
}

/// Some documents and all outputs, by reference, for a search of the whole project.
pub fn searchable(graph: &Graph, documents: &[RelPath]) -> Vec<Candidate> {
    let documents = documents.iter().map(|path| document(path.clone(), None, false, Tier::Retrieved));
    let tasks = graph.nodes().filter(|(_, node)| node.duplicate_of.is_none());
    documents.chain(tasks.map(|(ix, _)| output(graph, ix, None, Tier::Retrieved))).collect()
}

fn target(graph: &Graph, target: &Target, tier: Tier) -> Candidate {
    match target {
        Target::Task(dep) => task(graph, dep, tier),
        Target::Doc(input) => document(input.path.clone(), input.heading.clone(), input.literal, tier),
        Target::Index(heading) => Candidate {
            item: ItemRef { subject: Subject::Index, heading: heading.clone() },
            tier: Tier::Index,
            pinned: false,
            source: Source::File {
                path: graph.config.index.clone(),
                output_of: graph.root(),
                literal: false,
            },
        },
    }
}

/// The digest of all that decides a task's request: its text, policy and model, the templates, and
/// every declared or gathered item with its digest. Equal recipes give equal requests.
pub fn recipe(
    graph: &Graph,
    ix: Ix,
    gathered: &Gathered,
    scene: Digest,
    shelf: &dyn Shelf,
) -> Result<Digest, Unreadable> {
    let node = graph.node(ix);
    let task = &node.task;
    let mut framer = Framer::new("meu recipe v2");
    framer.field(scene.as_bytes());
    framer.field(node.id()).field(&task.title).field(task.run.word());
    framer.maybe(task.prompt.as_ref().map(|prompt| &prompt.value));
    framer.field([u8::from(task.root)]).field(task.priority.to_le_bytes());
    framer.field(format!("{:?}{:?}{:?}{:?}", task.tags, task.revisions, task.run, node.model));
    framer.field(format!("{:?}{:?}", node.policy, node.vars));
    framer.maybe(graph.provider(ix).map(|provider| provider.api.word()));
    framer.maybe(graph.provider(ix).map(|provider| provider.model.as_str()));
    framer.maybe(graph.provider(ix).and_then(|provider| extra_text(&provider.extra)));
    if let Some(at) = gathered.retrieved_at {
        framer.count(at).field(shelf.digest_of_all(&node.searched).as_bytes());
        for other in graph.searched_tasks(ix) {
            let other = graph.node(other);
            let digest = shelf.digest(&other.output)?;
            framer
                .field(other.id())
                .field(other.output.as_str())
                .maybe(digest.as_ref().map(Digest::as_bytes));
        }
    }
    framer.field(format!("{:?}", node.exclude));
    for list in [&gathered.candidates, &gathered.declared] {
        framer.count(list.len());
        for candidate in list {
            framer.field(candidate.item.to_string()).field(candidate.tier.word());
            framer.field([u8::from(candidate.pinned)]);
            match &candidate.source {
                Source::Card(ix) => framer.field("card").field(card(graph, *ix)),
                Source::File { path, literal, output_of } => {
                    // A required output that cannot be shortened may go in as its task's card.
                    let told = output_of.map(|ix| match candidate.tier {
                        Tier::Requires => card(graph, ix),
                        _ => graph.node(ix).task.title.clone(),
                    });
                    let digest = match shelf.digest(path) {
                        Err(_) if !literal => None,
                        other => other?,
                    };
                    framer
                        .field([u8::from(*literal)])
                        .field(format!("{:?}", Format::of(path.as_str())))
                        .maybe(told)
                        .maybe(digest.as_ref().map(Digest::as_bytes))
                }
            };
        }
    }
    framer.count(gathered.dropped.len());
    for dropped in &gathered.dropped {
        framer.field(dropped.item.to_string()).field(dropped.tier.word());
    }
    Ok(framer.finish())
}
