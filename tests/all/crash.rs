//! Law 5: outputs, then record. The process dies, or the disk is full, at every write point of a run.

use meu::digest::Digest;

use crate::house::House;
use crate::server::{Seen, Server, whole};

const TASKS: [&str; 4] = ["root", "a", "b", "c"];

fn plan() -> House {
    House::new()
        .file("tasks/root.toml", "title = \"root\"\nroot = true\nprompt = \"answer of root\"\n")
        .file("x.md", "x\n")
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n")
        .task("c", "run = \"template\"\nrequires = [\"b\"]\n")
}

/// What an undisturbed run makes.
fn undisturbed() -> std::collections::BTreeMap<String, Vec<u8>> {
    let house = plan();
    house.meu(&["run", "-j1"]).ok();
    assert_eq!(house.asked(), TASKS[..3]);
    house.files()
}

fn no_leftovers(house: &House) {
    let outside: Vec<String> =
        house.files().into_keys().filter(|path| path.contains("tmp") || path.contains(".new")).collect();
    assert_eq!(outside, [""; 0]);
    let left = std::fs::read_dir(house.root().join(".meu/tmp")).expect("tmp").flatten().count();
    assert_eq!(left, 0);
}

fn at_every_point(kind: &str) {
    let expected = undisturbed();
    let mut hurt = 0;
    for number in 1.. {
        let mut house = plan();
        house.env("MEU_FAIL", &format!("{kind}:{number}"));
        let cut = house.meu(&["run", "-j1"]);
        house.without_env("MEU_FAIL");
        // Whatever is there is whole: an output has its text or is not there at all.
        for (path, bytes) in house.files() {
            if path.starts_with("out/") {
                assert_eq!(Some(&bytes), expected.get(&path), "{kind}:{number} {path}");
            }
        }
        let status = house.meu(&["status"]);
        assert_eq!(status.code, 0, "{kind}:{number} {}", status.err);
        assert!(!status.out.contains("edited"), "{kind}:{number}: meu's own text is no edit\n{}", status.out);
        house.meu(&["run", "-j1"]).ok();
        let asked = house.asked();
        assert!(asked.len() <= 4, "{kind}:{number}: {asked:?} were asked");
        assert!(house.files() == expected, "{kind}:{number}: other files than those of an undisturbed run");
        no_leftovers(&house);
        house.run_asks(&[]);
        // One write that failed may be one that was not needed; then the run goes on.
        hurt += usize::from(cut.code != 0);
        let over = if kind == "broken" { number > 80 } else { cut.code == 0 };
        if over {
            assert!(hurt > 10, "{kind}: only {hurt} points hurt");
            assert!(number > 20, "only {number} points were reached");
            return;
        }
    }
}

#[test]
fn killed_at_every_write_point_a_run_goes_on() {
    at_every_point("kill");
}

#[test]
fn an_empty_file_that_a_power_cut_left_is_no_text_of_anybody() {
    let expected = undisturbed();
    let mut torn = 0;
    for number in 1.. {
        let mut house = plan();
        house.env("MEU_FAIL", &format!("kill:{number}"));
        let cut = house.meu(&["run", "-j1"]);
        house.without_env("MEU_FAIL");
        if cut.code == 0 {
            break;
        }
        let place = |name: &str| house.root().join(name);
        // Once the lock is there the text is on the medium.
        if !place("out/c.md").exists() || place("meu.lock").exists() {
            continue;
        }
        torn += 1;
        // The journal tells of a text there, and the medium never had it.
        house.put("out/c.md", "");
        let said = house.meu(&["run", "-j1"]);
        assert_eq!(said.code, 1, "kill:{number} {}", said.out);
        assert!(said.out.contains("the text there is not one that meu wrote"), "kill:{number} {}", said.out);
        assert_eq!(house.read("out/c.md"), "");
        for name in ["out/c.md", "out/c.new.md"] {
            std::fs::remove_file(place(name)).expect("it is there");
        }
        house.meu(&["run", "-j1"]).ok();
        assert!(house.files() == expected, "kill:{number}");
    }
    assert!(torn > 0);
}

#[test]
fn a_full_disk_at_every_write_point_loses_nothing() {
    at_every_point("full");
}

#[test]
fn a_failing_medium_at_every_write_point_loses_nothing() {
    at_every_point("broken");
}

/// Fifty tasks in five layers, answered by a server; each answer says what was asked.
fn fifty(server: &Server) -> House {
    let mut house = House::empty().file(
        "meu.toml",
        format!(
            "[model]\nprovider = \"p\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\nbase_url = \"http://{}/v1\"\n",
            server.address
        ),
    );
    for at in 0..50 {
        let requires = if at < 10 { String::new() } else { format!("requires = [\"t{:02}\"]\n", at - 10) };
        house = house.task(&format!("t{at:02}"), &requires);
    }
    house
}

/// Numbers that look random, the same in each run. (Vigna, xorshift64*, 2014.)
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

/// Fifty tasks are cut off by a signal, at `moments` moments, and run again to the end.
fn cut_off(signal: &str, moments: usize, seed: u64) {
    let answer = |_: usize, seen: &Seen| whole(&seen.prompt());
    let undisturbed = Server::new(answer);
    let house = fifty(&undisturbed);
    house.meu(&["run"]).ok();
    let calm = |house: &House| -> std::collections::BTreeMap<String, Vec<u8>> {
        // The port differs from server to server.
        house.files().into_iter().filter(|(path, _)| path != "meu.toml").collect()
    };
    let expected = calm(&house);
    let mut number = numbers(seed);
    for moment in 0..moments {
        let (at, delay) = (number(50) as usize, std::time::Duration::from_micros(number(4000)));
        let (reached, wait) = std::sync::mpsc::channel();
        let reached = std::sync::Mutex::new(reached);
        let server = Server::new(move |nth, seen| {
            if nth == at {
                let _ = reached.lock().expect("reached").send(());
            }
            answer(nth, seen)
        });
        let house = fifty(&server);
        let mut child = house
            .command(&["run", "-q"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("meu starts");
        wait.recv().expect("the request comes");
        // Any moment will do; this only spreads them.
        let until = std::time::Instant::now() + delay;
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        let pid = child.id().to_string();
        std::process::Command::new("kill").args([signal, &pid]).status().expect("kill");
        let status = child.wait().expect("it ends");
        let before = server.seen().len();
        let place = format!("{signal} {moment}: at request {at}, {delay:?} later");
        if signal == "-INT" && !status.success() {
            assert_eq!(status.code(), Some(130), "{place}");
        }
        for (path, bytes) in calm(&house) {
            if path.starts_with("out/") {
                assert_eq!(Some(&bytes), expected.get(&path), "{place}: {path}");
            }
        }
        house.meu(&["run"]).ok();
        let mut prompts = server.prompts();
        let all = prompts.len();
        prompts.sort();
        prompts.dedup();
        assert_eq!(prompts.len(), 50, "{place}");
        let twice = all - 50;
        // Eight were in flight at most; a person's Ctrl-C lets those come.
        let allowed = if signal == "-INT" { 0 } else { 8 };
        assert!(twice <= allowed, "{place}: {twice} were asked twice, {before} before the cut");
        assert!(calm(&house) == expected, "{place}: other files than those of an undisturbed run");
        no_leftovers(&house);
        assert!(house.meu(&["run"]).ok().out.contains("nothing to do"), "{place}");
    }
}

#[test]
fn killed_at_any_moment_nothing_is_paid_for_twice() {
    cut_off("-KILL", 70, 1);
}

#[test]
fn killed_at_any_other_moment_nothing_is_paid_for_twice() {
    cut_off("-KILL", 70, 2);
}

#[test]
fn killed_at_still_other_moments_nothing_is_paid_for_twice() {
    cut_off("-KILL", 60, 3);
}

#[test]
fn interrupted_at_any_moment_no_answer_is_lost() {
    cut_off("-INT", 50, 4);
}

#[test]
fn an_interrupted_run_keeps_the_answers_in_flight() {
    let house = plan();
    // The model interrupts meu as a person would, and then answers.
    house.hook("if [ \"$title\" = a ]; then kill -INT $PPID; sleep 0.2; fi\n");
    let said = house.meu(&["run", "-j1"]);
    assert_eq!(said.code, 130, "{}{}", said.out, said.err);
    assert_eq!(house.asked(), ["root", "a"]);
    house.hook("");
    house.run_asks(&["b"]);
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let house = plan();
    // While the model answers, another run is tried from inside it.
    let inner =
        format!("{} run > \"$HOME/inner\" 2>&1; echo $? >> \"$HOME/inner\"\n", env!("CARGO_BIN_EXE_meu"));
    house.hook(&format!("if [ \"$title\" = root ]; then {} fi\n", inner.replace('\n', ";")));
    house.meu(&["run", "-j1"]).ok();
    let inner = std::fs::read_to_string(house.home().join("inner")).expect("the inner run's words");
    assert!(inner.starts_with("error: another run holds the project (process "), "{inner}");
    assert!(inner.ends_with("\n4\n"), "{inner}");
}

#[test]
fn a_crash_under_force_pays_once() {
    let mut house = plan();
    house.run_asks(&["root", "a", "b"]);
    // Killed after root's new answer is in the journal.
    house.env("MEU_FAIL", "kill:3");
    assert_eq!(house.meu(&["run", "-j1", "--force", "root"]).code, -1);
    house.without_env("MEU_FAIL");
    house.meu(&["run", "-j1", "--force", "root"]).ok();
    assert_eq!(house.asked(), ["root"]);
}

#[test]
fn a_record_whose_text_was_refused_does_not_count_after_a_kill() {
    let house = House::new().file("x.md", "one\n").task("a", "inputs = [\"x.md\"]\n");
    let lock = |house: &House| house.read("meu.lock");
    let line =
        |lock: &str| lock.lines().find(|line| line.contains("\"task\":\"a\"")).expect("a line").to_owned();
    house.answers("a", "old\n");
    house.run_asks(&["a"]);
    let before = lock(&house);
    house.put("x.md", "two\n");
    house.answers("a", "new\n");
    house.run_asks(&["a"]);
    let (old, new) = (Digest::of("old\n"), Digest::of("new\n"));
    let record = format!(
        "{{\"record\":{{\"record\":{},\"before\":\"{old}\",\"writes\":\"{new}\"}}}}\n",
        line(&lock(&house))
    );
    // As a run leaves it that was cut off, and what a person has saved.
    house.put("meu.lock", &before);
    house.put("out/a.md", "mine\n");
    house.put(".meu/journal", &record);
    assert_eq!(house.meu(&["status", "--check"]).code, 0, "an edit of what was written");
    house.put(".meu/journal", format!("{record}{{\"refused\":{{\"task\":\"a\",\"writes\":\"{new}\"}}}}\n"));
    assert_eq!(house.meu(&["status", "--check"]).code, 3, "it was never written");
    // The answer is merged with what is there, or put beside it; nobody is asked again.
    house.asked();
    assert_eq!(house.meu(&["run"]).code, 1);
    assert_eq!(house.asked(), [""; 0]);
    assert_eq!((house.read("out/a.md").as_str(), house.read("out/a.new.md").as_str()), ("mine\n", "new\n"));
}
