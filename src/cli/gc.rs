//! `meu gc` and `meu clean`

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Done, Env, span};
use crate::disk::{self, Garbage};
use crate::run::{Fate, Orphan, remove_orphans};
use crate::show::{counted, plain, sized};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu gc -n                        what would go
  meu gc                           what is older than 30 days
  meu gc --older-than 7d --max-size 200MB")]
pub(super) struct Gc {
    /// Only say what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// What is older than this goes (12h, 30d, 8w)
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = age)]
    older_than: Duration,
    /// Of the rest the oldest goes until no more than this is left (500MB, 2GB)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
}

pub(super) fn gc(env: &Env, arguments: Gc) -> Done {
    let (hold, workspace) = match arguments.dry_run {
        true => (None, env.load()?),
        false => env.load_held().map(|(hold, workspace)| (Some(hold), workspace))?,
    };
    let mut garbage = disk::garbage(&workspace, Some(arguments.older_than), arguments.max_size);
    let removed = if arguments.dry_run { Ok(()) } else { garbage.remove() };
    tell(env, &garbage, arguments.dry_run, &[]);
    if let Some(size) = arguments.max_size.filter(|size| garbage.kept_bytes > *size) {
        env.shell.note(&format!(
            "{} are needed, which is more than {}",
            sized(garbage.kept_bytes),
            sized(size)
        ));
    }
    drop(hold);
    removed.map(|()| None)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu clean -n                     what would go
  meu clean                        .meu/ but for answers that no record has yet
  meu clean --orphans              and outputs of tasks that are gone, unless a person changed them")]
pub(super) struct Clean {
    /// Only say what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove outputs of tasks that are gone with their records; those that a person changed stay
    #[arg(long)]
    orphans: bool,
}

pub(super) fn clean(env: &Env, arguments: Clean) -> Done {
    let (hold, workspace) = match arguments.dry_run {
        true => (None, env.load()?),
        false => env.load_held().map(|(hold, workspace)| (Some(hold), workspace))?,
    };
    let orphans = match arguments.orphans {
        true => remove_orphans(&workspace, arguments.dry_run)?,
        false => Vec::new(),
    };
    let kept: Vec<_> = orphans.iter().filter_map(|orphan| orphan.text).collect();
    let mut garbage = disk::all_of_meu(&workspace, &kept);
    let removed = if arguments.dry_run { Ok(()) } else { garbage.remove() };
    tell(env, &garbage, arguments.dry_run, &orphans);
    drop(hold);
    removed.map(|()| None)
}

fn tell(env: &Env, garbage: &Garbage, dry_run: bool, orphans: &[Orphan]) {
    let shell = &env.shell;
    if shell.json {
        let rows: Vec<_> = orphans
            .iter()
            .map(|orphan| {
                let (file, record) =
                    (orphan.fate == Fate::Removed, matches!(orphan.fate, Fate::Removed | Fate::Forgotten));
                json!({"task": orphan.task, "output": orphan.output, "removed": file, "forgotten": record})
            })
            .collect();
        return shell.json(&json!({
            "removed": garbage.files(), "bytes": garbage.bytes, "kept": garbage.kept, "kept_bytes": garbage.kept_bytes,
            "orphans": rows, "dry_run": dry_run,
        }));
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    for orphan in orphans {
        let (task, output) = (plain(&orphan.task), plain(&orphan.output));
        let forget = if dry_run { "would forget" } else { "forgot" };
        let line = match orphan.fate {
            Fate::Removed => format!("{verb} {output} of {task}"),
            Fate::Forgotten => format!("{forget} {task}; its output {output} is gone or another's"),
            Fate::Changed => format!("{output} of {task} was changed by hand and stays"),
            Fate::Elsewhere => {
                format!("{output} of {task} is not below the outputs, or is named elsewhere, and stays")
            }
        };
        shell.out(&line);
    }
    if !shell.quiet {
        shell.out(&format!(
            "{verb} {} ({}), {} ({}) kept",
            counted(garbage.files(), "file"),
            sized(garbage.bytes),
            counted(garbage.kept, "file"),
            sized(garbage.kept_bytes)
        ));
    }
}

fn age(text: &str) -> Result<Duration, String> {
    span(text).ok_or_else(|| "write an age like 12h, 30d or 8w".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => Some(1),
        "KB" | "K" => Some(1000),
        "MB" | "M" => Some(1_000_000),
        "GB" | "G" => Some(1_000_000_000),
        _ => None,
    };
    let count = digits.parse::<u64>().ok();
    unit.zip(count)
        .and_then(|(unit, count)| count.checked_mul(unit))
        .ok_or_else(|| "write a size like 500MB or 2GB".to_owned())
}
