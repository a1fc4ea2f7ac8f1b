//! Contexts, links and names edited by commands: the file's own words stay, and nobody is asked.

use std::io::Write;
use std::process::Stdio;

use meu::disk::Overlay;
use meu::run::edit_tasks;
use serde_json::json;

use crate::house::{House, said};

fn plan() -> House {
    House::new()
        .file("notes/x.md", "x\n")
        .file(
            "tasks/a.toml",
            "# why this task is here\nprompt = \"answer of a\"   # short\ntitle = \"a\"\ninputs = [\n  \"notes/x.md\", # the notes\n]\n",
        )
        .task("p", "requires = [\"p/*\"]\n")
        .task("p/b", "requires = [\"a\"]\n")
        .task("p/c", "requires = [\"b\"]\nrefers = [\"../a\"]\n[context]\nexclude = [\"task:p\"]\n")
}

#[test]
fn pins_are_written_and_taken_back_to_the_byte() {
    let house = plan();
    let before = house.read("tasks/p/b.toml");
    house.meu(&["context", "pin", "p/b", "doc:notes/x.md"]).ok();
    assert_eq!(house.read("tasks/p/b.toml"), format!("{before}\n[context]\npin = [\"doc:notes/x.md\"]\n"));
    let show = house.meu(&["context", "show", "p/b", "--json"]).json();
    assert_eq!(
        (&show["items"][0]["ref"], &show["items"][0]["pinned"]),
        (&json!("doc:notes/x.md"), &json!(true))
    );
    house.meu(&["context", "unpin", "p/b", "doc:notes/x.md"]).ok();
    assert_eq!(house.read("tasks/p/b.toml"), before);
    house.meu(&["context", "exclude", "p/b", "task:a"]).ok();
    let show = house.meu(&["context", "show", "p/b", "--json"]).json();
    assert_eq!(show["dropped"][0]["reason"], "excluded");
    house.meu(&["context", "include", "p/b", "task:a"]).ok();
    // What does not resolve is refused, and nothing is written.
    let before = house.read("tasks/p/b.toml");
    let said = house.meu(&["context", "pin", "p/b", "doc:notes/y.md"]);
    assert_eq!(said.code, 2);
    assert!(said.err.starts_with("error: no document `notes/y.md`\n"), "{}", said.err);
    assert_eq!(house.read("tasks/p/b.toml"), before);
}

#[test]
fn an_approved_context_is_frozen() {
    let house = plan();
    house.meu(&["run"]).ok();
    house.asked();
    house.meu(&["context", "approve", "p/b"]).ok();
    house.run_asks(&[]);
    let text = house.read("tasks/p/b.toml");
    assert!(text.contains("items = [\"task:a\""), "{text}");
    house.put(
        "tasks/p/b.toml",
        text.replace("requires = [\"a\"]", "requires = [\"a\"]\ninputs = [\"notes/x.md\"]"),
    );
    house.run_asks(&[]);
    house.meu(&["context", "approve", "p/b", "--off"]).ok();
    house.run_asks(&["p-b"]);
}

#[test]
fn links_of_globs_and_rejections_of_templates_are_refused() {
    let house = plan().file("tasks/t.toml", "run = \"template\"\nprompt = \"x\"\n");
    let said = house.meu(&["link", "rm", "p", "p/b"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.starts_with("error: the link comes from the glob `p/*`, which means other tasks too\n"),
        "{}",
        said.err
    );
    assert_eq!(house.meu(&["reject", "t", "-m", "shorter"]).code, 1);
}

#[test]
fn sent_contexts_are_listed_and_compared() {
    let house = plan();
    house.meu(&["run", "-j1"]).ok();
    house.put("notes/x.md", "x, and more\n");
    let diff = house.meu(&["context", "diff", "a", "--json"]).json();
    assert_eq!(diff["items"][0]["ref"], "doc:notes/x.md");
    assert_eq!(diff["items"][0]["change"], "modified");
    house.meu(&["run", "-j1"]).ok();
    let history = house.meu(&["context", "history", "a", "--json"]).json();
    let requests: Vec<&str> = history["contexts"]
        .as_array()
        .expect("contexts")
        .iter()
        .filter_map(|row| row["request"].as_str())
        .collect();
    assert_eq!(requests.len(), 2);
    let diff = house.meu(&["context", "diff", "a", &requests[0][..12], &requests[1][..12]]).ok();
    assert!(diff.out.contains("  ~ doc:notes/x.md  "), "{}", diff.out);
}

#[test]
fn links_are_added_and_removed_in_place() {
    let house = plan();
    let before = house.read("tasks/a.toml");
    house.meu(&["link", "add", "p/b", "refers", "p/c"]).ok();
    assert!(house.read("tasks/p/b.toml").ends_with("refers = [\"p/c\"]\n"));
    let said = house.meu(&["link", "add", "a", "requires", "p/c"]);
    assert_eq!(said.code, 2);
    assert!(said.err.starts_with("error: a circle of `requires`: a -> p/c -> p/b -> a\n"), "{}", said.err);
    assert_eq!(house.read("tasks/a.toml"), before);
    house.meu(&["link", "rm", "p/c", "p/b"]).ok();
    assert!(!house.read("tasks/p/c.toml").contains("requires"));
    assert_eq!(house.meu(&["link", "rm", "p/c", "p/b"]).code, 1);
}

#[test]
fn a_renamed_task_takes_everything_along_and_asks_nobody() {
    let house = plan().file(
        "tasks/card.toml",
        "run = \"template\"\nrequires = [\"p/b\"]\nprompt = \"\"\"\n{{ text(\"task:p/b\") }}\n\"\"\"\n",
    );
    house.meu(&["run"]).ok();
    house.asked();
    let output = house.read("out/p/b.md");
    house.meu(&["mv", "p", "part/two"]).ok();
    assert!(!house.exists("tasks/p.toml") && !house.exists("tasks/p/b.toml") && !house.exists("out/p/b.md"));
    assert_eq!(house.read("out/part/two/b.md"), output);
    assert!(
        house.read("tasks/part/two.toml").contains("requires = [\"part/two/*\"]"),
        "{}",
        house.read("tasks/part/two.toml")
    );
    assert!(
        house
            .read("tasks/part/two/c.toml")
            .contains("refers = [\"a\"]\n[context]\nexclude = [\"task:part/two\"]\n"),
        "{}",
        house.read("tasks/part/two/c.toml")
    );
    assert!(house.read("tasks/card.toml").contains("text(\"task:part/two/b\")"));
    house.run_asks(&[]);
    assert_eq!(house.meu(&["status", "--check"]).code, 0);
    // What was stale stays so.
    house.put("notes/x.md", "new\n");
    house.meu(&["mv", "a", "first"]).ok();
    assert_eq!(house.state("first"), "stale");
    assert!(
        house
            .read("tasks/first.toml")
            .starts_with("# why this task is here\nprompt = \"answer of a\"   # short\n")
    );
    house.run_asks(&["a"]);
}

#[test]
fn a_rename_keeps_what_each_name_in_a_prompt_takes() {
    let house = House::new()
        .file("tasks/a.toml", "run = \"template\"\nprompt = \"top\"\n")
        .file("tasks/g/a.toml", "run = \"template\"\nprompt = \"near\"\n")
        .file("tasks/twin.toml", "duplicates = \"g/a\"\n")
        // A comment that looks like the prompt, two tasks in one file, escaped quotes.
        .file(
            "tasks/g/b.toml",
            r#"run = "template"
requires = ["a", "../a"]
# prompt = '{{ text("task:a") }} {{ text("task:../a") }}'
prompt = '{{ text("task:a") }} {{ text("task:../a") }}'
[tasks.c]
run = "template"
requires = ["../a", "../../a"]
prompt = "{{ text(\"task:../a\") }} {{ text('task:../../a') }} 'task:nobody'"
"#,
        )
        // The near one is not declared: here the name means the one above.
        .file(
            "tasks/g/d.toml",
            "run = \"template\"\nrequires = [\"../a\"]\nprompt = '{{ text(\"task:a\") }}'\n",
        )
        .file(
            "tasks/e.toml",
            "run = \"template\"\nrequires = [\"twin\"]\nprompt = '{{ text(\"task:twin\") }}'\n",
        );
    let outputs =
        || ["g/b", "g/b/c", "g/d", "e"].map(|id| house.read(&format!("out/{id}.md")).trim_end().to_owned());
    house.meu(&["run"]).ok();
    let expected = ["near top", "near top 'task:nobody'", "top", "near"];
    assert_eq!(outputs(), expected);
    for (old, new) in [
        ("g/a", "g/z"),
        ("a", "q"),
        ("twin", "h/twin"),
        ("q", "g/a"),
        ("g/b", "deep/h/b"),
        ("deep/h/b", "g/b"),
    ] {
        house.meu(&["mv", old, new]).ok();
        house.meu(&["status", "--check"]).ok();
    }
    for made in [".meu", "out"] {
        std::fs::remove_dir_all(house.root().join(made)).expect("removed");
    }
    std::fs::remove_file(house.root().join("meu.lock")).expect("removed");
    house.meu(&["run"]).ok();
    assert_eq!(outputs(), expected);
    let text = house.read("tasks/g/b.toml");
    assert!(text.contains("# prompt = '{{ text(\"task:a\") }} {{ text(\"task:../a\") }}'\n"), "{text}");
}

#[test]
fn a_rename_that_cannot_be_says_that_it_speaks_of_afterwards() {
    let house = House::new().task("a", "").file(
        "tasks/b.toml",
        "run = \"template\"\nrequires = [\"a\"]\nprompt = \"{{ text('task:' ~ 'a') }}\"\n",
    );
    let before = house.files();
    let said = house.meu(&["mv", "a", "z"]);
    assert_eq!(said.code, 2);
    let told = "error: 1 problem in this project as it would be after the move; nothing was moved\n";
    assert!(said.err.ends_with(told), "{}", said.err);
    assert!(house.files() == before);
}

#[test]
fn a_rename_that_cannot_be_is_refused_whole() {
    let house = plan().file("tasks/t.toml", "[tasks.one]\nprompt = \"x\"\n");
    let before = house.files();
    for (old, new) in [("p/b", "a"), ("p", "p/b/x"), ("t/one", "one"), ("a", "../a"), ("a", "x y")] {
        let said = house.meu(&["mv", old, new]);
        assert_eq!(said.code, 2, "{old} {new}: {}{}", said.out, said.err);
    }
    assert!(house.files() == before);
}

#[test]
fn a_default_title_is_written_out_before_a_rename() {
    let house = House::new().file("tasks/old-name.toml", "prompt = \"answer\"\n");
    house.meu(&["run"]).ok();
    house.asked();
    house.meu(&["mv", "old-name", "new-name"]).ok();
    assert_eq!(house.read("tasks/new-name.toml"), "prompt = \"answer\"\ntitle = \"Old name\"\n");
    house.run_asks(&[]);
}

#[test]
fn a_rejection_makes_a_task_stale_and_is_part_of_the_request() {
    let house = plan();
    house.meu(&["run"]).ok();
    house.asked();
    house.meu(&["reject", "a", "-m", "shorter, please"]).ok();
    assert!(house.read("tasks/a.toml").ends_with("revisions = [\"shorter, please\"]\n"));
    assert_eq!(house.state("a"), "stale");
    let full = house.meu(&["context", "show", "a", "--full"]).ok().out;
    assert!(full.contains("\n- shorter, please\n"), "{full}");
}

#[test]
fn approvals_are_walked_through_at_a_prompt() {
    let house = House::new().task("a", "approval = true\n").task("b", "approval = true\n");
    house.meu(&["run", "-k"]);
    let mut child =
        house.command(&["approve"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("meu starts");
    child.stdin.take().expect("a pipe").write_all(b"y\nn\n").expect("answers");
    let said = said(child.wait_with_output().expect("meu ends"));
    assert!(said.out.contains("a (out/a.md)\nanswer of a\n"), "{}", said.out);
    assert_eq!((house.state("a"), house.state("b")), ("fresh".into(), "awaiting".into()));
    // Edited afterwards: the next walk shows what changed since the approval.
    house.put("out/a.md", "answer of a, edited\n");
    let mut child =
        house.command(&["approve"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("meu starts");
    child.stdin.take().expect("a pipe").write_all(b"q\n").expect("answers");
    let said = self::said(child.wait_with_output().expect("meu ends"));
    assert!(said.out.contains("-answer of a\n+answer of a, edited\n"), "{}", said.out);
}

#[test]
fn a_diff_shows_a_persons_edit() {
    let house = plan();
    house.meu(&["run"]).ok();
    assert_eq!(house.meu(&["diff", "a"]).ok().out, "out/a.md is as it was built\n");
    house.put("out/a.md", "my answer\n");
    assert_eq!(
        house.meu(&["diff", "a"]).ok().out,
        "--- built\n+++ out/a.md\n@@ -1 +1 @@\n-answer of a\n+my answer\n"
    );
}

#[test]
fn an_adopted_answer_beside_goes_only_if_its_words_were_taken() {
    let house = House::new().task("a", "").file("out/a.md", "mine\n");
    house.meu(&["run"]);
    assert!(house.exists("out/a.new.md"));
    let said = house.meu(&["adopt", "a"]).ok();
    assert!(
        said.out.contains("kept out/a.new.md: not all of its words were taken over (`--discard` removes it)")
    );
    house.put("out/a.md", "mine\nanswer of a\n");
    let said = house.meu(&["adopt", "a"]).ok();
    assert!(said.out.contains("removed out/a.new.md (`meu cat "), "{}", said.out);
    assert!(!house.exists("out/a.new.md"));
    house.run_asks(&[]);
}

#[test]
fn names_keep_their_meaning_where_another_is_nearer() {
    let house = House::new()
        .task("old", "")
        .task("research/survey", "")
        .file(
            "tasks/research/zed.toml",
            "run = \"template\"\nrequires = [\"old\"]\nprompt = \"z {{ text('task:old') }}\"\n[context]\npin = [\"task:old\"]\n",
        );
    house.meu(&["run"]).ok();
    house.asked();
    house.meu(&["mv", "old", "survey"]).ok();
    let text = house.read("tasks/research/zed.toml");
    assert!(
        text.contains("requires = [\"../survey\"]") && text.contains("pin = [\"task:../survey\"]"),
        "{text}"
    );
    house.run_asks(&[]);
    house.meu(&["run", "--force", "research/zed"]).ok();
    assert_eq!(house.read("out/research/zed.md"), "z answer of old\n");
    house.put("tasks/research/new.toml", "prompt = \"answer\"\n");
    house.meu(&["link", "add", "research/new", "requires", "survey"]).ok();
    let links = house.meu(&["link", "list", "research/new", "--json"]).json();
    assert_eq!(links["links"][0]["to"], "survey");
}

#[test]
fn a_rename_takes_a_conflict_along() {
    let house = House::new().task("a", "").file("out/a.md", "mine\n");
    assert_eq!(house.meu(&["run"]).code, 1);
    house.meu(&["mv", "a", "b"]).ok();
    assert_eq!(
        (house.read("out/b.md").as_str(), house.read("out/b.new.md").as_str()),
        ("mine\n", "answer of a\n")
    );
    assert!(!house.exists("out/a.new.md"));
    // What is in the way is found before anything is written.
    house.put("out/c", "a file\n");
    let before = house.files();
    assert_eq!(house.meu(&["mv", "b", "c/d"]).code, 1);
    assert!(house.files() == before);
}

#[test]
fn line_ends_of_a_task_file_stay() {
    let house = House::new()
        .file("notes/x.md", "x\n")
        .file("tasks/a.toml", "\u{feff}title = \"a\"\r\nprompt = \"answer of a\"\r\n");
    house.meu(&["context", "pin", "a", "doc:notes/x.md"]).ok();
    assert_eq!(
        house.read("tasks/a.toml"),
        "\u{feff}title = \"a\"\r\nprompt = \"answer of a\"\r\n\r\n[context]\r\npin = [\"doc:notes/x.md\"]\r\n"
    );
}

#[test]
fn a_task_file_that_was_saved_meanwhile_stays_as_it_is() {
    let house = plan();
    let workspace = meu::disk::load(&house.root()).expect("whole");
    let saved = "prompt = \"what was saved just now\"\n";
    house.put("tasks/a.toml", saved);
    let edit = Overlay::from([("tasks/a.toml".to_owned(), Some("prompt = \"edited\"\n".to_owned()))]);
    let error = edit_tasks(&workspace, &edit).expect_err("it was saved");
    assert_eq!(error.message, "tasks/a.toml was changed just now, and stays as it is");
    assert_eq!(house.read("tasks/a.toml"), saved);
    let workspace = meu::disk::load(&house.root()).expect("whole");
    edit_tasks(&workspace, &edit).expect("as it was read");
    assert_eq!(house.read("tasks/a.toml"), "prompt = \"edited\"\n");
}

#[test]
fn a_move_keeps_of_what_a_merge_left_the_record_of_the_text_on_disk() {
    let house = House::new().file("x.md", "x\n").task("a", "inputs = [\"x.md\"]\n").task("x", "");
    let line = |house: &House| {
        let lock = house.read("meu.lock");
        lock.lines().find(|line| line.starts_with("{\"task\":\"a\"")).expect("a line").to_owned()
    };
    house.run_asks(&["a", "x"]);
    let first = line(&house);
    house.put("x.md", "other\n");
    house.answers("a", "another answer\n");
    house.run_asks(&["a"]);
    let second = line(&house);
    assert_ne!(first, second);
    // Whichever comes first.
    for both in [format!("{first}\n{second}"), format!("{second}\n{first}")] {
        house.put("meu.lock", house.read("meu.lock").replace(&line(&house), &both));
        let (from, to) = if house.exists("tasks/x.toml") { ("x", "y") } else { ("y", "x") };
        house.meu(&["mv", from, to]).ok();
        assert_eq!((house.state("a").as_str(), line(&house)), ("fresh", second.clone()));
        house.run_asks(&[]);
    }
}

#[test]
fn a_glob_of_what_moves_moves_along() {
    let house = House::new()
        .task("r", "requires = [\"r/*\"]\n")
        .task("r/a", "")
        .task("r/b", "")
        .task("r/in", "refers = [\"../r/*\", \"b\"]\n")
        .task("s/all", "requires = [\"../r/*\"]\n")
        .task("q/a", "")
        .task("some", "requires = [\"?/a\"]\n")
        .task("s/other", "requires = [\"../r/[ab]\", \"../r\"]\n");
    house.meu(&["run", "-q"]).ok();
    house.meu(&["mv", "r", "deep/t"]).ok();
    for (file, links) in [
        ("deep/t", "requires = [\"deep/t/*\"]\n"),
        ("deep/t/in", "refers = [\"deep/t/*\", \"b\"]\n"),
        ("s/all", "requires = [\"deep/t/*\"]\n"),
        ("some", "requires = [\"?/a\", \"deep/t/a\"]\n"),
        ("s/other", "requires = [\"deep/t/[ab]\", \"deep/t\"]\n"),
    ] {
        let text = house.read(&format!("tasks/{file}.toml"));
        assert!(text.contains(links), "{file}: {text}");
    }
    let said = house.run_asks(&[]);
    assert!(!said.err.contains("warning"), "{}", said.err);
    // What comes to the folder is found.
    house.task_put("deep/t/new", "");
    house.run_asks(&["deep/t/new", "r-in", "r", "s-all"]);
}

#[test]
fn a_task_whose_file_name_is_decomposed_is_edited_and_moved() {
    let house = House::new().task("a", "").task("\u{fc}ber", "requires = [\"a\"]\n");
    let (composed, decomposed) = ("tasks/\u{fc}ber.toml", "tasks/u\u{308}ber.toml");
    std::fs::rename(house.root().join(composed), house.root().join(decomposed)).expect("renamed");
    house.meu(&["run", "-q"]).ok();
    house.meu(&["link", "rm", "\u{fc}ber", "a"]).ok();
    assert!(!house.exists(composed) && !house.read(decomposed).contains("requires"));
    house.meu(&["run", "-q"]).ok();
    house.meu(&["mv", "\u{fc}ber", "b"]).ok();
    assert!(!house.exists(composed) && !house.exists(decomposed) && house.exists("tasks/b.toml"));
    assert_eq!(house.read("out/b.md"), "answer of \u{fc}ber\n");
    house.run_asks(&[]);
}

#[test]
fn nothing_is_moved_where_something_is_in_the_way() {
    let house =
        House::new().file("x.md", "x\n").task("a", "inputs = [\"x.md\"]\n").task("b", "requires = [\"a\"]\n");
    house.meu(&["run", "-q"]).ok();
    // A conflict leaves an answer beside the output.
    house.put("out/a.md", "mine\n");
    house.put("x.md", "y\n");
    house.answers("a", "theirs\n");
    assert_eq!(house.meu(&["run"]).code, 1);
    assert!(house.exists("out/a.new.md"));
    house.put("out/c.new.md", "a person's\n");
    house.put("tasks/sub", "a file\n");
    let before = house.files();
    for (to, what) in [("c", "out/c.new.md"), ("sub/a", "tasks/sub")] {
        let said = house.meu(&["mv", "a", to]);
        assert_eq!(said.code, 1);
        assert!(said.err.starts_with(&format!("error: `{what}` is there already, and ")), "{}", said.err);
        assert_eq!(house.files(), before, "{to}");
    }
    let said = house.meu(&["new", "sub/x"]);
    assert!(said.err.starts_with("error: `tasks/sub` is a file, so there is no folder for"), "{}", said.err);
    // What a failure says to do is to be done at the new place.
    house.meu(&["mv", "a", "d"]).ok();
    let status = house.meu(&["status", "d"]).out;
    assert!(
        status.contains("`out/d.md`") && status.contains("meu adopt d`") && !status.contains("out/a"),
        "{status}"
    );
}

#[test]
fn a_glob_that_finds_nothing_yet_moves_along_too() {
    let house = House::new().task("r", "requires = [\"r/new*\"]\n").task("r/a", "");
    house.meu(&["run", "-q"]).ok();
    house.meu(&["mv", "r", "t"]).ok();
    assert!(house.read("tasks/t.toml").contains("requires = [\"t/new*\"]"), "{}", house.read("tasks/t.toml"));
    house.run_asks(&[]);
}

#[test]
fn line_ends_of_a_task_file_move_along() {
    let house = House::new().task("a", "");
    let text = format!("\u{feff}{}", house.read("tasks/a.toml").replace('\n', "\r\n"));
    house.put("tasks/a.toml", &text);
    house.meu(&["run", "-q"]).ok();
    house.meu(&["mv", "a", "b/c"]).ok();
    assert_eq!(house.read("tasks/b/c.toml"), text);
    house.run_asks(&[]);
}
