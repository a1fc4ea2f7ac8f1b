//! Building the graph, and what can be wrong between tasks: ids, links, documents, outputs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::resolve::{Documents, Ids};
use super::{Dep, Graph, Input, Ix, Node, Target, order};
use crate::diag::{Diagnostic, Sink, did_you_mean};
use crate::path::RelPath;
use crate::spec::{At, Config, ItemRef, LinkKind, Policy, Project, RetrieveFrom, Subject, Task, Vars};
use crate::spec::{ModelSettings, ProviderApi, reserved_place, split_heading};

/// Builds the graph of a project.
///
/// `files` are the project's files that document globs may find, sorted; `recorded` the places of
/// outputs that were written before, which globs skip. Problems go to the sink; after
/// an error the graph may lack links, order and levels.
pub fn build(project: Project, files: &[RelPath], recorded: &[RelPath], sink: &Sink) -> Graph {
    let tasks: Vec<Arc<Task>> = unique(project.tasks, sink).into_iter().map(Arc::new).collect();
    let by_id: HashMap<String, Ix> =
        tasks.iter().enumerate().map(|(at, task)| (task.id.value.clone(), Ix(at))).collect();
    let root = find_root(&tasks, sink);
    let ids = Ids::new(&tasks);
    let duplicates = resolve_duplicates(&tasks, &ids, sink);
    let outputs = outputs(&project.config, &tasks, &duplicates, sink);
    let documents = Documents::new(&project.config, files, recorded, &outputs);
    let vars = Arc::new(project.config.vars.clone());
    let mut searched =
        Searched { documents: &documents, config: &project.config, known: HashMap::new(), sink };

    let mut nodes = Vec::with_capacity(tasks.len());
    for (at, task) in tasks.iter().enumerate() {
        let linker = Linker {
            tasks: &tasks,
            ids: &ids,
            duplicates: &duplicates,
            documents: &documents,
            root,
            task,
            own: Ix(at),
            sink,
        };
        let model = task.model.over(&project.config.model);
        check_provider(task, &model, &project.config, sink);
        let policy = task.policy.over(&project.config.policy);
        nodes.push(Node {
            output: outputs[at].clone(),
            requires: linker.links(&task.requires, LinkKind::Requires),
            refers: linker.links(&task.refers, LinkKind::Refers),
            relates_to: linker
                .links(&task.relates_to, LinkKind::RelatesTo)
                .iter()
                .map(|dep| dep.task)
                .collect(),
            duplicate_of: duplicates[at],
            inputs: linker.inputs(),
            pin: linker.targets(&task.pin),
            exclude: linker.exclude(),
            manual: linker.targets(&task.manual),
            items: task.items.as_ref().map(|items| linker.targets(items)),
            searched: Arc::default(),
            after: Arc::default(),
            level: 0,
            model,
            policy,
            vars: merged(&vars, &task.vars),
            task: task.clone(),
        });
        if let Some(node) = nodes.last_mut().filter(|node: &&mut Node| node.retrieves()) {
            node.searched = searched.of(task, &node.policy);
        }
    }
    let mut graph = Graph {
        config: project.config,
        nodes,
        by_id,
        root,
        order: Vec::new(),
        plans: HashMap::new(),
        outside: None,
    };
    graph.group_plans();
    order::arrange(graph, sink)
}

/// Two tasks of one id: a file and a table. The first by place is kept.
fn unique(mut tasks: Vec<Task>, sink: &Sink) -> Vec<Task> {
    tasks.sort_by(|a, b| (&a.id.value, &a.id.source.path).cmp(&(&b.id.value, &b.id.source.path)));
    let mut kept: Vec<Task> = Vec::with_capacity(tasks.len());
    for task in tasks {
        match kept.last() {
            Some(first) if first.id.value == task.id.value => sink.push(
                Diagnostic::error(format!("two tasks have the id `{}`", task.id.value))
                    .at(task.id.place())
                    .also(first.id.place(), "the other one")
                    .help("rename one of them"),
            ),
            _ => kept.push(task),
        }
    }
    kept
}

fn find_root(tasks: &[Arc<Task>], sink: &Sink) -> Option<Ix> {
    let mut roots = tasks.iter().enumerate().filter(|(_, task)| task.root);
    let (at, first) = roots.next()?;
    for (_, second) in roots {
        sink.push(
            Diagnostic::error(format!("`{}` and `{}` are both root", first.id.value, second.id.value))
                .at(second.id.place())
                .also(first.id.place(), "the other one")
                .help("a project has one root task: remove `root = true` from the others"),
        );
    }
    for items in [&first.pin, &first.manual].into_iter().chain(first.items.as_ref()) {
        for item in items.iter().filter(|item| !matches!(item.value.subject, Subject::Doc(_))) {
            let message = match item.value.subject {
                Subject::Index => "the root task cannot read the index document: it writes it",
                _ => "the root task can have no output of a task in its context: all of them require it",
            };
            sink.push(Diagnostic::error(message).at(item.place()).help("take it out; documents are welcome"));
        }
    }
    Some(Ix(at))
}

/// For each task the one that stands for it, chains followed to their end.
fn resolve_duplicates(tasks: &[Arc<Task>], ids: &Ids<'_>, sink: &Sink) -> Vec<Option<Ix>> {
    let next: Vec<Option<Ix>> = tasks
        .iter()
        .map(|task| {
            let link = task.duplicates.as_ref()?;
            match ids.one(&task.id.value, &link.value) {
                Some(target) => Some(target),
                None => {
                    sink.push(ids.unknown(link, &link.value));
                    None
                }
            }
        })
        .collect();
    let mut ends = next.clone();
    for (at, task) in tasks.iter().enumerate() {
        let (Some(mut end), Some(link)) = (next[at], &task.duplicates) else { continue };
        let mut steps = 0;
        while let Some(further) = next[end.0] {
            end = further;
            steps += 1;
            if steps > tasks.len() {
                break;
            }
        }
        if steps > tasks.len() || end == Ix(at) {
            sink.push(
                Diagnostic::error(format!("`{}` is a duplicate of itself", task.id.value))
                    .at(link.place())
                    .help("one task of the circle must have a prompt of its own instead of `duplicates`"),
            );
            ends[at] = None;
        } else {
            ends[at] = Some(end);
        }
    }
    ends
}

fn outputs(config: &Config, tasks: &[Arc<Task>], duplicates: &[Option<Ix>], sink: &Sink) -> Vec<RelPath> {
    let own = |task: &Task| -> RelPath {
        if task.root {
            return config.index.clone();
        }
        match &task.output {
            Some(output) => output.value.clone(),
            // An id that is no path was diagnosed before; its place is then never used.
            None => RelPath::parse(&format!("{}/{}.md", config.outputs, task.id.value))
                .unwrap_or_else(|_| config.outputs.clone()),
        }
    };
    let place = |task: &Task| task.output.as_ref().map_or_else(|| task.id.place(), At::place);
    let outputs: Vec<RelPath> = tasks.iter().map(|task| own(task)).collect();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (at, task) in tasks.iter().enumerate() {
        if duplicates[at].is_some() {
            continue;
        }
        let output = &outputs[at];
        let reserved = if !task.root && output.folded() == config.index.folded() {
            Some("the index document")
        } else {
            reserved_place(output, &config.tasks)
        };
        if let Some(reserved) = reserved {
            sink.push(
                Diagnostic::error(format!("the output `{output}` is {reserved}"))
                    .at(place(task))
                    .help("choose another place with `output = \"…\"`"),
            );
        }
        if let Some(other) = taken.insert(output.folded(), at) {
            let same = outputs[other] == *output;
            let message = if same {
                format!("`{}` and `{}` have one output, `{output}`", tasks[other].id.value, task.id.value)
            } else {
                format!("the outputs `{}` and `{output}` differ in case only", outputs[other])
            };
            sink.push(
                Diagnostic::error(message)
                    .at(place(task))
                    .also(place(&tasks[other]), "the other one")
                    .help("give one of them another `output`"),
            );
        }
    }
    for (folded, at) in &taken {
        let mut folder = folded.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            folder = above;
            if let Some(other) = taken.get(folder) {
                sink.push(
                    Diagnostic::error(format!(
                        "the output `{}` would be a folder and a file",
                        outputs[*other]
                    ))
                    .at(place(&tasks[*other]))
                    .also(place(&tasks[*at]), "this output lies in it")
                    .help("give one of them another `output`"),
                );
            }
        }
    }
    let mut outputs = outputs;
    for at in 0..outputs.len() {
        if let Some(end) = duplicates[at] {
            outputs[at] = outputs[end.0].clone();
        }
    }
    outputs
}

fn check_provider(task: &Task, model: &ModelSettings, config: &Config, sink: &Sink) {
    let provider = &*model.provider;
    if let Some(known) = config.providers.get(provider) {
        if known.api.is_http() && known.model_for(&model.name).is_empty() {
            let place = task.model.provider.as_ref().or(config.provider_place.as_ref()).map(At::place);
            let mut diagnostic = Diagnostic::error(format!(
                "no model is named for the provider `{provider}`"
            ))
            .help(format!("add `name = \"…\"` to `[model]`, or `model = \"…\"` to `[providers.{provider}]`"));
            diagnostic.place = place.or_else(|| known.declared.as_ref().map(At::place));
            sink.push(diagnostic);
        }
        return;
    }
    let place = task.model.provider.as_ref().or(config.provider_place.as_ref()).map(At::place);
    let known = config.providers.keys().map(String::as_str);
    let mut diagnostic = Diagnostic::error(format!("no provider `{provider}`")).help(
        did_you_mean(provider, known.clone()).unwrap_or_else(|| {
            let known: Vec<&str> = known.collect();
            format!("known providers: {}; declare others as `[providers.{provider}]`", known.join(", "))
        }),
    );
    diagnostic.place = place;
    sink.push(diagnostic);
}

/// The documents that some globs find in a project whose graph is built; `files` and `recorded` as in
/// [`build`].
pub fn documents(
    graph: &Graph,
    files: &[RelPath],
    recorded: &[RelPath],
    globs: &[String],
) -> Result<Vec<RelPath>, String> {
    let outputs: Vec<RelPath> = graph.nodes.iter().map(|node| node.output.clone()).collect();
    let documents = Documents::new(&graph.config, files, recorded, &outputs);
    let mut found = Vec::new();
    for glob in globs {
        found.extend(documents.glob(glob)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The documents that retrievers look into; tasks of one list of globs share it.
struct Searched<'a> {
    documents: &'a Documents<'a>,
    config: &'a Config,
    known: HashMap<Vec<String>, Arc<Vec<RelPath>>>,
    sink: &'a Sink,
}

impl Searched<'_> {
    fn of(&mut self, task: &Task, policy: &Policy) -> Arc<Vec<RelPath>> {
        let retrieve = &policy.retrieve;
        let place = task.policy.retrieve_at.as_ref().or(self.config.retrieve_at.as_ref()).map(At::place);
        let tell = |mut problem: Diagnostic| {
            problem.place = place.clone();
            self.sink.push(problem);
        };
        if let Some(embed) = &retrieve.embed {
            match self.config.providers.get(&embed.provider).map(|provider| provider.api) {
                Some(ProviderApi::OpenAi) => {}
                Some(_) => tell(
                    Diagnostic::error(format!("the provider `{}` gives no embeddings", embed.provider)).help(
                        "take one with `api = \"openai\"`: any server with an /embeddings of that kind",
                    ),
                ),
                None => tell(
                    Diagnostic::error(format!("no provider `{}` for `embed`", embed.provider))
                        .help(format!("declare it as `[providers.{}]`", embed.provider)),
                ),
            }
        }
        if retrieve.documents.is_empty() && retrieve.from == RetrieveFrom::Documents {
            tell(
                Diagnostic::error(format!("`retrieve.k` is {} and there is nothing to search", retrieve.k))
                    .help("name documents, `documents = [\"docs/**/*.md\"]`, or set `from = \"upstream\"`"),
            );
        }
        if let Some(known) = self.known.get(&retrieve.documents) {
            return known.clone();
        }
        let mut found: Vec<RelPath> = Vec::new();
        for pattern in &retrieve.documents {
            match self.documents.glob(pattern) {
                Ok(some) => found.extend(some),
                Err(message) => tell(Diagnostic::error(message)),
            }
        }
        found.sort();
        found.dedup();
        if found.is_empty() && !retrieve.documents.is_empty() {
            tell(
                Diagnostic::warning(format!(
                    "`retrieve.documents` matches no document: {}",
                    retrieve.documents.join(", ")
                ))
                .help("globs start at the project's folder and skip outputs, hidden and ignored files"),
            );
        }
        let found = Arc::new(found);
        self.known.insert(retrieve.documents.clone(), found.clone());
        found
    }
}

fn merged(base: &Arc<Vars>, own: &Vars) -> Arc<Vars> {
    if own.is_empty() {
        return base.clone();
    }
    let mut vars = Vars::clone(base);
    vars.extend(own.clone());
    Arc::new(vars)
}

/// Resolves what one task names.
struct Linker<'a> {
    tasks: &'a [Arc<Task>],
    ids: &'a Ids<'a>,
    duplicates: &'a [Option<Ix>],
    documents: &'a Documents<'a>,
    root: Option<Ix>,
    task: &'a Task,
    own: Ix,
    sink: &'a Sink,
}

impl Linker<'_> {
    fn canonical(&self, ix: Ix) -> Ix {
        self.duplicates[ix.0].unwrap_or(ix)
    }

    fn links(&self, links: &[At<String>], kind: LinkKind) -> Vec<Dep> {
        let mut deps: Vec<Dep> = Vec::with_capacity(links.len());
        for link in links {
            let (name, heading) = split_heading(&link.value);
            for named in self.targets_of(link, name, kind) {
                let target = self.canonical(named);
                if target == self.own {
                    self.sink.push(self.self_link(link, kind, named));
                    continue;
                }
                // Everything requires the root by itself, and reads its output as the index.
                if Some(target) == self.root && matches!(kind, LinkKind::Requires | LinkKind::Refers) {
                    continue;
                }
                let heading = heading.map(str::to_owned);
                if !deps.iter().any(|dep| dep.task == target && dep.heading == heading) {
                    deps.push(Dep { task: target, heading, at: link.clone(), earlier: true });
                }
            }
        }
        deps
    }

    fn targets_of(&self, link: &At<String>, name: &str, kind: LinkKind) -> Vec<Ix> {
        if !super::resolve::is_glob(name) {
            return match self.ids.one(&self.task.id.value, name) {
                Some(target) => vec![target],
                None => {
                    self.sink.push(self.ids.unknown(link, name));
                    Vec::new()
                }
            };
        }
        match self.ids.glob(&self.task.id.value, name) {
            Err(message) => {
                self.sink.push(Diagnostic::error(message).at(link.place()));
                Vec::new()
            }
            Ok(mut found) => {
                // A glob means the others: not the task itself, nor the root, which is required anyway.
                found.retain(|ix| self.canonical(*ix) != self.own && Some(*ix) != self.root);
                found.sort_by_key(|ix| (self.tasks[ix.0].priority, &self.tasks[ix.0].id.value));
                if found.is_empty() {
                    self.sink.push(
                        Diagnostic::warning(format!("`{name}` matches no task")).at(link.place()).help(
                            format!("`{}` stays empty until a task of that name is there", kind.word()),
                        ),
                    );
                }
                found
            }
        }
    }

    /// A link to the task itself, or to a duplicate of it.
    fn self_link(&self, link: &At<String>, kind: LinkKind, named: Ix) -> Diagnostic {
        let help = match named == self.own {
            true => "remove the link".into(),
            false => format!("`{}` is a duplicate of it: remove the link", self.tasks[named.0].id.value),
        };
        Diagnostic::error(format!("the task `{}` {} itself", self.task.id.value, self_word(kind)))
            .at(link.place())
            .help(help)
    }

    fn inputs(&self) -> Vec<Input> {
        let mut inputs: Vec<Input> = Vec::with_capacity(self.task.inputs.len());
        let mut known: HashSet<(RelPath, Option<String>)> = HashSet::new();
        for text in &self.task.inputs {
            let (name, heading) = split_heading(&text.value);
            let heading = heading.map(str::to_owned);
            // A file of that very name is meant, however much its name looks like a glob.
            let literal = !super::resolve::is_glob(name) || self.documents.has(name);
            let found = if !literal {
                match self.documents.glob(name) {
                    Ok(found) if found.is_empty() => {
                        self.sink.push(
                            Diagnostic::warning(format!("`{name}` matches no document"))
                                .at(text.place())
                                .help(
                                    "globs start at the project's folder and skip outputs, hidden and ignored files",
                                ),
                        );
                        found
                    }
                    Ok(found) => found,
                    Err(message) => {
                        self.sink.push(Diagnostic::error(message).at(text.place()));
                        Vec::new()
                    }
                }
            } else {
                self.document(name, || text.place()).into_iter().collect()
            };
            for path in found {
                if known.insert((path.clone(), heading.clone())) {
                    inputs.push(Input { path, heading: heading.clone(), literal, at: text.clone() });
                }
            }
        }
        inputs
    }

    /// A document that is named literally, unless it is one that no request may hold.
    fn document(&self, name: &str, place: impl Fn() -> crate::diag::Place) -> Option<RelPath> {
        match RelPath::parse(name) {
            Err(problem) => {
                self.sink.push(Diagnostic::error(problem.message()).at(place()));
                None
            }
            Ok(path) => match self.documents.refused(&path) {
                Some(why) => {
                    self.sink.push(Diagnostic::error(format!("`{path}` cannot be read: {why}")).at(place()));
                    None
                }
                None => match self.documents.writer(&path) {
                    Some(writer) => {
                        let id = &self.tasks[self.canonical(writer).0].id.value;
                        self.sink.push(
                            Diagnostic::error(format!("`{path}` is the output of the task `{id}`"))
                                .at(place())
                                .help(format!(
                                    "name the task instead: `requires = [\"{id}\"]`, or `task:{id}`"
                                )),
                        );
                        None
                    }
                    None => Some(path),
                },
            },
        }
    }

    fn targets(&self, items: &[At<ItemRef>]) -> Vec<Target> {
        items.iter().filter_map(|item| self.target(item)).collect()
    }

    fn target(&self, item: &At<ItemRef>) -> Option<Target> {
        let heading = item.value.heading.clone();
        match &item.value.subject {
            Subject::Index => Some(Target::Index(heading)),
            Subject::Doc(path) => {
                let path = self.document(path, || item.place())?;
                let at = At { value: path.to_string(), source: item.source.clone(), span: item.span.clone() };
                Some(Target::Doc(Input { path, heading, literal: true, at }))
            }
            Subject::Task(name) => {
                let at = At { value: name.clone(), source: item.source.clone(), span: item.span.clone() };
                let Some(named) = self.ids.one(&self.task.id.value, name) else {
                    self.sink.push(self.ids.unknown(&at, name));
                    return None;
                };
                let target = self.canonical(named);
                if target == self.own {
                    self.sink.push(self.self_link(&at, LinkKind::Refers, named));
                    return None;
                }
                if Some(target) == self.root {
                    return Some(Target::Index(heading));
                }
                Some(Target::Task(Dep { task: target, heading, at, earlier: true }))
            }
        }
    }

    fn exclude(&self) -> Vec<ItemRef> {
        let mut refs = Vec::new();
        for item in &self.task.exclude {
            let subject = match &item.value.subject {
                Subject::Task(name) => match self.ids.one(&self.task.id.value, name) {
                    Some(target) => Subject::Task(self.tasks[self.canonical(target).0].id.value.clone()),
                    None => {
                        let at =
                            At { value: name.clone(), source: item.source.clone(), span: item.span.clone() };
                        self.sink.push(self.ids.unknown(&at, name));
                        continue;
                    }
                },
                other => other.clone(),
            };
            refs.push(ItemRef { subject, heading: item.value.heading.clone() });
        }
        refs
    }
}

fn self_word(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Requires => "requires",
        LinkKind::Refers => "refers to",
        LinkKind::RelatesTo => "relates to",
        LinkKind::Duplicates => "duplicates",
    }
}
