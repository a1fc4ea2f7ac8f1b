//! Making a proposal: from a file, by a model, from the prompt of a task.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Asking, Decompose, Import, Propose, Target, finish};
use crate::author::{
    self, Place, Question, Sketch, check_apart, joined, named_files, read_markdown, sketch_of, slug,
    take_apart,
};
use crate::cli::{Done, Env, select};
use crate::context::Shelf;
use crate::diag::{Error, Sink, Source};
use crate::disk::{self, About, Hold, Loader, Proposal, Proposals, Workspace, load_or_empty};
use crate::graph::Input;
use crate::path::RelPath;
use crate::provider::{Limits, Providers, end_programs};
use crate::run::{Landing, Planner, Reach, landing, told};
use crate::show::{self, counted, plain};
use crate::spec::{Provider, ProviderApi, Runner, parse_tasks};
use crate::text::portion;

/// A file that is named on the command line.
fn read(path: &Path) -> Result<(String, String), Error> {
    let full = disk::current_folder()?.join(path);
    let shown = path.to_string_lossy().replace('\\', "/");
    let text = disk::read_optional(&full)
        .and_then(|text| text.ok_or_else(|| "it is not there".into()))
        .map_err(|message| Error::invalid(format!("`{}` cannot be read: {message}", plain(&shown))))?;
    Ok((shown, text))
}

fn inside(into: &str) -> String {
    if into.is_empty() { String::new() } else { format!(" into {into}") }
}

/// Where a plan goes in a project as it is.
fn place(workspace: &Workspace, into: &str, name: &str) -> Result<Place, Error> {
    let graph = &workspace.graph;
    let base = Proposals(&workspace.store).base(name)?;
    let no_index = workspace.shelf.digest(&graph.config.index).ok().flatten().is_none();
    Ok(Place {
        into: into.to_owned(),
        known_before: base.keys().cloned().collect(),
        ids: Proposals(&workspace.store).find(name)?.map(|earlier| earlier.about.ids).unwrap_or_default(),
        prompts: base.iter().filter_map(|(id, text)| Some((id.clone(), author::prompt_of(text)?))).collect(),
        head: graph.find(into).is_none() || base.contains_key(into),
        root: (graph.root().is_none() && no_index) || base.contains_key("root"),
        known: graph.nodes().map(|(_, node)| node.id().to_owned()).collect::<BTreeSet<_>>(),
        manual: graph
            .nodes()
            .filter(|(_, node)| node.task.run == Runner::Manual)
            .map(|(_, node)| node.id().to_owned())
            .collect(),
    })
}

/// The folder that a plan goes into: an id, or nothing.
fn into_of(target: &Target) -> Result<String, Error> {
    let into = target.into.as_deref().unwrap_or_default().trim_matches('/').to_owned();
    if into.is_empty() {
        return Ok(into);
    }
    RelPath::parse_writable(&into)
        .map_err(|problem| Error::invalid(format!("--into {into}: {}", problem.message())))?;
    let sink = Sink::default();
    let source = Source { path: format!("--into {into}"), text: "prompt = \"x\"\n".into() };
    parse_tasks(&std::sync::Arc::new(source), &into, &sink);
    let problems = sink.into_sorted();
    if problems.is_empty() { Ok(into) } else { Err(Error::from(problems)) }
}

/// How a file is called in the name of a plan: from the project's folder, wherever the command is given.
fn called(workspace: &Workspace, path: &Path) -> String {
    let full = disk::current_folder().map(|folder| folder.join(path)).unwrap_or_else(|_| path.to_owned());
    let full = full.canonicalize().unwrap_or(full);
    full.strip_prefix(workspace.store.root()).unwrap_or(&full).to_string_lossy().replace('\\', "/")
}

/// Keeps a proposal and shows it.
fn keep(env: &Env, workspace: &Workspace, mut proposal: Proposal) -> Result<(Proposal, Landing), Error> {
    let proposals = Proposals(&workspace.store);
    let (name, earlier) = (&proposal.name, proposals.find(&proposal.name)?);
    if let Some(other) = earlier.as_ref().filter(|old| old.about.of != proposal.about.of) {
        return Err(Error::invalid(format!(
            "the proposal `{name}` is another plan: {}, and this is {}",
            other.about.of, proposal.about.of
        ))
        .help(format!("choose another --name, or `meu plan drop {name}` first")));
    }
    if let Some(edited) = earlier.filter(|old| !old.edited().is_empty()) {
        let which = edited.edited().join(", ");
        return Err(Error::failed(format!(
            "the proposal `{name}` was edited ({which}), and another would replace it"
        ))
        .help(format!(
            "`meu plan approve {name}` or `meu plan drop {name}` first, or choose another --name"
        )));
    }
    proposal.about.written = proposal.digests();
    // What does not stand in the project is not kept.
    let landing = landing(workspace, &proposal, &|_| true).map_err(|mut error| {
        for place in error.diagnostics.iter_mut().filter_map(|problem| problem.place.as_mut()) {
            place.file = format!("{} (not written)", place.file);
        }
        error
    })?;
    workspace.store.make_meu()?;
    proposals.put(&proposal)?;
    show::proposal(&env.shell, &proposal, &landing);
    Ok((proposal, landing))
}

fn next(env: &Env, name: &str) {
    env.shell.note(&format!(
        "nothing in tasks/ changed; `meu plan approve {name}` lets it land, `meu plan edit {name}` changes it"
    ));
}

/// A proposal out of a sketch.
fn proposal_of(
    sketch: &Sketch,
    place: &Place,
    name: String,
    source: String,
    of: String,
    workspace: &Workspace,
) -> Result<Proposal, Error> {
    let (files, left, ids) = named_files(sketch, place);
    let base = Proposals(&workspace.store).base(&name)?;
    let mut proposal = Proposal {
        about: About { source, of, left, ids, ..About::default() },
        base,
        name,
        ..Proposal::default()
    };
    for file in files {
        if let Some(output) = file.output {
            proposal.outputs.insert(file.id.clone(), output);
        }
        proposal.tasks.insert(file.id, file.text);
    }
    Ok(proposal)
}

pub(super) fn import(env: &Env, arguments: &Import) -> Done {
    let (file, text) = read(&arguments.file)?;
    let mut sketch = sketch_of(&plain(&file), &text, arguments.tag.as_deref(), arguments.in_order)?;
    if arguments.suggest_links {
        let links = author::suggest_links(&mut sketch);
        env.shell.note(&format!("{} suggested", counted(links, "link")));
    }
    let (_hold, workspace) = env.load_held_by(&load_or_empty)?;
    let stem = arguments.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = arguments.target.name.clone().unwrap_or_else(|| slug(&stem));
    let into = into_of(&arguments.target)?;
    let place = place(&workspace, &into, &name)?;
    let source = format!("{}, read from {file}", counted(sketch.len(), "task"));
    let tag = arguments.tag.as_ref().map_or(String::new(), |tag| format!(", tag {tag}"));
    let of = format!("{}{tag}{}", called(&workspace, &arguments.file), inside(&into));
    let (proposal, landing) =
        keep(env, &workspace, proposal_of(&sketch, &place, name, source, of, &workspace)?)?;
    if arguments.approve {
        return finish(env, &workspace, &proposal, &landing);
    }
    next(env, &proposal.name);
    Ok(None)
}

/// The project, held, with whoever is asked for plans as its provider.
fn load(env: &Env, asking: &Asking, load: &Loader) -> Result<(Hold, Workspace), Error> {
    let (hold, mut workspace) = env.load_held_by(load)?;
    if let Some(name) = &asking.provider {
        workspace.graph.use_provider(name)?;
    }
    Ok((hold, workspace))
}

/// Who is asked for plans.
fn provider(workspace: &Workspace) -> Result<&Provider, Error> {
    let config = &workspace.graph.config;
    let name = &config.model.provider;
    config.providers.get(name).ok_or_else(|| Error::invalid(format!("no provider `{name}`")))
}

/// Asks a model for a plan, and says what that took.
fn ask(
    env: &Env,
    workspace: &Workspace,
    provider: &Provider,
    asking: &Asking,
    question: &Question,
    misfits: &dyn Fn(&Planner<'_>, &Sketch) -> Vec<String>,
) -> Result<(Sketch, String), Error> {
    disk::on_interrupt(end_programs);
    let providers =
        Providers::new(&workspace.graph.config, workspace.redactor.clone(), workspace.store.root());
    let reach = Reach {
        depth: usize::from(asking.depth),
        breadth: usize::from(asking.breadth),
        limits: Limits { cost: asking.max_cost, tokens: asking.max_tokens },
        read: !asking.force,
    };
    workspace.store.make_meu()?;
    let tell = |line: &str| env.shell.note(&plain(line));
    let planner = Planner::new(workspace, &providers, provider, reach, &tell)?;
    let sketch = planner.plan(question, &|sketch| misfits(&planner, sketch))?;
    let sums = planner.sums();
    let spent = match (sums.tokens_in + sums.tokens_out, sums.cost) {
        (0, _) => String::new(),
        (tokens, Some(cost)) => format!("; {} tokens, cost {cost:.4}", show::grouped(tokens)),
        (tokens, None) => format!("; {} tokens", show::grouped(tokens)),
    };
    let source = format!("{} by {}{spent}", counted(sketch.len(), "task"), provider.name);
    Ok((sketch, source))
}

pub(super) fn propose(env: &Env, arguments: Propose) -> Done {
    let documents: Vec<(String, String)> =
        arguments.from.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let (_hold, workspace) = load(env, &arguments.asking, &load_or_empty)?;
    let provider = provider(&workspace)?;
    let into = into_of(&arguments.target)?;
    let by_place = (!into.is_empty()).then(|| into.replace('/', "-"));
    let name = arguments.target.name.clone().or(by_place).unwrap_or_else(|| slug(&arguments.goal));
    let place = place(&workspace, &into, &name)?;
    let (sketch, source) = if provider.api == ProviderApi::Offline {
        let mut sketches: Vec<Sketch> = documents
            .iter()
            .map(|(file, text)| sketch_of(&plain(file), text, None, false))
            .collect::<Result<_, _>>()?;
        let names: Vec<&str> = documents.iter().map(|(file, _)| file.as_str()).collect();
        let sketch = match sketches.len() {
            0 => {
                return Err(Error::invalid("the offline drafter cannot think of a plan")
                    .help("give it a text whose headings, lists or boxes are one with --from, or a model with --provider"));
            }
            1 => Sketch { title: arguments.goal.clone(), ..sketches.remove(0) },
            _ => joined(&arguments.goal, sketches),
        };
        let tasks = counted(sketch.len(), "task");
        (
            sketch,
            format!("{tasks}, read offline from the structure of {}; no model was asked", names.join(", ")),
        )
    } else {
        let is_inside = |id: &str| into.is_empty() || id == into || id.starts_with(&format!("{into}/"));
        let known = workspace.graph.nodes().filter(|(_, node)| is_inside(node.id()));
        let known = known.map(|(_, node)| format!("`{}`: {}", node.id(), node.task.title)).collect();
        let question = Question {
            goal: arguments.goal.clone(),
            documents,
            known,
            breadth: usize::from(arguments.asking.breadth),
            ..Question::default()
        };
        let misfits = |planner: &Planner<'_>, sketch: &Sketch| planner.misfits(sketch, &place);
        ask(env, &workspace, provider, &arguments.asking, &question, &misfits)?
    };
    let of = if into.is_empty() {
        format!("the goal {:?}", arguments.goal)
    } else {
        format!("a goal{}", inside(&into))
    };
    let (proposal, _) = keep(env, &workspace, proposal_of(&sketch, &place, name, source, of, &workspace)?)?;
    next(env, &proposal.name);
    Ok(None)
}

pub(super) fn decompose(env: &Env, arguments: &Decompose) -> Done {
    let (_hold, workspace) = load(env, &arguments.asking, &disk::load)?;
    let graph = &workspace.graph;
    let ix = select::one(&workspace, &arguments.task)?;
    check_apart(graph, ix)?;
    let node = graph.node(ix);
    let id = node.id().to_owned();
    let name = format!("decompose-{}", id.replace('/', "."));
    let provider = provider(&workspace)?;
    let place = Place { head: false, root: false, ..place(&workspace, &id, &name)? };
    // What the parts would land as, and what could not be carried over.
    let parts = |sketch: Sketch| -> Result<(Proposal, Vec<String>), Error> {
        let proposals = Proposals(&workspace.store);
        let earlier = proposals.find(&name)?.map(|old| old.about.reads).unwrap_or_default();
        let apart = take_apart(graph, ix, sketch, &place, earlier)?;
        let mut base = proposals.base(&name)?;
        base.entry(id.clone()).or_insert(apart.base);
        let about = About { of: format!("the parts of {id}"), reads: apart.reads, ..About::default() };
        let proposal =
            Proposal { name: name.clone(), about, tasks: apart.tasks, base, ..Proposal::default() };
        Ok((proposal, apart.left))
    };
    let prompt = node.task.prompt.as_ref().map_or(node.task.title.clone(), |prompt| prompt.value.clone());
    let (sketch, source) = if provider.api == ProviderApi::Offline {
        let sketch = read_markdown(&node.task.id.source.path, &prompt, false);
        let sketch = Sketch { is_template: true, ..sketch };
        if sketch.len() < 2 {
            return Err(Error::failed(format!(
                "the prompt of `{id}` has no list and no headings to read parts from"
            ))
            .help("the offline drafter reads structure; a model takes it apart with --provider"));
        }
        let tasks = counted(sketch.len(), "task");
        (
            sketch,
            format!("{tasks}, read offline from the structure of the prompt of {id}; no model was asked"),
        )
    } else {
        let mut documents = Vec::new();
        for Input { path, heading, .. } in &node.inputs {
            let text = workspace.shelf.text(path).ok().flatten();
            if let Some(text) =
                text.as_deref().and_then(|text| portion(path.as_str(), text, heading.as_deref()))
            {
                let section = heading.as_ref().map_or(String::new(), |heading| format!("#{heading}"));
                documents.push((format!("{path}{section}"), text.into_owned()));
            }
        }
        let there = graph.nodes().filter(|(_, other)| other.id().starts_with(&format!("{id}/")));
        let question = Question {
            goal: prompt,
            task: Some(node.task.title.clone()),
            documents,
            known: there.map(|(_, node)| format!("`{}`: {}", node.id(), node.task.title)).collect(),
            breadth: usize::from(arguments.asking.breadth),
        };
        let misfits = |_: &Planner<'_>, sketch: &Sketch| match parts(sketch.clone()) {
            Err(error) => told(&error),
            Ok((proposal, left)) if left.is_empty() => {
                landing(&workspace, &proposal, &|_| true).map_or_else(|error| told(&error), |_| Vec::new())
            }
            Ok((_, left)) => left,
        };
        ask(env, &workspace, provider, &arguments.asking, &question, &misfits)?
    };
    let (mut proposal, left) = parts(sketch)?;
    (proposal.about.source, proposal.about.left) = (source, left);
    let (proposal, _) = keep(env, &workspace, proposal)?;
    next(env, &proposal.name);
    Ok(None)
}
