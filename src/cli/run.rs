//! `meu run`

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{Done, Env, select};
use crate::diag::{Error, ErrorKind};
use crate::disk::{self, Recorded, Trust, Workspace};
use crate::graph::shard as shard_of;
use crate::provider::{Limits, Parcel, Providers, Trace, end_programs};
use crate::run::{Options, Ran, prepare, rows, would_run};
use crate::seal::{self, Part};
use crate::show::{self, Reporter, plain};
use crate::spec::Order;

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
    /// Not these, unless one that is built requires them
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
    #[arg(long, value_name = "X", value_parser = amount, allow_negative_numbers = true)]
    pub(super) max_cost: Option<f64>,
    /// The most tokens, sent and answered
    #[arg(long, value_name = "N")]
    pub(super) max_tokens: Option<u64>,
    /// Ask this provider instead of the configured ones
    #[arg(long, value_name = "P")]
    pub(super) provider: Option<String>,
    /// Only the I-th of N parts of each level, and what those require; N machines with one MEU_CACHE_DIR make
    /// all of it
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(super) shard: Option<(usize, usize)>,
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

/// A part of several, from 1.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(nth, of)| Some((nth.parse().ok()?, of.parse().ok()?)));
    parts
        .filter(|(nth, of)| (1..=*of).contains(nth))
        .ok_or_else(|| "write a part like 1/4, from 1 to 4 of 4".to_owned())
}

impl Arguments {
    /// Whether they ask for nothing but that everything be brought up to date.
    fn is_plain(&self) -> bool {
        let Arguments {
            selectors,
            exclude,
            force,
            assume_fresh,
            dry_run,
            frozen,
            max_cost,
            provider,
            shard,
            ..
        } = self;
        // Those that change nothing of a run that has nothing to do.
        let Arguments { jobs: _, keep_going: _, order: _, no_cache: _, max_tokens: _, .. } = self;
        let lists = [selectors, exclude, force, assume_fresh];
        let any = lists.iter().any(|list| !list.is_empty());
        !any && !dry_run && !frozen && max_cost.is_none() && provider.is_none() && shard.is_none()
    }
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
            shard: None,
        }
    }
}

pub(super) fn run(env: &Env, arguments: Arguments) -> Done {
    let mut held = None;
    if arguments.is_plain()
        && let Some((hold, seal)) = env.sealed_held()?
    {
        if seal.stands() {
            let reporter = Reporter::new(env.shell, std::iter::empty::<&str>());
            reporter.nothing_to_do(disk::run_name(), seal.counts());
            return Ok(None);
        }
        let part = env.part(seal)?;
        held = part.map(|(part, workspace)| (Some(hold), workspace, Some(part)));
    }
    disk::on_interrupt(end_programs);
    let (hold, workspace, part) = match (held, arguments.dry_run) {
        (Some(part), _) => part,
        (None, true) => (None, env.load()?, None),
        (None, false) => env.load_held().map(|(hold, workspace)| (Some(hold), workspace, None))?,
    };
    let Some((ran, parcel)) = bring_up_to_date(env, workspace, part, &arguments, &|| false)? else {
        return Ok(None);
    };
    drop(hold);
    send(env, parcel);
    if let Some(trouble) = ran.trouble {
        return Err(trouble);
    }
    if ran.interrupted {
        env.shell.note("interrupted; answers that came are kept, the next run goes on from here");
        return Ok(Some(ErrorKind::Interrupted));
    }
    let bad = ran.sums.failed + ran.sums.blocked + ran.sums.awaiting > 0;
    Ok(bad.then_some(ErrorKind::Failed))
}

/// Builds what the arguments say, of a project or of a part of it, or only tells what would be built (`None`).
/// With `cancel` nobody is asked any more.
pub(super) fn bring_up_to_date(
    env: &Env,
    mut workspace: Workspace,
    part: Option<Part>,
    arguments: &Arguments,
    cancel: &dyn Fn() -> bool,
) -> Result<Option<(Ran, Option<Parcel>)>, Error> {
    if let Some(provider) = &arguments.provider {
        workspace.graph.use_provider(provider)?;
    }
    let workspace = workspace;
    let graph = &workspace.graph;
    let mut options = options(env, &workspace, arguments)?;
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
    let total = chosen.iter().filter(|chosen| **chosen).count() + graph.outside();
    let duplicates = graph.nodes().filter(|(ix, node)| chosen[ix.0] && node.duplicate_of.is_some()).count();
    let reporter = match &part {
        Some(part) => Reporter::new(env.shell, part.ids()),
        None => {
            let ids = graph.nodes().filter(|(ix, _)| chosen[ix.0]).map(|(_, node)| node.id());
            Reporter::new(env.shell, ids)
        }
    };
    workspace.shelf.tell_of_index(reporter.indexing());
    prepare(&workspace, &providers, &mut options, &chosen, reporter.teller())?;
    let telemetry = &graph.config.telemetry;
    let untrusted = Trust::of_telemetry(telemetry, &workspace.store).missing();
    let refused =
        untrusted.lines().next().map(|line| format!("not allowed yet: {line} (`meu trust` allows it)"));
    let mut trace = Trace::new(telemetry, &workspace.store, &workspace.redactor, refused);
    let mut ran = crate::run::run(&workspace, &providers, &options, cancel, &mut |event| {
        trace.event(event);
        reporter.event(event);
    })?;
    // After a run that had nothing to do INDEX.md is as it should be; titles and places are as they were.
    let index = if part.is_none() { super::write_index(&workspace) } else { Ok(false) };
    let index_written = *index.as_ref().unwrap_or(&false);
    ran.trouble = ran.trouble.or(index.err());
    workspace.shelf.save();
    reporter.summary(&ran.sums, total - duplicates, ran.not_reached);
    if arguments.is_plain() && !index_written && ran.trouble.is_none() {
        keep_finding(&workspace, part, &ran, ran.sums.fresh + ran.sums.stale == total - duplicates);
    }
    let parcel = trace.parcel();
    Ok(Some((ran, parcel)))
}

/// What the arguments say of a run of a project, or of a part of it.
fn options(env: &Env, workspace: &Workspace, arguments: &Arguments) -> Result<Options, Error> {
    let mut targets = select::select(workspace, &arguments.selectors, &arguments.exclude)?;
    if let Some((nth, of)) = arguments.shard {
        targets = shard_of(&workspace.graph, &targets, nth, of);
        if targets.is_empty() {
            env.shell.note(&format!("part {nth} of {of} holds no task"));
        }
    }
    if let Some(shared) = workspace.store.shared()
        && let Err(error) = disk::make_folder(shared)
    {
        env.shell.note(&plain(&format!("warning: MEU_CACHE_DIR is not used: {}", error.message)));
    }
    let some = |selectors: &[String]| match selectors.is_empty() {
        true => Ok(Vec::new()),
        false => select::select(workspace, selectors, &[]),
    };
    Ok(Options {
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
    })
}

/// Keeps what a run of all found, if it left nothing to do; `idle` is one in which everything was up to date.
fn keep_finding(workspace: &Workspace, part: Option<Part>, ran: &Ran, idle: bool) {
    match part {
        Some(part) => part.keep(workspace, ran),
        None if ran.is_final() || (idle && ran.recorded == Recorded::Nothing) => {
            seal::keep(workspace, &rows(workspace, &ran.verdicts), ran.recorded, true);
        }
        None => {}
    }
}

/// Sends the trace of a run, once the project is free for others.
pub(super) fn send(env: &Env, parcel: Option<Parcel>) {
    if let Some(Err(why)) = parcel.map(Parcel::send) {
        env.shell.note(&plain(&format!("warning: the trace of this run did not arrive: {why}")));
    }
}
