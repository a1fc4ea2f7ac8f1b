//! Runs read back: `log`, `show`, `trace`; and what makes `.meu/` smaller.

use serde_json::{Value, json};

use crate::house::House;

fn plan() -> House {
    House::new()
        .file("x.md", "Tea steeps at eighty degrees.\n")
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n")
        .task("c", "requires = [\"b\"]\nrefers = [\"a\"]\n")
}

fn runs(house: &House, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["log", "--json"], arguments].concat();
    house.meu(&arguments).ok().json()["runs"].as_array().expect("runs").clone()
}

#[test]
fn the_log_tells_each_run_and_their_sums() {
    let house = plan();
    house.meu(&["run"]).ok();
    // A run with nothing to do leaves no record.
    house.meu(&["run"]).ok();
    house.put("x.md", "Tea steeps at ninety degrees.\n");
    house.hook("[ \"$title\" != a ] || exit 1\n");
    assert_eq!(house.meu(&["run"]).code, 1);
    let all = runs(&house, &[]);
    let told: Vec<_> = all.iter().map(|run| (&run["status"], &run["built"], &run["failed"])).collect();
    assert_eq!(told, [(&json!("done"), &json!(3), &json!(0)), (&json!("failed"), &json!(0), &json!(1))]);
    assert!(all.iter().all(|run| run["started"].as_str() <= run["finished"].as_str()));
    // The script has no price.
    assert_eq!(all[0]["cost"], Value::Null);
    assert_eq!(runs(&house, &["--failed"]).len(), 1);
    assert_eq!(runs(&house, &["--task", "b"]).len(), 1);
    assert_eq!(runs(&house, &["--task", "b"])[0]["built"], 1);
    assert_eq!(runs(&house, &["-n", "1"])[0]["status"], "failed");
    assert_eq!(
        (runs(&house, &["--since", "1h"]).len(), runs(&house, &["--since", "2200-01-01"]).len()),
        (2, 0)
    );
    let said = house.meu(&["log"]).ok();
    assert!(
        said.out.lines().last().expect("a line").starts_with("2 runs: 3 built, 1 failed; "),
        "{}",
        said.out
    );
    let said = house.meu(&["log", "--since", "yesterday"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: `yesterday` is no moment\n  = help: write a day (2026-11-20), a moment (2026-11-20T12:00, in UTC), or so long ago (30m, 12h, 7d, 2w)\n"
        )
    );
}

#[test]
fn a_run_that_was_cut_off_is_told_as_far_as_it_came() {
    let mut house = plan();
    house.env("MEU_FAIL", "kill:12");
    assert_eq!(house.meu(&["run", "-j1"]).code, -1);
    house.without_env("MEU_FAIL");
    let all = runs(&house, &[]);
    assert_eq!((&all[0]["status"], &all[0]["finished"]), (&json!("cut off"), &Value::Null));
    house.meu(&["show", "last"]).ok();
}

#[test]
fn one_task_of_a_run_is_shown_with_request_answer_and_items() {
    let house = plan();
    house.meu(&["run"]).ok();
    let said = house.meu(&["show", "last", "b"]).ok();
    assert!(
        said.out.starts_with("asked script for script\n  with      temperature 0, max_tokens 2000\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("built: never built\n"), "{}", said.out);
    assert_eq!(house.meu(&["show", "last", "b", "--answer"]).ok().out, "answer of b\n");
    let prompt = house.meu(&["show", "last", "b", "--prompt"]).ok().out;
    let full = house.meu(&["context", "show", "b", "--full"]).ok().out;
    assert!(
        full.ends_with(prompt.split("--- user ---").nth(1).expect("a user message").trim_start()),
        "{prompt}{full}"
    );
    let items = house.meu(&["show", "last", "b", "--context", "--json"]).ok().json();
    assert_eq!(
        (&items["items"][0]["ref"], &items["items"][0]["tier"]),
        (&json!("task:a"), &json!("requires"))
    );
    for (arguments, expected) in [
        (&["show", "never"][..], "error: no run `never` is kept\n  = help: `meu log` lists those that are\n"),
        (&["show", "last", "bb"], "did you mean `b`?"),
    ] {
        let said = house.meu(arguments);
        assert_eq!(said.code, 1);
        assert!(said.err.contains(expected), "{}", said.err);
    }
}

#[test]
fn an_output_is_traced_to_its_sources() {
    let house = plan();
    house.answers("a", "Tea steeps at eighty degrees, we found.\n");
    house.answers("c", "# C\n\nEighty degrees is where it steeps.\n");
    house.meu(&["run"]).ok();
    let found = house.meu(&["trace", "out/c.md", "--json"]).ok().json();
    assert_eq!(
        (&found["task"], &found["edited"], &found["model"]),
        (&json!("c"), &json!(false), &json!("script"))
    );
    let b = &found["items"][0];
    assert_eq!((&b["ref"], &b["trace"]["task"]), (&json!("task:b"), &json!("b")));
    let a = &b["trace"]["items"][0]["trace"];
    assert_eq!(
        (&a["task"], &a["items"][0]["ref"], &a["items"][0]["trace"]),
        (&json!("a"), &json!("doc:x.md"), &Value::Null)
    );
    // Followed once, then only named.
    assert_eq!(found["items"][1]["trace"]["repeated"], true);
    // Both `eighty degrees … steeps` and their stems are in the text of a.
    let said = house.meu(&["trace", "out/c.md:3"]).ok();
    assert!(said.out.contains("line 3: Eighty degrees is where it steeps.\n"), "{}", said.out);
    let first = said.out.split("line 3:").nth(1).expect("the line").lines().nth(1).expect("a mention");
    assert!(first.ends_with("words in task:a"), "{}", said.out);
    house.put("out/c.md", "mine\n");
    assert_eq!(house.meu(&["trace", "c", "--json"]).ok().json()["edited"], true);
    let said = house.meu(&["trace", "out/c.md:9"]);
    assert_eq!((said.code, said.err.as_str()), (2, "error: `out/c.md` ends with line 1, before line 9\n"));
    let said = house.meu(&["trace", "out/cc.md"]);
    assert!(
        said.err.contains("error: `out/cc.md` is no output and no task\n  = help: did you mean `out/c.md`?"),
        "{}",
        said.err
    );
}

#[test]
fn gc_keeps_what_is_needed() {
    let house = plan();
    house.meu(&["run"]).ok();
    house.put("x.md", "Tea steeps at ninety degrees.\n");
    house.answers("a", "another answer\n");
    house.meu(&["run"]).ok();
    let before = house.meu(&["gc", "-n", "--older-than", "0s", "--json"]).ok().json();
    assert!(before["removed"].as_u64().expect("a count") > 0 && before["dry_run"] == true);
    // A day is longer than this test.
    assert_eq!(house.meu(&["gc", "--older-than", "1d", "--json"]).ok().json()["removed"], 0);
    let gone = house.meu(&["gc", "--older-than", "0s", "--json"]).ok().json();
    assert_eq!(gone["removed"], before["removed"]);
    // All that is recorded comes back, nobody asked.
    house.asked();
    house.remove("out");
    house.run_asks(&[]);
    // What the run before knew is gone.
    house.put("x.md", "Tea steeps at eighty degrees.\n");
    house.answers("a", "answer of a\n");
    house.run_asks(&["a", "b", "c"]);
    // By size the oldest goes first, and never what is needed.
    let small = house.meu(&["gc", "--max-size", "1B", "--json"]).ok().json();
    assert!(small["kept_bytes"].as_u64().expect("bytes") > 1);
    house.remove("out");
    house.run_asks(&[]);
}

#[test]
fn gc_and_clean_keep_the_bases_of_edits_on_other_branches() {
    for command in [&["gc", "--older-than", "0s"][..], &["clean"]] {
        let house = plan();
        house.git(&["init", "-q"]);
        house.put(".gitignore", ".meu/\nanswers/\n");
        house.git(&["add", "-A"]);
        house.git(&["commit", "-qm", "x"]);
        house.git(&["checkout", "-qb", "side"]);
        house.answers("a", "one\n\ntwo\n\nthree\n");
        house.meu(&["run"]).ok();
        // Git gets the edit, and never what it was made from.
        house.put("out/a.md", "one\n\ntwo\n\nmine\n");
        house.git(&["add", "-A"]);
        house.git(&["commit", "-qm", "y"]);
        house.git(&["checkout", "-q", "main"]);
        house.meu(command).ok();
        // What git has of the branch need not be kept.
        let texts = walkdir::WalkDir::new(house.root().join(".meu/cache/texts"));
        let texts: Vec<String> = texts
            .into_iter()
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| std::fs::read_to_string(entry.path()).expect("a text"))
            .collect();
        assert_eq!(texts, ["one\n\ntwo\n\nthree\n"], "{command:?}");
        house.git(&["checkout", "-q", "side"]);
        house.answers("a", "ONE\n\ntwo\n\nthree\n");
        house.put("x.md", "Tea.\n");
        house.meu(&["run"]).ok();
        assert_eq!(house.read("out/a.md"), "ONE\n\ntwo\n\nmine\n", "{command:?}");
    }
}

#[test]
fn where_git_does_not_answer_gc_and_clean_keep_all_texts() {
    for command in [&["gc", "--older-than", "0s"][..], &["clean"]] {
        let house = plan();
        house.git(&["init", "-q"]);
        house.meu(&["run"]).ok();
        house.answers("a", "Another.\n");
        house.meu(&["run", "--force", "a"]).ok();
        let texts = || walkdir::WalkDir::new(house.root().join(".meu/cache/texts")).into_iter().count();
        let before = texts();
        house.put(".git/HEAD", "not a repository any more\n");
        house.meu(command).ok();
        assert_eq!(texts(), before, "{command:?}");
        house.remove(".git");
        house.meu(command).ok();
        assert!(texts() < before, "{command:?}");
    }
}

#[test]
fn an_edit_whose_base_is_gone_is_told_so() {
    let house = plan();
    house.meu(&["run"]).ok();
    house.put("out/a.md", "mine\n");
    house.remove(".meu");
    house.put("x.md", "Tea.\n");
    house.answers("a", "another answer\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("what the edits were made from is neither in the cache nor in git; `out/a.md` is as it was, the new answer is in `out/a.new.md`"),
        "{said:?}"
    );
}

#[test]
fn clean_keeps_bases_of_edits_and_removes_orphans() {
    let house = plan();
    house.answers("a", "one\n\ntwo\n\nthree\n");
    house.meu(&["run"]).ok();
    house.put("out/a.md", "one\n\ntwo\n\nmine\n");
    house.meu(&["clean"]).ok();
    // The edit still has its base, so that a new answer is merged with it.
    house.answers("a", "ONE\n\ntwo\n\nthree\n");
    house.put("x.md", "Tea.\n");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "ONE\n\ntwo\n\nmine\n");
    // Orphans: one as it was built, one that a person changed.
    house.remove("tasks/b.toml");
    house.remove("tasks/c.toml");
    house.put("out/c.md", "mine\n");
    let told = house.meu(&["clean", "--orphans", "-n"]).ok().out;
    assert!(
        told.starts_with("would remove out/b.md of b\nout/c.md of c was changed by hand and stays\n"),
        "{told}"
    );
    assert!(house.exists("out/b.md"));
    house.meu(&["clean", "--orphans"]).ok();
    assert!(!house.exists("out/b.md") && house.exists("out/c.md"));
    let lock = house.read("meu.lock");
    assert!(!lock.contains("\"task\":\"b\"") && lock.contains("\"task\":\"c\""));
}

#[test]
fn clean_keeps_a_persons_words_and_removes_no_file_of_theirs() {
    let house = plan();
    house.meu(&["run"]).ok();
    house.put("out/a.md", "adopted words\n");
    house.meu(&["adopt", "a"]).ok();
    house.remove("out/a.md");
    house.meu(&["clean"]).ok();
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "adopted words\n");
    // A conflict stays one that can be settled either way.
    house.put("out/c.md", "mine\n");
    house.answers("c", "another\n");
    house.put("tasks/c.toml", house.read("tasks/c.toml").replace("answer of", "new answer of"));
    assert_eq!(house.meu(&["run"]).code, 1);
    house.meu(&["clean"]).ok();
    assert!(house.meu(&["diff", "c"]).ok().out.contains("-answer of c"));
    house.meu(&["restore", "c"]).ok();
    assert_eq!(house.read("out/c.md"), "answer of c\n");
    // A lock line of a task that never was names a file that is a person's.
    house.put("docs/mine.md", "answer of c\n");
    let lock = house.read("meu.lock");
    let line = lock.lines().find(|line| line.contains("\"task\":\"c\"")).expect("a line");
    let hostile = line.replace("\"task\":\"c\"", "\"task\":\"zz\"").replace("out/c.md", "docs/mine.md");
    house.put("meu.lock", format!("{lock}{hostile}\n"));
    let told = house.meu(&["clean", "--orphans"]).ok().out;
    assert!(
        told.starts_with("docs/mine.md of zz is not below the outputs, or is named elsewhere, and stays\n"),
        "{told}"
    );
    assert!(house.exists("docs/mine.md"));
}

#[cfg(unix)]
#[test]
fn gc_follows_no_link() {
    let house = plan();
    house.meu(&["run"]).ok();
    std::fs::write(house.home().join("thesis.jsonl"), "years of work").expect("a file");
    house.remove(".meu/runs");
    std::os::unix::fs::symlink(house.home(), house.root().join(".meu/runs")).expect("a link");
    house.meu(&["gc", "--older-than", "0s"]).ok();
    assert!(house.home().join("thesis.jsonl").exists());
}

#[test]
fn shells_complete_ids_and_manuals_are_pages() {
    let house = plan().task("deep/one", "");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(house.meu(&["completions", shell]).ok().out.contains("MEU_COMPLETE"), "{shell}");
    }
    let mut house = house;
    house.env("MEU_COMPLETE", "fish");
    let said = house.meu(&["--", "meu", "run", "de"]).ok();
    assert_eq!(said.out.lines().next(), Some("deep/one"));
    // From elsewhere, of the project that the line names.
    let root = house.root().to_string_lossy().into_owned();
    for line in
        [&["-C", &root, "run", "de"][..], &[&format!("-qC{root}"), "run", "de"], &["run", "-C", &root, "de"]]
    {
        let mut command = house.command(&[&["--", "meu"], line].concat());
        let said = command.current_dir(house.home()).output().expect("meu starts");
        assert!(said.stdout.starts_with(b"deep/one\n"), "{line:?}: {said:?}");
    }
    house.without_env("MEU_COMPLETE");
    assert!(house.meu(&["man"]).ok().out.contains(".TH meu 1"));
    assert!(house.meu(&["man", "run"]).ok().out.contains(".TH meu-run 1"));
    assert_eq!(house.meu(&["man", "rum"]).code, 2);
}

#[test]
fn gc_keeps_adopted_words_while_a_line_of_the_lock_cannot_be_read() {
    let house = plan();
    house.meu(&["run"]).ok();
    house.put("out/a.md", "My words.\n");
    house.meu(&["adopt", "a"]).ok();
    let lock = house.read("meu.lock");
    house.put("meu.lock", lock.replace("{\"task\":\"a\"", "{\"task\":\"a\",,"));
    house.remove("out/a.md");
    house.meu(&["gc", "--max-size", "0"]).ok();
    house.put("meu.lock", lock);
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "My words.\n");
}
