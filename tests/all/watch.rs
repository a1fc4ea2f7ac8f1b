//! `meu watch`: whatever edits do to the files, it ends in the state that a run from nothing gives.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::House;
use crate::server::{Server, whole};

/// A watch under way, and what it says.
struct Watching {
    child: Child,
    lines: Receiver<Value>,
}

/// Longer than anything takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Watching {
    fn new(house: &House, arguments: &[&str]) -> Self {
        let all = [&["watch", "--json"], arguments].concat();
        let mut child = house
            .command(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("meu starts");
        let out = child.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Watching { child, lines }
    }

    /// The events up to one of this kind.
    fn until(&self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {kind} after {events:#?}"));
            let found = event["event"] == kind || (kind == "error" && event["error"].is_object());
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// Ends it as a person would; the exit code.
    fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plan() -> House {
    House::new()
        .file("notes/x.md", "x\n")
        .file("y.md", "y\n")
        .task("a", "inputs = [\"notes/*.md\"]\n")
        .task("b", "inputs = [\"y.md\"]\n")
        .task("c", "requires = [\"a\"]\n")
}

/// Waits until a separate `status --check` finds all fresh.
fn until_fresh(house: &House, what: &str) {
    let began = Instant::now();
    loop {
        let said = house.meu(&["status", "--check"]);
        if said.code == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {}{}", said.out, said.err);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_edit_is_built_and_nothing_else() {
    let house = plan();
    let watching = Watching::new(&house, &["--settle", "0", "-j1"]);
    watching.until("settled");
    assert_eq!(house.asked(), ["a", "b", "c"]);
    house.put("y.md", "new\n");
    let events = watching.until("settled");
    assert_eq!(house.asked(), ["b"]);
    assert_eq!((&events[0]["event"], &events[0]["tasks"][0]), (&"stale".into(), &"b".into()));
    // As editors save: a new file in the place of the old one.
    house.put("y.md.swp", "newer\n");
    std::fs::rename(house.root().join("y.md.swp"), house.root().join("y.md")).expect("renamed");
    watching.until("settled");
    assert_eq!(house.asked(), ["b"]);
    // A new file for a glob, in a folder that was not there; it does not match, and then one does.
    house.put("notes/z.md", "z\n");
    watching.until("settled");
    assert_eq!(house.asked(), ["a"]);
    // A new task.
    house.task_put("d", "requires = [\"b\"]\n");
    watching.until("settled");
    assert_eq!(house.asked(), ["d"]);
    // A person's edit of an output is read by those below.
    house.put("out/a.md", "my words\n");
    watching.until("settled");
    assert_eq!(house.asked(), ["c"]);
    assert_eq!(watching.end(), Some(130));
}

#[test]
fn a_project_that_is_not_whole_is_told_and_waited_for() {
    let house = plan();
    let watching = Watching::new(&house, &["--settle", "0"]);
    watching.until("settled");
    let good = house.read("tasks/b.toml");
    house.put("tasks/b.toml", "prompt = \"half a li");
    let error = watching.until("error").pop().expect("an error");
    assert_eq!(error["error"]["diagnostics"][0]["file"], "tasks/b.toml");
    house.asked();
    house.put("tasks/b.toml", good.replace("answer of", "another answer of"));
    watching.until("settled");
    assert_eq!(house.asked(), ["b"]);
    // A file that vanishes and comes back as it was asks nobody.
    house.remove("y.md");
    watching.until("error");
    house.put("y.md", "y\n");
    watching.until("settled");
    assert_eq!(house.asked(), [""; 0]);
}

#[test]
fn nothing_is_spent_before_the_pause_and_never_under_n() {
    let house = plan();
    for arguments in [&["--settle", "86400"][..], &["--settle", "0", "-n"]] {
        let watching = Watching::new(&house, arguments);
        let event = watching.until("stale").pop().expect("an event");
        assert_eq!(
            (&event["tasks"], &event["waiting"]),
            (&serde_json::json!(["a", "b"]), &serde_json::json!(["c"]))
        );
        house.put("y.md", "new\n");
        house.put("tasks/e.toml", "prompt = \"one more\"\n");
        let event = watching.until("stale").pop().expect("an event");
        assert!(event["tasks"].as_array().is_some_and(|tasks| tasks.len() >= 2));
        assert_eq!(house.asked(), [""; 0]);
        house.remove("tasks/e.toml");
        assert_eq!(watching.end(), Some(130));
    }
}

#[test]
fn what_failed_is_not_tried_again_without_a_change() {
    let house = plan();
    house.hook("[ \"$title\" != b ] || exit 1\n");
    let watching = Watching::new(&house, &["--settle", "0"]);
    let events = watching.until("stuck");
    assert_eq!(events.last().expect("an event")["tasks"], serde_json::json!(["b"]));
    assert_eq!(house.asked().iter().filter(|title| *title == "b").count(), 1);
    house.hook("");
    house.put("y.md", "new\n");
    watching.until("settled");
    assert_eq!(house.asked(), ["b"]);
}

#[test]
fn an_hour_has_so_much_money() {
    let server = Server::new(|_, _| whole("Text."));
    let house = House::empty()
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"p\"\nname = \"m\"\nmax_output_tokens = 100\n[context]\ntokenizer = \"chars\"\n[providers.p]\nbase_url = \"http://{}/v1\"\nretries = 0\nprice = {{ input = 0.0, output = 100.0 }}\n",
                server.address
            ),
        )
        .file("y.md", "y\n")
        .task("a", "inputs = [\"y.md\"]\n");
    // A call costs 0.01 at its worst and 0.0007 in truth.
    let watching = Watching::new(&house, &["--settle", "0", "--max-cost", "0.0105"]);
    watching.until("settled");
    house.put("y.md", "new\n");
    let events = watching.until("stuck");
    let failed = events.iter().find(|event| event["event"] == "task_finished").expect("a failure");
    assert_eq!(
        failed["reason"],
        "its call could cost 0.0100, and 0.0000 of 0.0098 are spent (raise --max-cost; the next run goes on here)"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn bursts_of_edits_end_where_a_run_from_nothing_does() {
    let house = plan();
    let watching = Watching::new(&house, &["--settle", "0"]);
    watching.until("settled");
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut number = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for round in 0..12 {
        for _ in 0..=number(40) {
            let text = format!("{}\n", number(5));
            match number(7) {
                0 => house.put("y.md", text),
                1 => house.put("notes/x.md", text),
                2 => house.put(&format!("notes/n{}.md", number(3)), text),
                3 => {
                    let _ = std::fs::remove_file(house.root().join(format!("notes/n{}.md", number(3))));
                }
                4 => {
                    house.put("notes/.swap", text);
                    std::fs::rename(house.root().join("notes/.swap"), house.root().join("notes/x.md"))
                        .expect("renamed");
                }
                5 => house.task_put("b", &format!("inputs = [\"y.md\"]\npriority = {}\n", number(3))),
                _ => house
                    .task_put("d", &format!("requires = [\"{}\"]\n", ["a", "b", "c"][number(3) as usize])),
            }
        }
        until_fresh(&house, &format!("round {round}"));
    }
    drop(watching);
    // The same files, and nothing that was built.
    let fresh = House::new();
    for (path, bytes) in house.files() {
        if !path.starts_with("out/") && path != "meu.lock" && path != "INDEX.md" {
            fresh.put(&path, bytes);
        }
    }
    fresh.meu(&["run"]).ok();
    let made = |house: &House| -> Vec<_> {
        house.files().into_iter().filter(|(path, _)| path.starts_with("out/") || path == "INDEX.md").collect()
    };
    assert_eq!(made(&house), made(&fresh));
}

/// Contents decide, not times: who saves with a wrong clock is heard, and a time alone is no edit.
#[test]
fn a_clock_that_jumps_changes_nothing() {
    let house = plan();
    house.meu(&["run"]).ok();
    let watch = Watching::new(&house, &["--settle", "0"]);
    watch.until("settled");
    let ages = [1_000_000_000u64, 4_000_000_000];
    for (number, age) in ages.into_iter().enumerate() {
        let path = house.root().join("y.md");
        let when = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(age);
        let set = || {
            let file = std::fs::File::options().append(true).open(&path).expect("a document");
            file.set_modified(when).expect("a time");
        };
        house.put("y.md", format!("y {number}\n"));
        set();
        let events = watch.until("run_finished");
        let asked: Vec<&Value> = events
            .iter()
            .filter(|event| event["event"] == "task_finished")
            .map(|event| &event["task"])
            .collect();
        assert_eq!(asked, ["b"], "{events:#?}");
        watch.until("settled");
        set();
    }
    house.put("notes/x.md", "x again\n");
    let events = watch.until("run_finished");
    assert!(events.iter().all(|event| event["task"] != "b"), "a time alone is no edit: {events:#?}");
    assert_eq!(watch.end(), Some(130));
}

/// The system watches folders, not places.
#[test]
fn a_folder_that_another_took_the_place_of_is_watched() {
    let house = plan();
    let watching = Watching::new(&house, &["--settle", "0", "-j1"]);
    watching.until("settled");
    house.asked();
    let root = house.root();
    for round in 0..3 {
        house.put("new/x.md", format!("{round}\n"));
        std::fs::rename(root.join("notes"), root.join(format!("old{round}"))).expect("away");
        std::fs::rename(root.join("new"), root.join("notes")).expect("there");
        until_fresh(&house, "another folder");
        house.put("notes/x.md", format!("{round} again\n"));
        until_fresh(&house, "a file in it");
    }
    assert!(house.asked().iter().all(|title| title == "a"));
}
