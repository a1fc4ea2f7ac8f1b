//! `meu run`

use std::collections::HashMap;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{Done, Env, select};
use crate::context::{Shelf, Trouble};
use crate::diag::{Error, ErrorKind};
use crate::disk::{self, Cache, Trust, Usage, Workspace};
use crate::graph::{Graph, Ix};
use crate::model::{Refusal, Schema, faults};
use crate::plan::{State, Verdict};
use crate::provider::{Limits, Providers, Spent, end_programs, worst};
use crate::request::{Scene, build};
use crate::run::{Options, Ran, Survey};
use crate::show::{self, Reporter, WouldRun, plain};
use crate::spec::{Order, ProviderApi, Runner};

/// Bring tasks up to date: only those whose request changed are asked for, in order
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu run                      everything
  meu run report               the report, and what it requires
  meu run -n                   what would run, with tokens and worst cost
  meu run +report --force report
  meu run -j 8 -k              eight calls at once; go on after a failure
  meu run --frozen             from the cache only, for CI")]
pub(super) struct Arguments {
    /// Which tasks (ids, globs, tag:, plan:, state:, path:, changed:; +SEL, SEL+); all if left out
    #[arg(add = super::shell::task_ids())]
    pub(super) selectors: Vec<String>,
    /// Leave these out
    #[arg(long, value_name = "SEL")]
    pub(super) exclude: Vec<String>,
    /// Calls under way at once
    #[arg(short, long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) jobs: u16,
    /// Go on after a failure with what does not depend on it
    #[arg(short, long)]
    pub(super) keep_going: bool,
    /// Only list what would run, with tokens and worst cost
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Ask these again, whatever is recorded
    #[arg(long, value_name = "SEL")]
    pub(super) force: Vec<String>,
    /// Take these as they are
    #[arg(long, value_name = "SEL")]
    pub(super) assume_fresh: Vec<String>,
    /// Which of the tasks that may run goes first; changes no output
    #[arg(long, value_enum, default_value = "dag")]
    pub(super) order: OrderName,
    /// Answer from the cache only; a miss fails
    #[arg(long)]
    pub(super) frozen: bool,
    /// Do not read the cache
    #[arg(long)]
    pub(super) no_cache: bool,
    /// The most that may be spent, in the currency of the prices
    #[arg(long, value_name = "X", value_parser = amount)]
    pub(super) max_cost: Option<f64>,
    /// The most tokens, sent and answered
    #[arg(long, value_name = "N")]
    pub(super) max_tokens: Option<u64>,
    /// Ask this provider instead of the configured ones
    #[arg(long, value_name = "P")]
    pub(super) provider: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OrderName {
    Dag,
    Bfs,
    Postorder,
}

/// A finite amount of at least 0.
pub(super) fn amount(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|amount| amount.is_finite() && *amount >= 0.0)
        .ok_or_else(|| "write an amount like 0.50".to_owned())
}

impl Default for Arguments {
    fn default() -> Self {
        Arguments {
            selectors: Vec::new(),
            exclude: Vec::new(),
            jobs: 8,
            keep_going: false,
            dry_run: false,
            force: Vec::new(),
            assume_fresh: Vec::new(),
            order: OrderName::Dag,
            frozen: false,
            no_cache: false,
            max_cost: None,
            max_tokens: None,
            provider: None,
        }
    }
}

pub(super) fn run(env: &Env, arguments: Arguments) -> Done {
    disk::on_interrupt(end_programs);
    let (_hold, workspace) = match arguments.dry_run {
        true => (None, env.load()?),
        false => env.load_held().map(|(hold, workspace)| (Some(hold), workspace))?,
    };
    let Some(ran) = bring_up_to_date(env, workspace, &arguments, &|| false)? else { return Ok(None) };
    if ran.interrupted {
        env.shell.note("interrupted; answers that came are kept, the next run goes on from here");
        return Ok(Some(ErrorKind::Interrupted));
    }
    let bad = ran.sums.failed + ran.sums.blocked + ran.sums.awaiting > 0;
    Ok(bad.then_some(ErrorKind::Failed))
}

/// Builds what the arguments say, or only tells what would be built (`None`). With `cancel` nobody is asked
/// any more.
pub(super) fn bring_up_to_date(
    env: &Env,
    mut workspace: Workspace,
    arguments: &Arguments,
    cancel: &dyn Fn() -> bool,
) -> Result<Option<Ran>, Error> {
    if let Some(provider) = &arguments.provider {
        workspace.graph.use_provider(provider)?;
    }
    let workspace = workspace;
    let graph = &workspace.graph;
    let targets = select::select(&workspace, &arguments.selectors, &arguments.exclude)?;
    let some = |selectors: &[String]| match selectors.is_empty() {
        true => Ok(Vec::new()),
        false => select::select(&workspace, selectors, &[]),
    };
    let mut options = Options {
        force: some(&arguments.force)?,
        assume_fresh: some(&arguments.assume_fresh)?,
        targets,
        jobs: usize::from(arguments.jobs),
        keep_going: arguments.keep_going,
        order: match arguments.order {
            OrderName::Dag => Order::Dag,
            OrderName::Bfs => Order::Bfs,
            OrderName::Postorder => Order::Postorder,
        },
        frozen: arguments.frozen,
        no_cache: arguments.no_cache,
        limits: Limits { cost: arguments.max_cost, tokens: arguments.max_tokens },
        refused: Default::default(),
    };
    let providers =
        Arc::new(Providers::new(&graph.config, workspace.redactor.clone(), workspace.store.root()));
    let chosen = graph.closure(options.targets.iter().copied(), |ix| graph.hard(ix));
    if arguments.dry_run {
        show::would_run(&env.shell, &would_run(&workspace, &options, chosen));
        return Ok(None);
    }
    for ix in options.force.iter().filter(|ix| !chosen[ix.0]) {
        env.shell.note(&format!("{} is not in this run, so it is not forced", plain(graph.node(*ix).id())));
    }
    options.refused = refuse_early(&workspace, &providers, &options, &chosen)?;

    if !options.frozen {
        let embedders = providers.clone();
        let capped = options.limits.any();
        let redactor = workspace.redactor.clone();
        let refuse = graph.config.redact.refuse;
        let shell = env.shell;
        let (config, store) = (graph.config.clone(), workspace.store.clone());
        workspace.shelf.embed_with(move |embed, texts| {
            // The same yes as for any other call, and before anything is sent.
            if let Some(provider) = config.providers.get(&embed.provider) {
                let untrusted = Trust::of_provider(provider, &store).missing();
                if !untrusted.is_empty() {
                    let error = untrusted.refused();
                    let lines: Vec<&str> = untrusted.lines().collect();
                    let message = format!("{}: {}", error.message, lines.join(", "));
                    return Err(Trouble::new(
                        message,
                        "look at it, then say `meu trust`; in CI set MEU_TRUST=1",
                    ));
                }
            }
            // A cap must never be passed, and what a call for vectors takes is not reserved.
            if capped {
                return Err(Trouble::new(
                    format!("vectors by `{}` are missing, and under a cap none are asked for", embed.model),
                    "run once without --max-cost and --max-tokens; vectors are kept",
                ));
            }
            if let Some(secret) = texts.iter().find_map(|text| redactor.secrets(text).pop()) {
                let what = format!(
                    "a passage that `{}` is to make vectors of holds {}",
                    embed.model, secret.looks_like
                );
                if refuse {
                    let help = "take it out of there, or out of `retrieve.documents`";
                    return Err(Trouble::new(
                        format!("{what}, and `secrets = \"refuse\"` lets none out"),
                        help,
                    ));
                }
                shell.note(&format!("warning: {}", plain(&what)));
            }
            let refused = |refusal: Refusal| Trouble { message: refusal.message, help: refusal.help };
            embedders.embed(&embed.provider, &embed.model, texts).map_err(refused)
        });
    }
    let total = chosen.iter().filter(|chosen| **chosen).count();
    let duplicates = graph.nodes().filter(|(ix, node)| chosen[ix.0] && node.duplicate_of.is_some()).count();
    let width =
        graph.nodes().filter(|(ix, _)| chosen[ix.0]).map(|(_, node)| node.id().len()).max().unwrap_or(0);
    let reporter = Reporter::new(env.shell, width);
    let ran = crate::run::run(&workspace, &providers, &options, cancel, &mut |event| reporter.event(event))?;
    super::write_index(&workspace)?;
    workspace.shelf.save();
    reporter.summary(&ran.sums, total - duplicates, ran.not_reached);
    Ok(Some(ran))
}

/// What forbids a run before its first step: trust, keys, prices. Returns what may not be asked for,
/// should it come to that.
fn refuse_early(
    workspace: &Workspace,
    providers: &Providers,
    options: &Options,
    chosen: &[bool],
) -> Result<HashMap<Ix, Error>, Error> {
    let graph = &workspace.graph;
    let asks = |ix: Ix| match &graph.node(ix).task.run {
        Runner::Program(_) => true,
        Runner::Model => graph.provider(ix).is_some_and(|provider| provider.api != ProviderApi::Offline),
        _ => false,
    };
    let asks = |ix: Ix| asks(ix) || graph.embedder(ix).is_some();
    let is_model = |ix: Ix| graph.node(ix).task.run == Runner::Model;
    let could: Vec<Ix> = graph.nodes().map(|(ix, _)| ix).filter(|ix| chosen[ix.0] && asks(*ix)).collect();
    for ix in could.iter().copied().filter(|ix| options.limits.cost.is_some() && is_model(*ix)) {
        if let Some(name) =
            graph.providers(ix).find(|provider| provider.price.is_none()).map(|provider| &provider.name)
        {
            return Err(Error::invalid(format!(
                "--max-cost needs a price, and the provider `{name}` has none"
            ))
            .help(format!(
                "add `price = {{ input = …, output = … }}` (per million tokens) to [providers.{name}]"
            )));
        }
    }
    // Who judges outputs judges stored answers too, and what nobody is asked for.
    let judged: Vec<Ix> = graph
        .nodes()
        .filter(|(ix, node)| {
            chosen[ix.0] && node.task.expect.as_ref().is_some_and(|expect| !expect.command.is_empty())
        })
        .map(|(ix, _)| ix)
        .collect();
    let store = &workspace.store;
    let judges = Trust::judges(graph, judged.iter().copied(), store);
    if options.frozen {
        providers.allow(judges.permits());
        let untrusted = judges.missing();
        return if untrusted.is_empty() { Ok(HashMap::new()) } else { Err(untrusted.refused()) };
    }
    let could: Vec<Ix> = {
        let mut all = could;
        all.extend(judged);
        all.sort_unstable();
        all.dedup();
        all
    };
    if could.is_empty() {
        return Ok(HashMap::new());
    }
    providers.allow(Trust::wanted(graph, could.iter().copied(), store).permits());
    let missing = |tasks: &[Ix]| Trust::wanted(graph, tasks.iter().copied(), store).missing();
    let keyless = |ix: Ix| {
        let model = is_model(ix).then_some(graph.node(ix).model.provider.as_str());
        let embedder = graph.embedder(ix).map(|provider| provider.name.as_str());
        model.into_iter().chain(embedder).find_map(|name| providers.check(name).err())
    };
    // All that will be asked for is refused at once; what only may be, when it comes to it.
    let verdicts = Survey::with_options(workspace, chosen.to_vec(), &options.force, &options.assume_fresh);
    let will: Vec<Ix> =
        could.iter().copied().filter(|ix| verdicts[ix.0].as_ref().is_none_or(Verdict::must_run)).collect();
    let untrusted = missing(&will);
    if !untrusted.is_empty() {
        return Err(untrusted.refused());
    }
    if let Some(error) = will.iter().find_map(|ix| keyless(*ix)) {
        return Err(error);
    }
    let refused = |ix: Ix| {
        let untrusted = missing(&[ix]);
        if untrusted.is_empty() { keyless(ix) } else { Some(untrusted.refused()) }
    };
    Ok(could.into_iter().filter_map(|ix| Some((ix, refused(ix)?))).collect())
}

/// Whether a stored answer is what its task expects, as far as that can be told without a program.
fn meets(workspace: &Workspace, ix: Ix, text: &str) -> bool {
    let node = workspace.graph.node(ix);
    let Some(expect) = &node.task.expect else { return true };
    let schema = node.schema().and_then(|path| workspace.shelf.text(path).ok().flatten());
    let schema = schema.and_then(|text| Schema::parse(&text).ok());
    faults(expect, schema.as_ref(), node.policy.tokenizer, text).is_empty()
}

/// The most that a task can cost: the dearest of its providers, every answer sent back as often as may
/// be, each time with the answer in the request.
fn worst_cost(graph: &Graph, ix: Ix, usage: &Usage, tokens: u64, messages: usize) -> Option<f64> {
    let node = graph.node(ix);
    let most = node.model.max_output_tokens as u64;
    let repairs = node.task.expect.as_ref().map_or(0, |expect| expect.repairs as u64);
    let mut all: Option<f64> = Some(0.0);
    for provider in graph.providers(ix) {
        let factor = usage.factor(&provider.name, node.policy.tokenizer).unwrap_or(1.0);
        let calls = (0..=repairs).map(|nth| {
            worst(provider, tokens + nth * (most + REPAIR), factor, messages + 2 * nth as usize, most)
        });
        let cost = calls.fold(Spent::nothing(), Spent::and).cost;
        all = all.zip(cost).map(|(all, one)| all.max(one));
    }
    all
}

/// Tokens of the words around what is wrong with an answer, about.
const REPAIR: u64 = 300;

/// What a run would do, in order.
pub(super) fn would_run(workspace: &Workspace, options: &Options, chosen: Vec<bool>) -> WouldRun {
    let graph = &workspace.graph;
    let verdicts = Survey::with_options(workspace, chosen, &options.force, &options.assume_fresh);
    let scene = Scene { graph, templates: &workspace.templates };
    let usage = Usage::load(&workspace.store);
    let (mut tasks, mut waiting) = (Vec::new(), Vec::new());
    for ix in graph.order() {
        let Some(verdict) = &verdicts[ix.0] else { continue };
        let node = graph.node(*ix);
        let forced = options.force.contains(ix) && verdict.state != State::Duplicate;
        let waits =
            verdict.state == State::Waiting || (verdict.state == State::Missing && !verdict.on.is_empty());
        if options.assume_fresh.contains(ix) || node.task.run == Runner::Manual {
            continue;
        } else if waits {
            waiting.push(node.id().to_owned());
        } else if verdict.must_run() || forced {
            let is_model = node.task.run == Runner::Model;
            let request = is_model.then(|| build(&scene, *ix, &[], &workspace.shelf).ok()).flatten();
            let count = |text: &str| Shelf::count(&workspace.shelf, node.policy.tokenizer, text) as u64;
            let cache = Cache(&workspace.store);
            let answer = request.as_ref().filter(|_| !forced && !options.no_cache);
            let answer = answer.and_then(|built| cache.answer(built.digest)).map(|(_, text)| text);
            // An answer that is not what the task expects is sent back, and that is not free.
            let cached = answer.is_some_and(|text| meets(workspace, *ix, &text));
            let request = request.filter(|_| !cached);
            let tokens_in: u64 = request
                .iter()
                .flat_map(|built| &built.request.messages)
                .map(|message| count(&message.content))
                .sum();
            let cost = match &request {
                // It cannot be put together yet: what it will cost nobody knows.
                None if is_model && !cached => None,
                None => Some(0.0),
                Some(built) => worst_cost(graph, *ix, &usage, tokens_in, built.request.messages.len()),
            };
            let tokens_in = usage.worst(&node.model.provider, node.policy.tokenizer, tokens_in);
            tasks.push((node.id().to_owned(), verdict.reasons.clone(), tokens_in, cost));
        }
    }
    workspace.shelf.save();
    WouldRun { tasks, waiting }
}
