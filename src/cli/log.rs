//! `meu log` and `meu show`

use clap::Args;
use serde_json::{Value, json};

use super::{Done, Env, select, span};
use crate::diag::Error;
use crate::disk::{self, Cache, KeptRun, RunSums};
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu log -n 5                 the last five runs
  meu log --since 7d           the last week, with its sums
  meu log --task report        the runs that made or tried it
  meu log --failed             the runs in which something failed")]
pub(super) struct Log {
    /// Since a day (2026-11-20), a moment (2026-11-20T12:00), or so long ago (30m, 12h, 7d)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only runs that made or tried these tasks; sums are of them alone
    #[arg(long, value_name = "SEL")]
    task: Vec<String>,
    /// Only runs in which something failed, or that were cut off
    #[arg(long)]
    failed: bool,
    /// At most the last so many
    #[arg(short, value_name = "N")]
    number: Option<usize>,
}

pub(super) fn log(env: &Env, arguments: Log) -> Done {
    let workspace = env.load_by(&disk::load_or_empty)?;
    let since = arguments.since.as_deref().map(moment).transpose()?;
    let wanted: Option<Vec<String>> = match arguments.task.is_empty() {
        true => None,
        false => {
            let found = select::select(&workspace, &arguments.task, &[])?;
            Some(found.into_iter().map(|ix| workspace.graph.node(ix).id().to_owned()).collect())
        }
    };
    let is_wanted = |event: &Value| {
        wanted
            .as_ref()
            .is_none_or(|ids| event["task"].is_null() || ids.iter().any(|id| event["task"] == id.as_str()))
    };
    let mut runs: Vec<(KeptRun, RunSums)> = Vec::new();
    for mut run in disk::kept_runs(&workspace.store) {
        run.events.retain(is_wanted);
        let sums = run.sums();
        let bad = sums.failed > 0 || run.status() == "cut off";
        let none = run.of("task_finished").chain(run.of("task_tried")).next().is_none();
        let old = since.as_ref().is_some_and(|since| run.started < *since);
        if old || (arguments.failed && !bad) || (wanted.is_some() && none) {
            continue;
        }
        runs.push((run, sums));
    }
    if let Some(most) = arguments.number {
        runs.drain(..runs.len().saturating_sub(most));
    }
    show::log(&env.shell, &runs);
    Ok(None)
}

/// The moment that somebody means, as run records write moments.
fn moment(text: &str) -> Result<String, Error> {
    if let Some(ago) = span(text) {
        return Ok(disk::ago(ago.as_secs()));
    }
    let digits: Vec<&str> = text.split(['-', 'T', ':', 'Z']).filter(|part| !part.is_empty()).collect();
    let within = |at: usize, most: u32| {
        digits.get(at).is_none_or(|part| part.parse::<u32>().is_ok_and(|number| number <= most))
    };
    let date = digits.len() >= 3
        && [(1, 12), (2, 31), (3, 23), (4, 59), (5, 60)].into_iter().all(|(at, most)| within(at, most))
        && digits.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        && text.as_bytes().get(4) == Some(&b'-')
        && text.as_bytes().get(7) == Some(&b'-');
    if date {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(format!("`{text}` is no moment")).help(
        "write a day (2026-11-20), a moment (2026-11-20T12:00, in UTC), or so long ago (30m, 12h, 7d, 2w)",
    ))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu show last                the last run
  meu show 20261122-13         the run whose name begins so
  meu show last report         one task of it, with each try
  meu show last report --prompt")]
pub(super) struct Show {
    /// The run's name, the beginning of it, or `last`
    run: String,
    /// One of its tasks
    task: Option<String>,
    /// Print the request as it was sent, but for what is never stored
    #[arg(long, requires = "task", conflicts_with_all = ["answer", "context"])]
    prompt: bool,
    /// Print the text that came of it
    #[arg(long, requires = "task", conflicts_with = "context")]
    answer: bool,
    /// List the items that were in the request
    #[arg(long, requires = "task")]
    context: bool,
}

pub(super) fn show(env: &Env, arguments: Show) -> Done {
    let workspace = env.load()?;
    let run = disk::kept_run(&workspace.store, &arguments.run)?;
    let Some(task) = &arguments.task else {
        show::run(&env.shell, &run);
        return Ok(None);
    };
    let of_task: Vec<&Value> = run.events.iter().filter(|event| event["task"] == task.as_str()).collect();
    let finished = of_task.iter().rev().find(|event| event["event"] == "task_finished");
    // A task that the run did not bring to its end was tried all the same.
    let Some(finished) = finished.or(of_task.iter().rev().find(|event| event["event"] == "task_tried"))
    else {
        let ids: Vec<&str> = run.of("task_finished").filter_map(|event| event["task"].as_str()).collect();
        return Err(Error::failed(format!("the run {} did nothing for `{task}`", run.name)).help(
            crate::diag::did_you_mean(task, ids.iter().copied())
                .unwrap_or_else(|| format!("its tasks: {}", ids.join(", "))),
        ));
    };
    let cache = Cache(&workspace.store);
    let gone = |what: &str| {
        Error::failed(format!("{what} of `{task}` in the run {} is not kept", run.name))
            .help("it was never there, or `.meu/cache` lost it")
    };
    let request = finished["request"].as_str().unwrap_or_default();
    if arguments.prompt {
        let sent = cache.sent(request).ok_or_else(|| gone("the request"))?;
        match env.shell.json {
            true => env.shell.json(&json!({"run": run.name, "task": task, "request": sent["request"]})),
            false => {
                for message in sent["request"]["messages"].as_array().into_iter().flatten() {
                    env.shell.out(&format!("--- {} ---", message["role"].as_str().unwrap_or_default()));
                    env.shell.out(message["content"].as_str().unwrap_or_default().trim_end());
                }
            }
        }
    } else if arguments.answer {
        let digest =
            [&finished["answer"], &finished["digest"]].into_iter().find_map(|digest| digest.as_str());
        let digest = digest.and_then(|digest| digest.parse().ok());
        let text = digest.and_then(|digest| cache.text(digest)).ok_or_else(|| gone("the text"))?;
        match env.shell.json {
            true => env.shell.json(&json!({"run": run.name, "task": task, "text": text})),
            false => env.shell.out(text.trim_end()),
        }
    } else if arguments.context {
        let (_, items) = cache.sent_items(request).ok_or_else(|| gone("the request"))?;
        show::sent_items(&env.shell, &run.name, task, &items);
    } else {
        show::run_task(&env.shell, &run, &of_task);
    }
    Ok(None)
}
