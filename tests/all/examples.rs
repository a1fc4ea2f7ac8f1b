//! Every folder in examples/ settles, and README's commands do what it says.

use std::path::{Path, PathBuf};

use crate::house::House;

fn copy(from: &Path, house: &House) {
    let tracked = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(from)
        .output();
    let output = tracked.expect("git lists the example");
    for name in String::from_utf8_lossy(&output.stdout).split('\0').filter(|name| !name.is_empty()) {
        house.put(name, std::fs::read(from.join(name)).expect("a file"));
    }
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("examples")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("meu.toml").is_file())
        .collect();
    found.sort();
    found
}

#[test]
fn every_example_settles() {
    let examples = examples();
    assert!(examples.len() >= 2);
    for example in examples {
        let house = House::empty();
        copy(&example, &house);
        house.meu(&["check"]).ok();
        let first = house.meu(&["run"]).ok();
        assert!(first.out.contains(" built"), "{}", first.out);
        let files = house.files();
        let second = house.meu(&["run"]).ok();
        assert!(second.out.starts_with("nothing to do: "), "{}: {}", example.display(), second.out);
        assert!(house.files() == files, "{} is written to by a second run", example.display());
        assert_eq!(house.meu(&["status", "--check"]).code, 0);
    }
}

#[test]
fn the_handbook_rebuilds_only_what_an_edit_touches() {
    let house = House::empty();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/field-handbook"), &house);
    house.meu(&["run"]).ok();
    let note = house.read("notes/results/reading-results.md");
    house.put(
        "notes/results/reading-results.md",
        format!("{note}\nA reading of zero is checked twice before it is believed.\n"),
    );
    let said = house.meu(&["run", "-j1", "--json"]).ok();
    let events =
        said.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an event"));
    let finished: Vec<String> = events
        .filter(|event| event["event"] == "task_finished")
        .map(|event| event["task"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(finished.contains(&"respond/interpret".to_owned()), "{finished:?}");
    assert!(!finished.iter().any(|task| task.starts_with("prepare")), "{finished:?}");
}

#[test]
fn readmes_commands_are_the_two_that_are_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let ci = std::fs::read_to_string(root.join(".ci/run")).expect(".ci/run");
    let commands: Vec<&str> = readme
        .split("```sh\n")
        .nth(1)
        .and_then(|block| block.split("```").next())
        .map(|block| block.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect())
        .unwrap_or_default();
    assert_eq!(commands.len(), 2, "README's first block has two commands: {commands:?}");
    let (build, test) = (commands[0], commands[1]);
    assert!(ci.lines().any(|line| line.trim() == test), ".ci/run calls `{test}`");
    assert!(ci.lines().any(|line| line.trim() == build), ".ci/run calls `{build}`");
    // The first command's own words, on a copy of its example.
    let example =
        build.split("-C ").nth(1).and_then(|rest| rest.split(' ').next()).expect("-C in the command");
    let house = House::empty();
    copy(&root.join(example), &house);
    house.meu(&["run"]).ok();
}
