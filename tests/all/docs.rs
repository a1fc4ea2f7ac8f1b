//! What the pages in `docs/` show, done: commands are run, files are written as they stand there.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use meu::diag::{Sink, Source};
use meu::spec::{parse_config, parse_tasks};

use crate::house::{House, said};

/// A block of a page: what it is, and its lines.
struct Block {
    kind: String,
    line: usize,
    text: String,
}

fn pages() -> Vec<(String, Vec<Block>)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(top.join("docs")).expect("docs").flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    files.push(top.join("README.md"));
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a page");
            let mut blocks: Vec<Block> = Vec::new();
            let mut open = false;
            for (at, line) in text.lines().enumerate() {
                match line.strip_prefix("```") {
                    Some(kind) if !open => {
                        blocks.push(Block { kind: kind.into(), line: at + 1, text: String::new() });
                        open = true;
                    }
                    Some(_) => open = false,
                    None if open => {
                        let block = blocks.last_mut().expect("a block");
                        block.text.push_str(line);
                        block.text.push('\n');
                    }
                    None => {}
                }
            }
            (path.file_name().expect("a name").to_string_lossy().into_owned(), blocks)
        })
        .collect()
}

/// Whether the lines that are shown are among those that were printed; `…` stands for any words.
fn shows(shown: &[&str], printed: &str) -> Result<(), String> {
    for line in shown.iter().filter(|line| **line != "…") {
        let parts: Vec<&str> = line.split('…').map(str::trim_end).collect();
        let fits = |printed: &str| {
            let mut rest = printed;
            parts.iter().enumerate().all(|(at, part)| match rest.find(part.trim_start()) {
                Some(found) if at > 0 || found == 0 || printed.starts_with(part) => {
                    rest = &rest[found + part.trim_start().len()..];
                    true
                }
                _ => at == 0 && printed.trim_start().starts_with(part.trim_start()),
            }) && (parts.len() > 1 || printed.trim_end() == parts[0] || printed.trim() == parts[0].trim())
        };
        // In any order: which of two calls at once ends first is not told.
        if !printed.lines().any(fits) {
            return Err(format!("{line:?} is not in:\n{printed}"));
        }
    }
    Ok(())
}

/// Runs the commands of a block; a command's folder holds for those after it.
fn run(page: &str, block: &Block, house: &House, folder: &mut std::path::PathBuf) {
    let bin = Path::new(env!("CARGO_BIN_EXE_meu")).parent().expect("a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
    let mut commands: Vec<(&str, Vec<&str>, i32)> = Vec::new();
    for line in block.text.lines() {
        match (line.strip_prefix("$ "), line.strip_prefix("# exit "), commands.last_mut()) {
            (Some(command), ..) => commands.push((command, Vec::new(), 0)),
            (_, Some(code), Some(last)) => last.2 = code.parse().expect("a number"),
            (_, _, Some(last)) => last.1.push(line),
            _ => panic!("{page}:{}: {line:?} comes before any command", block.line),
        }
    }
    for (command, shown, code) in commands {
        if let Some(to) = command.strip_prefix("cd ") {
            folder.push(to);
            continue;
        }
        let mut shell = Command::new("bash");
        shell
            .args(["-c", command])
            .current_dir(&*folder)
            .env_clear()
            .env("PATH", &path)
            .env("HOME", house.home());
        shell.env("LC_ALL", "C.UTF-8").env("GIT_CONFIG_GLOBAL", "/dev/null").env("NO_COLOR", "1");
        let said = said(shell.output().expect("bash starts"));
        let printed = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, code, "{page}:{}: {command}\n{printed}", block.line);
        shows(&shown, &printed).unwrap_or_else(|why| panic!("{page}:{}: {command}: {why}", block.line));
    }
}

#[test]
fn every_command_of_the_guides_does_what_they_show() {
    let mut ran = 0;
    for (page, blocks) in pages() {
        let house = House::empty();
        let mut folder = house.root();
        for block in blocks.iter().filter(|_| ["guide.md", "plans.md", "ci.md"].contains(&page.as_str())) {
            // A file with its place in its first line is one.
            let place = block
                .text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("# "))
                .filter(|place| place.ends_with(".toml"));
            match (block.kind.as_str(), place) {
                ("console", _) => {
                    ran += 1;
                    run(&page, block, &house, &mut folder);
                }
                ("toml", Some(place)) => std::fs::write(folder.join(place), &block.text).expect("a file"),
                _ => {}
            }
        }
    }
    assert!(ran >= 14, "{ran}");
}

#[test]
fn every_toml_block_is_a_task_or_a_project() {
    let mut read = 0;
    for (page, blocks) in pages() {
        for block in blocks.iter().filter(|block| block.kind == "toml") {
            let source =
                Arc::new(Source { path: format!("{page}:{}", block.line), text: block.text.clone() });
            let problems = |read: &dyn Fn(&Sink)| -> Vec<String> {
                let sink = Sink::default();
                read(&sink);
                let all = sink.into_sorted().into_iter().map(|problem| problem.message);
                // A part of a file may leave out what another part has.
                all.filter(|message| !message.contains("has no prompt") && !message.contains("no provider"))
                    .collect()
            };
            let as_task = problems(&|sink| drop(parse_tasks(&source, "task", sink)));
            let as_project = problems(&|sink| drop(parse_config(&source, sink)));
            assert!(
                as_task.is_empty() || as_project.is_empty(),
                "{page}:{}: {as_task:?} {as_project:?}\n{}",
                block.line,
                block.text
            );
            read += 1;
        }
    }
    assert!(read >= 20, "{read}");
}

#[test]
fn every_command_that_a_page_names_is_one() {
    let house = House::empty();
    let mut tried = 0;
    for (page, blocks) in pages() {
        for block in &blocks {
            let named = block.text.lines().map(|line| line.trim_start_matches("$ "));
            for command in named
                .filter(|line| line.starts_with("meu ") && !line.contains(['|', '>', '…', '`', '[', '<']))
            {
                let command =
                    command.split(" #").next().unwrap_or(command).split("   ").next().unwrap_or(command);
                let mut shell = Command::new("bash");
                let bin = Path::new(env!("CARGO_BIN_EXE_meu")).parent().expect("a folder");
                shell.args(["-c", command]).current_dir(house.home()).env_clear().env("HOME", house.home());
                shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
                let said = said(shell.output().expect("bash starts"));
                let usage =
                    ["unexpected argument", "unrecognized subcommand", "invalid value", "required arguments"];
                assert!(
                    !usage.iter().any(|wrong| said.err.contains(wrong)),
                    "{page}:{}: {command}: {}",
                    block.line,
                    said.err
                );
                tried += 1;
            }
        }
    }
    assert!(tried >= 20, "{tried}");
}
