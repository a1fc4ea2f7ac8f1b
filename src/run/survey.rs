//! Looking at tasks: the facts of each, gathered for room `plan` to decide. `status`, `why`, `run -n`
//! and the run itself look the same way.

use std::collections::BTreeMap;

use crate::context::{Shelf, Trouble};
use crate::digest::Digest;
use crate::disk::{Recalled, Workspace};
use crate::graph::Ix;
use crate::lock::{Lock, Record};
use crate::plan::{Facts, Failure, State, Today, Verdict, decide};
use crate::request::{Assembled, Scene, build};
use crate::spec::Runner;

/// Looks at the tasks of a workspace.
#[derive(Debug)]
pub struct Survey<'a> {
    workspace: &'a Workspace,
    scene: Scene<'a>,
    /// The tasks that take part; what is referred to outside is taken as it is on disk.
    taking_part: Vec<bool>,
    verdicts: Vec<Option<Verdict>>,
    /// Tasks that are made in any case, and tasks that are taken as they are.
    forced: Vec<Ix>,
    assumed: Vec<Ix>,
    /// Today's requests, as far as they were put together.
    requests: std::cell::RefCell<std::collections::HashMap<Ix, Digest>>,
}

/// What one look found.
#[derive(Debug)]
pub struct Look {
    /// The state, and why.
    pub verdict: Verdict,
    /// Today's request, where nothing above must run first.
    pub today: Option<Today>,
    /// The request itself, if it had to be put together.
    pub assembled: Option<Box<Assembled>>,
    /// The record that counts.
    pub record: Option<Record>,
}

impl<'a> Survey<'a> {
    /// A survey of some tasks, or of all.
    pub fn new(workspace: &'a Workspace, taking_part: Option<Vec<bool>>) -> Self {
        let graph = &workspace.graph;
        Survey {
            workspace,
            scene: Scene { graph, templates: &workspace.templates },
            taking_part: taking_part
                .unwrap_or_else(|| graph.nodes().map(|(ix, _)| !graph.is_edge(ix)).collect()),
            verdicts: vec![None; graph.len()],
            forced: Vec::new(),
            assumed: Vec::new(),
            requests: std::cell::RefCell::default(),
        }
    }

    /// What a run with these options would find: some tasks forced, some taken as they are.
    pub fn with_options(
        workspace: &'a Workspace,
        taking_part: Vec<bool>,
        forced: &[Ix],
        assumed: &[Ix],
    ) -> Vec<Option<Verdict>> {
        let mut survey = Survey::new(workspace, Some(taking_part));
        survey.forced = forced.to_vec();
        survey.assumed = assumed.to_vec();
        survey.walk()
    }

    /// Looks at every task that takes part, in order.
    pub fn all(workspace: &'a Workspace, taking_part: Option<Vec<bool>>) -> Vec<Option<Verdict>> {
        Survey::new(workspace, taking_part).walk()
    }

    fn walk(mut self) -> Vec<Option<Verdict>> {
        let workspace = self.workspace;
        for ix in
            workspace.graph.order().iter().copied().filter(|ix| self.taking_part[ix.0]).collect::<Vec<_>>()
        {
            let mut verdict = self.look(ix, &workspace.lock, &workspace.failures).verdict;
            let node = workspace.graph.node(ix);
            let made = node.duplicate_of.is_none() && node.task.run != Runner::Manual;
            if made && self.assumed.contains(&ix) && verdict.state != State::Missing {
                verdict.state = State::Fresh;
            } else if made && self.forced.contains(&ix) && !verdict.must_run() && !verdict.blocks() {
                verdict.state = State::Stale;
            }
            self.decided(ix, verdict);
        }
        self.verdicts
    }

    /// What all requests share.
    pub fn scene(&self) -> &Scene<'a> {
        &self.scene
    }

    /// Keeps what a task came to, for those below it.
    pub fn decided(&mut self, ix: Ix, verdict: Verdict) {
        self.verdicts[ix.0] = Some(verdict);
    }

    /// Today's request of a task that was looked at.
    pub fn request(&self, ix: Ix) -> Option<Digest> {
        self.requests.borrow().get(&ix).copied()
    }

    /// What all tasks came to.
    pub fn into_verdicts(self) -> Vec<Option<Verdict>> {
        self.verdicts
    }

    /// What a task came to.
    pub fn verdict(&self, ix: Ix) -> Option<&Verdict> {
        self.verdicts[ix.0].as_ref()
    }

    /// Looks at a task. All that orders it and takes part must have been looked at.
    pub fn look(&self, ix: Ix, lock: &Lock, failures: &BTreeMap<String, Failure>) -> Look {
        let node = self.scene.graph.node(ix);
        let nothing = |verdict| Look { verdict, today: None, assembled: None, record: None };
        if let Some(other) = node.duplicate_of {
            return nothing(Verdict {
                state: State::Duplicate,
                reasons: Vec::new(),
                on: vec![other],
                message: None,
                unchanged: None,
            });
        }
        let (blocked_on, waiting_on) = self.above(ix);
        let mut trouble: Option<String> = lock.broken_line(node.id()).map(|broken| {
            format!(
                "meu.lock:{}: the line cannot be read: {} (take it from git again, or delete it)",
                broken.line, broken.message
            )
        });
        let on_disk = self.workspace.shelf.digest(&node.output).unwrap_or_else(|error| {
            trouble.get_or_insert(format!("the output `{}` cannot be read: {error}", node.output));
            None
        });
        // What another task made at this very place is no person's text: this task has no output yet.
        let on_disk = on_disk.filter(|text| {
            let own = lock.records(node.id()).iter().any(|record| record.knows(*text));
            // The lock as it was read too: in this run the other may have moved away already.
            let made = |lock: &Lock| lock.other_maker(node.id(), node.output.as_str(), *text).is_some();
            own || !(made(lock) || made(&self.workspace.lock))
        });
        if let Some(stranded) = self.stranded(ix, lock, on_disk) {
            trouble.get_or_insert(stranded);
        }
        let mut assembled = None;
        let mut today = None;
        let mut record = lock.pick(node.id(), on_disk, None).cloned();
        if blocked_on.is_empty() && waiting_on.is_empty() && trouble.is_none() {
            match self.today(ix, record.as_ref()) {
                Ok((found, put_together)) => {
                    record = lock.pick(node.id(), on_disk, Some(found.key())).cloned();
                    self.requests.borrow_mut().insert(ix, found.request);
                    today = Some(found);
                    assembled = put_together;
                }
                Err(error) => trouble = Some(error.to_string()),
            }
        }
        let verdict = decide(&Facts {
            manual: node.task.run == Runner::Manual,
            approval: node.task.approval,
            output: node.output.as_str(),
            record: record.as_ref(),
            on_disk,
            today: today.as_ref(),
            trouble,
            failure: failures.get(node.id()),
            blocked_on,
            waiting_on,
        });
        Look { verdict, today, assembled, record }
    }

    /// A person's edit that stands where another task's output is to be, since places were changed.
    fn stranded(&self, ix: Ix, lock: &Lock, on_disk: Option<Digest>) -> Option<String> {
        let graph = self.scene.graph;
        let node = graph.node(ix);
        let own = lock.records(node.id()).first();
        // Here: a text that no record knows, at a place that was another task's until now.
        let here = on_disk.is_some_and(|text| own.is_none_or(|own| !own.knows(text)))
            && own.is_none_or(|own| own.output != node.output.as_str());
        if here
            && let Some(other) = self.workspace.lock.other_record(node.id(), node.output.as_str())
            && let Some(owner) =
                graph.find(&other.task).filter(|owner| graph.node(*owner).output != node.output)
            && graph.node(owner).duplicate_of.is_none()
        {
            let place = &graph.node(owner).output;
            return Some(format!(
                "`{}` holds what a person wrote for `{}`, whose output is `{place}` now (move the file there, or remove it)",
                node.output, other.task
            ));
        }
        // There: this task's own edit, left at a place that another task has now.
        let old = own.filter(|own| own.output != node.output.as_str() && on_disk.is_none())?;
        let path = crate::path::RelPath::parse(&old.output).ok()?;
        let claimed = graph.nodes().any(|(_, other)| other.output == path && other.duplicate_of.is_none());
        let text = self.workspace.shelf.digest(&path).ok().flatten()?;
        let edited =
            !old.knows(text) && self.workspace.lock.other_maker(node.id(), &old.output, text).is_none();
        (claimed && edited && lock.other_maker(node.id(), &old.output, text).is_none()).then(|| {
            format!(
                "`{path}` holds what a person wrote for `{}`, whose output is `{}` now (move the file there)",
                node.id(),
                node.output
            )
        })
    }

    /// What keeps a task from running: (blocked on, waiting on).
    fn above(&self, ix: Ix) -> (Vec<Ix>, Vec<Ix>) {
        let graph = self.scene.graph;
        let (mut blocked, mut waiting): (Vec<Ix>, Vec<Ix>) = (Vec::new(), Vec::new());
        let is_manual = |above: Ix| graph.node(above).task.run == Runner::Manual;
        for above in graph.hard(ix) {
            let Some(verdict) = &self.verdicts[above.0] else { continue };
            // Only a person can make a manual output: nothing below can run before.
            let unwritten = is_manual(above) && verdict.state == State::Missing;
            if verdict.blocks() || unwritten {
                blocked.push(above);
            } else if verdict.must_run() && !is_manual(above) {
                waiting.push(above);
            }
        }
        for above in graph.soft(ix).filter(|above| self.taking_part[above.0]) {
            let Some(verdict) = &self.verdicts[above.0] else { continue };
            // What failed gives its last good output.
            if verdict.must_run()
                && verdict.state != State::Failed
                && !is_manual(above)
                && !waiting.contains(&above)
            {
                waiting.push(above);
            }
        }
        (blocked, waiting)
    }

    /// Today's request: remembered if nothing that decides it changed, else put together.
    fn today(&self, ix: Ix, record: Option<&Record>) -> Result<(Today, Option<Box<Assembled>>), Trouble> {
        let shelf = &self.workspace.shelf;
        let id = self.scene.graph.node(ix).id();
        let expect = self.scene.expected(ix, shelf)?;
        let recipe = self.scene.recipe(ix, shelf);
        if let (Some(recipe), Some(recalled), Some(record)) = (recipe, shelf.recalled(id), record)
            && recalled.recipe == recipe
            && recalled.request == record.request
            && recalled.parts == record.parts.digest()
        {
            let today = Today { request: record.request, parts: record.parts.clone(), expect };
            return Ok((today, None));
        }
        let assembled = build(&self.scene, ix, &[], shelf)?;
        // A text that changed while the request was put together must not go under the old recipe.
        if let Some(recipe) = recipe.filter(|recipe| self.scene.recipe(ix, shelf) == Some(*recipe)) {
            let recalled = Recalled { recipe, request: assembled.digest, parts: assembled.parts.digest() };
            shelf.remember(id, recalled);
        }
        let today = Today { request: assembled.digest, parts: assembled.parts.clone(), expect };
        Ok((today, Some(Box::new(assembled))))
    }
}
