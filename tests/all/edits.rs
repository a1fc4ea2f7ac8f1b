//! A person's words: kept, merged, never replaced; approvals bound to content.

use crate::house::House;

const BASE: &str = "# A\n\nFirst.\n\nSecond.\n\nThird.\n";

fn built() -> House {
    let house = House::new()
        .file("x.md", "one\n")
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n");
    house.answers("a", BASE);
    house.run_asks(&["a", "b"]);
    house
}

#[test]
fn an_edit_is_kept_and_read_by_those_below() {
    let house = built();
    house.put("out/a.md", BASE.replace("First.", "First, by hand."));
    assert_eq!((house.state("a"), house.state("b")), ("edited".into(), "stale".into()));
    house.run_asks(&["b"]);
    assert!(house.read("out/a.md").contains("by hand"));
    house.run_asks(&[]);
    let why = house.meu(&["why", "b", "--json"]).json();
    assert_eq!(why["edited_items"], serde_json::json!(["task:a"]));
    assert_eq!(house.meu(&["status", "--check"]).code, 0);
}

#[test]
fn an_edit_and_a_new_answer_are_merged() {
    let house = built();
    house.put("out/a.md", BASE.replace("First.", "First, by hand."));
    house.put("x.md", "two\n");
    house.answers("a", &BASE.replace("Third.", "Third, anew."));
    assert_eq!(house.meu(&["status", "--check"]).code, 3);
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "# A\n\nFirst, by hand.\n\nSecond.\n\nThird, anew.\n");
    assert_eq!(house.state("a"), "edited");
    house.run_asks(&[]);
    // The next merge knows the person's words from the model's.
    house.put("x.md", "three\n");
    house.answers("a", &BASE.replace("Second.", "Second, anew."));
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "# A\n\nFirst, by hand.\n\nSecond, anew.\n\nThird.\n");
}

#[test]
fn a_collision_leaves_the_file_and_asks_once() {
    let house = built();
    let edited = BASE.replace("First.", "First, by hand.");
    house.put("out/a.md", &edited);
    house.put("x.md", "two\n");
    let answer = BASE.replace("First.", "First, anew.");
    house.answers("a", &answer);
    let said = house.meu(&["run", "-j1"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("failed a"), "{}", said.out);
    assert!(said.out.contains(
        "your edits and the new answer collide; `out/a.md` is as it was, the new answer is in `out/a.new.md`"
    ));
    assert_eq!((house.read("out/a.md"), house.read("out/a.new.md")), (edited.clone(), answer.clone()));
    assert_eq!((house.state("a"), house.state("b")), ("failed".into(), "blocked".into()));
    assert_eq!(house.asked(), ["a"]);
    // Not asked again, and what a person writes into the new answer stays.
    house.put("out/a.new.md", "my notes on it\n");
    assert_eq!(house.meu(&["run"]).code, 1);
    assert_eq!(house.asked(), [""; 0]);
    assert_eq!(house.read("out/a.new.md"), "my notes on it\n");
    assert_eq!(house.read("out/a.new.2.md"), answer);
    // Adopted: what is on disk answers today's request.
    house.put("out/a.md", BASE.replace("First.", "First, both."));
    house.meu(&["adopt", "a"]).ok();
    assert_eq!(house.state("a"), "fresh");
    house.run_asks(&["b"]);
    house.run_asks(&[]);
}

#[test]
fn a_file_that_no_record_knows_is_a_persons() {
    let house = House::new().task("a", "").file("out/a.md", "mine\n");
    assert_eq!(house.state("a"), "edited");
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.read("out/a.md").as_str()), (1, "mine\n"), "{}", said.out);
    assert_eq!(house.read("out/a.new.md"), "answer of a\n");
    assert!(said.out.contains("the text there is not one that meu wrote"), "{}", said.out);
    house.meu(&["adopt", "a"]).ok();
    house.run_asks(&["a"][1..]);
    assert_eq!(house.state("a"), "fresh");
}

#[test]
fn adopted_words_survive_the_next_answer_and_a_deletion() {
    let house = built();
    let adopted = BASE.replace("First.", "First, by hand.");
    house.put("out/a.md", &adopted);
    house.meu(&["adopt", "a"]).ok();
    house.run_asks(&["b"]);
    assert_eq!(house.state("a"), "fresh");
    house.remove("out/a.md");
    house.run_asks(&[]);
    assert_eq!(house.read("out/a.md"), adopted);
    // Gone and stale at once: still merged.
    house.remove("out/a.md");
    house.put("x.md", "two\n");
    house.answers("a", &BASE.replace("Third.", "Third, anew."));
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "# A\n\nFirst, by hand.\n\nSecond.\n\nThird, anew.\n");
}

#[test]
fn restore_goes_back_and_keeps_the_edit() {
    let house = built();
    house.put("out/a.md", "all mine\n");
    let said = house.meu(&["restore", "a"]).ok();
    assert_eq!(house.read("out/a.md"), BASE);
    let digest = said
        .out
        .split("kept as ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("a digest")
        .to_owned();
    assert_eq!(house.meu(&["cat", &digest]).ok().out, "all mine\n");
    house.run_asks(&[]);
}

#[test]
fn an_edit_made_while_the_model_answers_is_kept() {
    let house = built();
    house.put("x.md", "two\n");
    house.answers("a", "# A\n\nWholly new.\n");
    house.hook("printf '# A\\n\\nTyped meanwhile.\\n' > out/a.md\n");
    let said = house.meu(&["run", "-j1"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert_eq!(house.read("out/a.md"), "# A\n\nTyped meanwhile.\n");
    assert_eq!(house.read("out/a.new.md"), "# A\n\nWholly new.\n");
}

#[test]
fn approval_is_bound_to_the_text() {
    let house = House::new().task("a", "approval = true\n").task("b", "requires = [\"a\"]\n");
    let said = house.meu(&["run", "-j1"]);
    assert_eq!((said.code, house.asked()), (1, vec!["a".to_owned()]), "{}", said.out);
    assert_eq!((house.state("a"), house.state("b")), ("awaiting".into(), "blocked".into()));
    house.meu(&["approve", "a"]).ok();
    house.run_asks(&["b"]);
    house.put("out/a.md", "by hand\n");
    assert_eq!(house.state("a"), "awaiting");
    house.meu(&["approve", "a"]).ok();
    assert_eq!(house.state("a"), "edited");
    house.run_asks(&["b"]);
}

#[test]
fn a_manual_output_is_a_persons_to_write() {
    let house = House::new()
        .file("x.md", "one\n")
        .task("m", "run = \"manual\"\ninputs = [\"x.md\"]\n")
        .task("b", "requires = [\"m\"]\n");
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.asked().len()), (1, 0));
    assert!(said.out.contains("blocked m  a person writes out/m.md\n"), "{}", said.out);
    house.put("out/m.md", "mine\n");
    house.run_asks(&["b"]);
    house.run_asks(&[]);
    // Its context moved: for the person to see, blocking nobody.
    house.put("x.md", "two\n");
    assert_eq!(house.state("m"), "stale");
    let said = house.run_asks(&[]);
    assert!(
        said.err.contains("m: what out/m.md was written for has changed (doc:x.md changed)"),
        "{}",
        said.err
    );
    house.put("out/m.md", "mine, newer\n");
    assert_eq!(house.state("m"), "fresh");
    house.run_asks(&["b"]);
}

#[test]
fn merged_branches_ask_only_what_is_new() {
    let house = House::new().task("a", "").task("b", "").task("sum", "requires = [\"a\", \"b\"]\n");
    house.put(".gitattributes", "meu.lock merge=union\n");
    house.put(".gitignore", ".meu/\n");
    house.run_asks(&["a", "b", "sum"]);
    house.git(&["init", "-q", "-b", "main"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "base"]);
    let change = |task: &str| {
        house.put(
            &format!("tasks/{task}.toml"),
            format!("title = \"{task}\"\nprompt = \"new answer of {task}\"\n"),
        );
        house.run_asks(&[task, "sum"]);
        house.git(&["add", "-A"]);
        house.git(&["commit", "-qm", task]);
    };
    house.git(&["checkout", "-qb", "left"]);
    change("a");
    house.git(&["checkout", "-q", "main"]);
    house.git(&["checkout", "-qb", "right"]);
    change("b");
    house.git(&["merge", "-q", "--no-edit", "left"]);
    // The lock has two lines for sum; both inputs are new together, so sum alone runs.
    house.run_asks(&["sum"]);
    house.run_asks(&[]);
}

#[test]
fn a_tracked_meu_folder_is_refused() {
    let house = House::new().task("a", "");
    house.run_asks(&["a"]);
    house.git(&["init", "-q"]);
    house.git(&["add", "-f", ".meu/state"]);
    let said = house.meu(&["run"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: `.meu/` is tracked by git, and it must never come with a repository\n  = help: `git rm -r --cached .meu`, and add `.meu/` to .gitignore\nerror: 1 problem in this project\n"
        )
    );
}
