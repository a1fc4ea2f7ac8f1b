//! `meu watch`

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;

use super::run::{self, bring_up_to_date};
use super::{Done, Env, select};
use crate::diag::{Error, ErrorKind};
use crate::digest::{Digest, Framer};
use crate::disk::{self, Moment, Workspace};
use crate::provider::end_programs;
use crate::run::{Options, Ran, Would, WouldRun, would_run};
use crate::show::Watched;
use crate::watch::{Scope, Watch, Woken};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu watch                        everything
  meu watch report --settle 10     the report, ten seconds after the last edit
  meu watch --max-cost 0.50        at most so much an hour
  meu watch -n                     only tell what is stale, and what it would cost")]
pub(super) struct Arguments {
    /// Which tasks; all if left out
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
    /// Not these, unless one that is built requires them
    #[arg(long, value_name = "SEL")]
    exclude: Vec<String>,
    /// Calls begin after so many seconds without an edit
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    settle: Duration,
    /// The most that may be spent in an hour, in the currency of the prices
    #[arg(long, value_name = "X", value_parser = run::amount, allow_negative_numbers = true)]
    max_cost: Option<f64>,
    /// Calls under way at once
    #[arg(short, long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    jobs: u16,
    /// Ask this provider instead of the configured ones
    #[arg(long, value_name = "P")]
    provider: Option<String>,
    /// Only tell what is stale
    #[arg(short = 'n', long)]
    dry_run: bool,
}

const HOUR: u64 = 3_600_000;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "write seconds, like 2 or 0.5".to_owned())
}

pub(super) fn watch(env: &Env, arguments: Arguments) -> Done {
    disk::on_interrupt(end_programs);
    let root = disk::find_project(&env.folder()?)?;
    let shown = Watched::new(env.shell);
    let mut watch = Watch::new()?;
    watch.set(Scope::whole(&root))?;
    // What a run left undone it would leave undone again.
    let mut left: Option<Digest> = None;
    let mut told: Option<Digest> = None;
    let mut spent: VecDeque<(Moment, f64)> = VecDeque::new();
    let mut seen: Option<Workspace> = None;
    loop {
        let now = look(&root, &arguments, &mut seen);
        let (would, tasks) = match now {
            Ok(now) => now,
            Err(error) => {
                let what = Digest::of(format!("{error:?}"));
                if told.replace(what) != Some(what) {
                    shown.wrong(&error);
                }
                if watch.set(Scope::whole(&root))? {
                    continue;
                }
                if watch.wait(None) == Woken::Interrupted {
                    return Ok(Some(ErrorKind::Interrupted));
                }
                continue;
            }
        };
        let what = fingerprint(&would);
        let nothing = would.tasks.is_empty() && would.waiting.is_empty();
        let stuck = left == Some(what);
        if told.replace(what) != Some(what) {
            match (nothing, stuck) {
                (true, _) => shown.settled(tasks),
                (_, true) => shown.stuck(&would),
                _ => shown.stale(&would),
            }
        }
        // Only now: who has just saved looks at the screen.
        if let Some(workspace) = &seen {
            let grew = watch.set(Scope::of(workspace))?;
            workspace.shelf.save();
            if grew {
                // What came to a new folder before it was watched nobody tells.
                continue;
            }
        }
        if nothing || stuck || arguments.dry_run {
            match watch.wait(None) {
                Woken::Interrupted => return Ok(Some(ErrorKind::Interrupted)),
                _ => continue,
            }
        }
        match watch.wait(Some(arguments.settle)) {
            Woken::Interrupted => return Ok(Some(ErrorKind::Interrupted)),
            // Still typing.
            Woken::Changed => continue,
            Woken::Quiet => {}
        }
        while spent.front().is_some_and(|(at, _)| at.ms() > HOUR) {
            spent.pop_front();
        }
        let used: f64 = spent.iter().map(|(_, cost)| cost).sum();
        told = None;
        left = match once(env, &arguments, used, &mut watch) {
            Ok((ran, edited)) => {
                let unknown = ran.sums.cost_unknown.unwrap_or_default();
                spent.push_back((Moment::now(), ran.sums.cost.unwrap_or_default() + unknown));
                if let Some(trouble) = &ran.trouble {
                    shown.wrong(trouble);
                }
                if ran.interrupted {
                    env.shell.note("interrupted; answers that came are kept, the next run goes on from here");
                    return Ok(Some(ErrorKind::Interrupted));
                }
                // What this very run could not do the next one could not either; anything else is news.
                let same = |would: &WouldRun| {
                    let done = |(id, ..): &Would| !ran.undone.contains(id);
                    ran.not_reached > 0 || !would.tasks.iter().any(done)
                };
                let now = look(&root, &arguments, &mut seen).ok().filter(|(would, _)| same(would));
                now.filter(|_| !edited && !watch.pending()).map(|(would, _)| fingerprint(&would))
            }
            // It could not even begin; what is stale is as stale as before.
            Err(error) => {
                shown.wrong(&error);
                Some(what)
            }
        };
    }
}

/// One run, within what is left of an hour's money, and whether somebody edited something meanwhile: then
/// nobody is asked any more.
fn once(env: &Env, arguments: &Arguments, used: f64, watch: &mut Watch) -> Result<(Ran, bool), Error> {
    let (hold, workspace) = env.load_held()?;
    let mut scope = Scope::of(&workspace);
    let outputs = workspace.graph.nodes().map(|(_, node)| node.output.clone());
    let own: Vec<_> = outputs.chain([workspace.graph.config.index.clone()]).collect();
    // What the run itself writes is no edit.
    for path in &own {
        scope.never.push(workspace.store.full(path));
    }
    scope.files.remove(&workspace.store.root().join("meu.lock"));
    watch.set(scope)?;
    let build_what = run::Arguments {
        selectors: arguments.selectors.clone(),
        exclude: arguments.exclude.clone(),
        jobs: arguments.jobs,
        keep_going: true,
        max_cost: arguments.max_cost.map(|cap| (cap - used).max(0.0)),
        provider: arguments.provider.clone(),
        ..run::Arguments::default()
    };
    let pending = std::cell::RefCell::new((watch, false));
    let cancel = || {
        let (watch, edited) = &mut *pending.borrow_mut();
        *edited = *edited || watch.pending();
        *edited
    };
    let ran = bring_up_to_date(env, workspace, None, &build_what, &cancel)?;
    let (ran, parcel) = ran.ok_or_else(|| Error::failed("nothing was run"))?;
    drop(hold);
    run::send(env, parcel);
    let (watch, edited) = pending.into_inner();
    let edited = edited || ran.saved_meanwhile || watch.pending();
    Ok((ran, edited))
}

/// What is stale, what would change that, and how many tasks it is about. `seen` is what the last look loaded.
fn look(
    root: &std::path::Path,
    arguments: &Arguments,
    seen: &mut Option<Workspace>,
) -> Result<(WouldRun, usize), Error> {
    let before = seen.take();
    let workspace = seen.insert(disk::reload(root, before, &disk::load)?.stamped());
    crate::show::redact_with(&workspace.redactor);
    if let Some(provider) = &arguments.provider {
        workspace.graph.use_provider(provider)?;
    }
    let targets = select::select(workspace, &arguments.selectors, &arguments.exclude)?;
    let graph = &workspace.graph;
    let chosen = graph.closure(targets.iter().copied(), |ix| graph.hard(ix));
    let tasks = chosen.iter().filter(|chosen| **chosen).count();
    let would = would_run(workspace, &Options { targets, ..Options::default() }, chosen);
    Ok((would, tasks))
}

fn fingerprint(would: &WouldRun) -> Digest {
    let mut framer = Framer::new("meu watch v1");
    for (id, reasons, tokens, _) in &would.tasks {
        framer.field(id).field(format!("{reasons:?}")).count(*tokens as usize);
    }
    framer.count(would.tasks.len());
    for id in &would.waiting {
        framer.field(id);
    }
    framer.finish()
}
