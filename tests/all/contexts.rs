//! Contexts and a person's control of them, through the command line.

use crate::house::House;

/// The references in a task's context, in order.
fn items(house: &House, task: &str) -> Vec<String> {
    let shown = house.meu(&["context", "show", task, "--json"]).ok().json();
    let items = shown["items"].as_array().expect("items");
    items.iter().map(|item| item["ref"].as_str().expect("a reference").to_owned()).collect()
}

/// A table of many rows on herons, 4 kB and more, so that it is searched in parts.
fn table() -> String {
    let rows = (2..=200).map(|row| format!("{row},a heron stands in the reeds at the shore of the lake\n"));
    format!("row,note\n{}", rows.collect::<String>())
}

#[test]
fn rows_and_keys_that_are_in_or_excluded_are_not_found_again() {
    let search = "[context]\nretrieve = { k = 2, documents = [\"docs/*\"], from = \"documents\" }\n";
    let house = House::new()
        .file("docs/herons.csv", table())
        .task("whole", &format!("inputs = [\"docs/herons.csv\"]\n{search}"))
        .task("rows", &format!("inputs = [\"docs/herons.csv#row=2-*\"]\n{search}"))
        .task("none", &format!("{search}exclude = [\"doc:docs/herons.csv#row=2-*\"]\n"));
    let house = house.task("all", search);
    for task in ["whole", "rows", "none", "all"] {
        let path = format!("tasks/{task}.toml");
        house.put(&path, house.read(&path).replace("answer of", "the heron in the reeds at the lake:"));
    }
    assert_eq!(items(&house, "whole"), ["doc:docs/herons.csv"]);
    assert_eq!(items(&house, "rows"), ["doc:docs/herons.csv#row=2-*"]);
    assert_eq!(items(&house, "none"), Vec::<String>::new());
    assert!(items(&house, "all").iter().all(|item| item.starts_with("doc:docs/herons.csv#row=")));
    assert!(!items(&house, "all").is_empty());
}

#[test]
fn a_section_is_in_once_however_it_is_spelled() {
    let text = "# Top\n\n## One\n\nFirst words.\n\n### Sub\n\nInner words.\n\n## Two\n\nSecond.\n";
    let house = House::new()
        .file("docs/a.md", text)
        .task("once", "inputs = [\"docs/a.md#One\", \"docs/a.md#one\", \"docs/a.md#@2\", \"docs/a.md#One/Sub\"]\n")
        .task(
            "out",
            "inputs = [\"docs/a.md#one\", \"docs/a.md#One/Sub\", \"docs/a.md#Two\"]\n[context]\nexclude = [\"doc:docs/a.md#One\"]\n",
        )
        .file(
            "tasks/taken.toml",
            "prompt = \"See {{ text('doc:docs/a.md') }}\"\ninputs = [\"docs/a.md#One\", \"docs/a.md\"]\n",
        );
    assert_eq!(items(&house, "once"), ["doc:docs/a.md#One"]);
    assert_eq!(items(&house, "out"), ["doc:docs/a.md#Two"]);
    assert_eq!(items(&house, "taken"), Vec::<String>::new());
}

#[test]
fn an_approved_context_makes_the_same_request_or_it_is_told() {
    let long = "A heron stands in the reeds. ".repeat(300);
    let house = House::new()
        .file("docs/big.md", format!("# Big\n\n{long}"))
        .file("docs/in.md", "# In\n\nWords.\n")
        .task(
            "pinned",
            "inputs = [\"docs/in.md\"]\n[context]\nitem_max = 300\npin = [\"doc:docs/big.md\"]\nmanual = [\"doc:docs/big.md\"]\n",
        )
        .task("s/beside", "requires = [\"mid\"]\n[context]\nsiblings = 5\n")
        .task("s/mid", "requires = [\"up\"]\n")
        .task("s/up", "")
        .task("apart/one", "")
        .task("apart/two", "[context]\nsiblings = 5\n");
    house.meu(&["run"]).ok();
    for (task, is_same) in [("pinned", true), ("s/beside", true), ("apart/two", false)] {
        let said = house.meu(&["context", "approve", task]).ok();
        assert_eq!(!said.err.contains("make another request"), is_same, "{task}: {}", said.err);
        let state = if is_same { "fresh" } else { "stale" };
        assert_eq!(house.state(task), state, "{task}: {}", house.meu(&["why", task]).out);
    }
}

#[test]
fn what_cannot_be_excluded_added_or_approved_is_refused() {
    let house = House::new()
        .file("docs/a.md", "# A\n\n## One\n\nWords.\n")
        .task("a", "inputs = [\"docs/a.md\"]\n")
        .task("same", "duplicates = \"a\"\n")
        .file("tasks/t.toml", "prompt = \"x\"\nrun = \"template\"\n");
    let before = house.files();
    for (arguments, message) in [
        (&["exclude", "a", "doc:docs/none.md"][..], "no document `docs/none.md`"),
        (&["exclude", "a", "doc:docs/a.md#Nope"], "`docs/a.md` has no heading `Nope`"),
        (&["exclude", "a", "index"], "the index is always in"),
        (&["pin", "same", "doc:docs/a.md"], "`same` is a duplicate of `a`"),
        (&["approve", "same"], "`same` is a duplicate of `a`"),
        (&["approve", "t"], "`t` is asked of nobody"),
        (&["show", "a", "--manual", "task:a"], "no task reads its own output"),
        (&["show", "a", "--manual", "doc:meu.lock"], "is in no context"),
    ] {
        let said = house.meu(&[&["context"], arguments].concat());
        assert!(said.code == 2 && said.err.contains(message), "{arguments:?}: {}", said.err);
    }
    assert_eq!(house.files(), before);
    house.meu(&["context", "approve", "a"]).ok();
    let said = house.meu(&["context", "show", "a", "--manual", "doc:docs/a.md"]);
    assert!(said.code == 2 && said.err.contains("the context is approved"), "{}", said.err);
}

#[test]
fn selectors_know_the_index_and_every_spelling() {
    let house = House::new()
        .file("INDEX.md", "Words on all.\n")
        .task("é", "")
        .task("b", "[context]\nindex = \"none\"\n");
    house.git(&["init", "-q"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "one"]);
    house.put("INDEX.md", "Other words.\n");
    let ids = |selector: &str| -> Vec<String> {
        let said = house.meu(&["status", selector, "--json"]).ok().json();
        let tasks = said["tasks"].as_array().expect("tasks");
        tasks.iter().map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids("path:INDEX.md"), ["é"]);
    assert_eq!(ids("changed:HEAD"), ["é"]);
    assert_eq!(ids("e\u{301}"), ["é"]);
}

#[test]
fn why_names_what_is_the_cause() {
    let house = House::new()
        .file("docs/a.md", "Words.\n")
        .task("up", "")
        .file("tasks/p.toml", "title = \"One\"\nprompt = \"x\"\nrun = [\"cat\"]\ninputs = [\"docs/a.md\"]\n")
        .task("m", "requires = [\"up\"]\n");
    let mut house = house;
    house.env("MEU_TRUST", "1");
    house.meu(&["run"]).ok();
    house.put("tasks/p.toml", house.read("tasks/p.toml").replace("One", "Two"));
    house.put("docs/a.md", "Other words.\n");
    house.task_put("m", "refers = [\"up\"]\n");
    let why = |task: &str| house.meu(&["why", task]).out;
    assert!(why("p").starts_with("p is stale: doc:docs/a.md changed\n"), "{}", why("p"));
    assert!(why("m").contains("task:up has another place or form"), "{}", why("m"));
}

#[test]
fn what_only_has_the_same_words_is_no_part() {
    let house = House::new()
        .file("docs/d.json", "{\"min\": 1, \"max\": 10, \"list\": {\"x\": 1}}\n")
        .file("docs/g.md", "# G\n\n## Alpha\n\n### Limits\n\nRetry 10\n\n## Beta\n\n### Limits\n\nRetry 1\n")
        .file("docs/u.csv", "h\n10\nx\n1\n")
        .file("docs/api.md", "# API\n\n## /users\n\nAll.\n\n## /users/{id}\n\nOne.\n")
        .task("j", "inputs = [\"docs/d.json#/max\", \"docs/d.json#/min\", \"docs/d.json#/list\", \"docs/d.json#/list/x\"]\n")
        .task("m", "inputs = [\"docs/g.md#Alpha/Limits\", \"docs/g.md#Beta/Limits\"]\n")
        .task("x", "inputs = [\"docs/g.md#Beta/Limits\"]\n[context]\nexclude = [\"doc:docs/g.md#Alpha/Limits\"]\n")
        .task("c", "inputs = [\"docs/u.csv#row=2\", \"docs/u.csv#row=4\"]\n")
        .task("h", "inputs = [\"docs/api.md#/users\", \"docs/api.md#/users/{id}\"]\n");
    assert_eq!(items(&house, "j"), ["doc:docs/d.json#/max", "doc:docs/d.json#/min", "doc:docs/d.json#/list"]);
    assert_eq!(items(&house, "m"), ["doc:docs/g.md#Alpha/Limits", "doc:docs/g.md#Beta/Limits"]);
    assert_eq!(items(&house, "x"), ["doc:docs/g.md#Beta/Limits"]);
    assert_eq!(items(&house, "c"), ["doc:docs/u.csv#row=2", "doc:docs/u.csv#row=4"]);
    assert_eq!(items(&house, "h"), ["doc:docs/api.md#/users", "doc:docs/api.md#/users/{id}"]);
}

#[test]
fn keys_rows_and_front_matter_are_told_by_what_they_are() {
    let house = House::new()
        .file("docs/y.yaml", "alpha:\n  sub: 1\nalphabet: 3\n")
        .file("docs/s.csv", "h,k\na,1\nb,2\nc,3\nd,4\n")
        .file("docs/f.md", "---\nowner: zoe\n---\n\n# Top\n\nBody.\n")
        .task("y", "inputs = [\"docs/y.yaml#/alpha\", \"docs/y.yaml#alphabet\"]\n[context]\nexclude = [\"doc:docs/y.yaml#alpha\"]\n")
        .task("s", "inputs = [\"docs/s.csv#row=2-*\"]\n[context]\nexclude = [\"doc:docs/s.csv#row=2-5\"]\n")
        .task("t", "inputs = [\"docs/s.csv#row=4-5\", \"docs/s.csv#row=4-*\"]\n")
        .task("f", "inputs = [\"docs/f.md\", \"docs/f.md#---\"]\n");
    assert_eq!(items(&house, "y"), ["doc:docs/y.yaml#alphabet"]);
    assert_eq!(items(&house, "s"), Vec::<String>::new());
    assert_eq!(items(&house, "t"), ["doc:docs/s.csv#row=4-5"]);
    assert_eq!(items(&house, "f"), ["doc:docs/f.md", "doc:docs/f.md#---"]);
}
