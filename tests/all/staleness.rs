//! What makes a task run again and what does not: one test a row of the key's table, and the four
//! failures of freshness checks that others were seen to have.

use crate::house::House;

fn two() -> House {
    House::new()
        .file("notes/x.md", "# X\n\nOne.\n")
        .task("a", "inputs = [\"notes/x.md\"]\n")
        .task("b", "requires = [\"a\"]\n")
}

#[test]
fn an_edit_asks_exactly_the_affected() {
    let house = two();
    house.run_asks(&["a", "b"]);
    house.run_asks(&[]);
    house.put("notes/x.md", "# X\n\nTwo.\n");
    // a's answer comes out the same, so b is not asked: early cutoff.
    let said = house.run_asks(&["a"]);
    assert_eq!(
        said.out,
        "   built a  doc:notes/x.md changed\n1 built, 1 fresh; 374 tokens in, 12 out, unpriced\n"
            .replace("374", &tokens_in(&said.out))
    );
    house.answers("a", "another answer\n");
    house.put("notes/x.md", "# X\n\nThree.\n");
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "another answer\n");
}

/// The figure in a summary: how many characters the built-in templates have is not this test's matter.
fn tokens_in(out: &str) -> String {
    let before = out.split(" tokens in").next().unwrap_or_default();
    before.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn the_same_inputs_in_other_clothes_ask_nobody() {
    let house = two();
    house.run_asks(&["a", "b"]);
    // Touched.
    house.put("notes/x.md", "# X\n\nOne.\n");
    house.run_asks(&[]);
    // CRLF for LF, and a byte order mark.
    house.put("notes/x.md", "\u{feff}# X\r\n\r\nOne.\r\n");
    house.run_asks(&[]);
    // Keys in another order, comments, another priority, tags.
    house.put(
        "tasks/a.toml",
        "# a comment\ninputs = [\"notes/x.md\"]\npriority = 7\ntags = [\"t\"]\nprompt = \"answer of a\"\ntitle = \"a\"\n",
    );
    house.run_asks(&[]);
    // A file that nobody reads.
    house.put("notes/y.md", "Y\n");
    house.run_asks(&[]);
}

#[test]
fn what_decides_no_answer_asks_nobody() {
    let house = two();
    house.run_asks(&["a", "b"]);
    let config = house.read("meu.toml");
    house.put(
        "meu.toml",
        format!(
            "{}\nconcurrency = 3\nretries = 9\ntimeout = \"9s\"\nprice = {{ input = 1, output = 2 }}\nbase_url = \"http://127.0.0.1:1\"\napi_key_env = \"OTHER\"\n",
            config.replace("[\"sh\", \".model.sh\"]", "[\"sh\", \"./.model.sh\"]")
        ),
    );
    house.run_asks(&[]);
    // Another name for the same provider.
    let config = house.read("meu.toml");
    house.put(
        "meu.toml",
        config.replace("\"script\"", "\"other\"").replace("providers.script", "providers.other"),
    );
    house.run_asks(&[]);
}

#[test]
fn what_decides_an_answer_asks() {
    let house = two();
    house.run_asks(&["a", "b"]);
    let config = house.read("meu.toml");
    house
        .put("meu.toml", config.replace("provider = \"script\"", "provider = \"script\"\ntemperature = 0.5"));
    house.run_asks(&["a", "b"]);
    house.put("tasks/b.toml", "title = \"b\"\nprompt = \"answer of b, longer\"\nrequires = [\"a\"]\n");
    let said = house.run_asks(&["b"]);
    assert!(said.out.contains("built b  prompt changed\n"), "{}", said.out);
    house.put("templates/system.txt", "Be brief.\n");
    let said = house.run_asks(&["a", "b"]);
    assert!(said.out.contains("built a  template changed\n"), "{}", said.out);
}

#[test]
fn an_overridden_template_with_the_same_text_asks_nobody() {
    let house = two();
    house.run_asks(&["a", "b"]);
    let built_in = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/task.txt"))
        .expect("templates");
    house.put("templates/task.txt", format!("{{# a comment #}}{built_in}"));
    house.run_asks(&[]);
}

#[test]
fn a_change_outside_the_shortened_part_asks_nobody() {
    let long = |last: &str| {
        format!(
            "# Kettles\n\nThe kettle boils water in four minutes.\n\n{}{last}\n",
            "Chairs stand in rows. ".repeat(40)
        )
    };
    let house = House::new()
        .file("notes/x.md", long("Tables stand too."))
        .file(
            "tasks/a.toml",
            "title = \"a\"\nprompt = \"How long does the kettle boil water?\"\ninputs = [\"notes/x.md\"]\n[context]\nitem_max = 250\n",
        );
    house.run_asks(&["a"]);
    let show = house.meu(&["context", "show", "a", "--json"]).json();
    assert_eq!(show["items"][0]["form"], "shortened");
    house.put("notes/x.md", long("Lamps stand too."));
    house.run_asks(&[]);
    let why = house.meu(&["why", "a", "--json"]).json();
    assert_eq!(why["state"], "fresh");
}

#[test]
fn another_section_of_a_document_asks_nobody() {
    let house = House::new()
        .file("spec.md", "# Spec\n\n## Errors\n\nFail loudly.\n\n## Names\n\nShort.\n")
        .task("a", "inputs = [\"spec.md#Errors\"]\n");
    house.run_asks(&["a"]);
    house.put("spec.md", "# Spec\n\n## Errors\n\nFail loudly.\n\n## Names\n\nLong.\n");
    house.run_asks(&[]);
    house.put("spec.md", "# Spec\n\n## Errors\n\nFail softly.\n\n## Names\n\nLong.\n");
    house.run_asks(&["a"]);
}

#[test]
fn a_then_b_then_a_again_is_the_output_of_a() {
    // Seen elsewhere: "cache hit" while the output still holds B, since a marker was taken for proof.
    let house = House::new().file("x.md", "A\n").task("a", "inputs = [\"x.md\"]\n");
    house.answers("a", "made of A\n");
    house.run_asks(&["a"]);
    house.put("x.md", "B\n");
    house.answers("a", "made of B\n");
    house.run_asks(&["a"]);
    house.put("x.md", "A\n");
    let said = house.run_asks(&[]);
    assert!(said.out.starts_with("  cached a  doc:x.md changed\n"), "{}", said.out);
    assert_eq!(house.read("out/a.md"), "made of A\n");
    assert_eq!(house.state("a"), "fresh");
}

#[test]
fn an_input_edited_while_the_task_runs_leaves_it_stale() {
    // Seen elsewhere: "no work to do" over the old output, since the stat was taken after the run.
    let house = House::new().file("x.md", "before\n").task("a", "inputs = [\"x.md\"]\n");
    house.hook("printf 'during\\n' > x.md\n");
    house.run_asks(&["a"]);
    house.hook("");
    assert_eq!(house.state("a"), "stale");
    house.run_asks(&["a"]);
    house.run_asks(&[]);
}

#[test]
fn killed_in_mid_task_it_runs_again() {
    // Seen elsewhere: "up to date" over the old output, since the checksum was written before the work.
    let house = House::new().file("x.md", "one\n").task("a", "inputs = [\"x.md\"]\n");
    house.answers("a", "of one\n");
    house.run_asks(&["a"]);
    house.put("x.md", "two\n");
    house.answers("a", "of two\n");
    // The model kills meu while it waits for the answer.
    house.hook("kill -9 $PPID\nsleep 1 &\n");
    let killed = house.meu(&["run", "-j1"]);
    assert_eq!(killed.code, -1);
    house.hook("");
    assert_eq!(house.read("out/a.md"), "of one\n");
    assert_eq!(house.state("a"), "stale");
    house.run_asks(&["a"]);
    assert_eq!(house.read("out/a.md"), "of two\n");
}

#[test]
fn a_letter_that_moves_from_the_text_to_the_name_is_a_change() {
    // Seen elsewhere: file `a` holding `bc` renamed to `ab` holding `c`: "up to date", since fields were
    // hashed without lengths.
    let house = House::new().file("n/a", "bc").task("t", "inputs = [\"n/*\"]\n");
    house.run_asks(&["t"]);
    house.remove("n/a");
    house.put("n/ab", "c");
    house.run_asks(&["t"]);
}

#[test]
fn adding_a_task_asks_that_task_alone() {
    let house = two().file("tasks/root.toml", "title = \"root\"\nroot = true\nprompt = \"answer of root\"\n");
    house.run_asks(&["root", "a", "b"]);
    let house = house.task("c", "").task("plan/d", "");
    house.run_asks(&["c", "plan-d"]);
    assert!(house.read("INDEX.md").contains("- [plan-d](out/plan/d.md)\n"));
}

#[test]
fn a_missing_output_comes_back_without_asking() {
    let house = two();
    house.run_asks(&["a", "b"]);
    house.remove("out/a.md");
    assert_eq!(house.state("a"), "missing");
    assert_eq!(house.state("b"), "waiting");
    let said = house.run_asks(&[]);
    assert!(said.out.contains("cached a  out/a.md is gone\n"), "{}", said.out);
    assert_eq!(house.read("out/a.md"), "answer of a\n");
}

#[test]
fn a_built_text_comes_back_from_git_when_the_cache_is_gone() {
    let house = two();
    house.run_asks(&["a", "b"]);
    house.git(&["init", "-q"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "all"]);
    house.remove(".meu");
    house.remove("out");
    house.run_asks(&[]);
    assert_eq!(house.read("out/b.md"), "answer of b\n");
}

#[test]
fn a_damaged_cache_entry_counts_as_absent() {
    let house = two();
    house.run_asks(&["a", "b"]);
    let mut stack = vec![house.root().join(".meu/cache/texts")];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.path()));
        } else {
            let text = std::fs::read_to_string(&path).expect("a text");
            std::fs::write(&path, text.replace("answer", "forged")).expect("damaged");
        }
    }
    house.remove("out/a.md");
    house.run_asks(&["a"]);
    assert_eq!(house.read("out/a.md"), "answer of a\n");
    // The entry is whole again: the next time nobody is asked.
    house.remove("out/a.md");
    house.run_asks(&[]);
}

#[test]
fn a_moved_output_leaves_no_copy_behind() {
    let house = House::new()
        .task("a", "output = \"docs/a.md\"\n")
        .task("b", "inputs = [\"docs/*.md\"]\n")
        .file("docs/hand.md", "by hand\n");
    house.run_asks(&["a", "b"]);
    let house = house.task("a", "output = \"docs/a2.md\"\n");
    house.run_asks(&[]);
    assert!(house.exists("docs/a2.md") && !house.exists("docs/a.md"));
    house.run_asks(&[]);
}

#[test]
fn force_asks_again_and_frozen_asks_nobody() {
    let house = two();
    house.run_asks(&["a", "b"]);
    house.answers("a", "forced\n");
    house.meu(&["run", "-j1", "--force", "a"]).ok();
    assert_eq!(house.asked(), ["a", "b"]);
    house.put("notes/x.md", "new\n");
    let said = house.meu(&["run", "--frozen"]);
    assert_eq!((said.code, house.asked().len()), (1, 0));
    assert!(said.out.contains("--frozen asks nobody"), "{}", said.out);
    house.put("notes/x.md", "# X\n\nOne.\n");
    house.meu(&["run", "--frozen"]).ok();
}

#[test]
fn assumed_fresh_is_left_alone() {
    let house = two();
    house.run_asks(&["a", "b"]);
    house.put("notes/x.md", "new\n");
    house.meu(&["run", "--assume-fresh", "a"]).ok();
    assert_eq!(house.asked().len(), 0);
    assert_eq!(house.state("a"), "stale");
}

#[test]
fn clocks_and_stat_caches_decide_nothing() {
    let house = two();
    house.run_asks(&["a", "b"]);
    let path = house.root().join("notes/x.md");
    let old = std::fs::metadata(&path).expect("stat").modified().expect("a time");
    // The same size and the same time, another text.
    house.put("notes/x.md", "# X\n\nTwo.\n");
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(old)).expect("a time");
    house.run_asks(&["a"]);
    // A damaged state file.
    house.put(".meu/state", "garbage");
    house.run_asks(&[]);
    house.remove(".meu/state");
    house.run_asks(&[]);
}

#[test]
fn a_restored_output_settles() {
    let house = House::new()
        .task("a", "")
        .file("tasks/book.toml", "run = \"assemble\"\nprompt = \"note 1\"\nrequires = [\"a\"]\n");
    house.run_asks(&["a"]);
    house.put("tasks/book.toml", "run = \"assemble\"\nprompt = \"note 2\"\nrequires = [\"a\"]\n");
    house.remove("out/book.md");
    house.run_asks(&[]);
    let lock = house.read("meu.lock");
    house.run_asks(&[]);
    assert_eq!(house.read("meu.lock"), lock);
}

#[test]
fn without_the_cache_somebody_is_asked() {
    let house = two();
    house.run_asks(&["a", "b"]);
    house.remove("out/a.md");
    house.meu(&["run", "-j1", "--no-cache"]).ok();
    assert_eq!(house.asked(), ["a"]);
}

#[test]
fn odd_line_ends_settle() {
    let house =
        House::new().file("tasks/p.toml", "run = [\"printf\", \"a\\\\r\\\\r\\\\nb\\\\n\"]\nprompt = \"x\"\n");
    house.run_asks(&[]);
    assert_eq!(house.state("p"), "fresh");
}

#[test]
fn a_card_in_place_of_a_required_output_counts() {
    let task = |prompt: &str| format!("run = \"manual\"\noutput = \"out/a.json\"\nprompt = \"{prompt}\"\n");
    let house = House::new()
        .file("tasks/a.toml", task("Numbers of the year."))
        .file("out/a.json", format!("{{\"k\": \"{}\"}}\n", "x".repeat(4000)))
        .task("b", "requires = [\"a\"]\n[context]\nitem_max = 120");
    house.run_asks(&["b"]);
    house.run_asks(&[]);
    let shown = house.meu(&["context", "show", "b"]).ok();
    assert!(shown.out.contains("task:a card"), "{}", shown.out);
    house.put("tasks/a.toml", task("Numbers of last year."));
    house.run_asks(&["b"]);
}
