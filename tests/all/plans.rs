//! Plans that a model writes or a file holds: proposed, reviewed, landed, proposed again.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::house::House;
use crate::server::{Server, whole};

const CHECKLIST: &str = "# Trip\n\nTwo days at the lake.\n\n## Before\n\n1. [ ] Book: find a boat\n2. [ ] Pay\n\n## There\n\n\
                         - [x] Scout: the shore is flat\n- [ ] Look (after: Pay, Scout)\n";

/// The texts of all task files.
fn tasks(house: &House) -> BTreeMap<String, String> {
    let files = house.files().into_iter().filter(|(path, _)| path.starts_with("tasks/"));
    files.map(|(path, bytes)| (path, String::from_utf8(bytes).expect("text"))).collect()
}

#[test]
fn a_checklist_becomes_tasks_once_it_is_approved() {
    let house = House::new().file("trip.md", CHECKLIST);
    let said = house.meu(&["plan", "import", "trip.md"]).ok();
    assert_eq!(
        said.out,
        "trip: 6 tasks, read from trip.md\n\
         + root     Trip  (the index)\n\
         + before   Before  (joins 2 parts)\n\
         +   book   Book\n\
         +   pay    Pay  (after book)\n\
         + there    There  (joins 2 parts)\n\
         +   scout  Scout  (written by a person)\n\
         +   look   Look  (after before/pay, scout)\n\
         7 to add; 5 steps one after another, at most 2 at once\n"
    );
    assert_eq!(
        said.err,
        "nothing in tasks/ changed; `meu plan approve trip` lets it land, `meu plan edit trip` changes it\n"
    );
    assert_eq!(tasks(&house), BTreeMap::new());

    let said = house.meu(&["plan", "approve", "trip"]).ok();
    assert_eq!(
        said.out,
        "trip landed: 7 task files and 1 output written; `meu run -n` says what it would take\n"
    );
    assert_eq!(house.read("out/there/scout.md"), "# Scout\n\nScout: the shore is flat\n");
    assert_eq!(
        house.read("tasks/there/look.toml"),
        "title = \"Look\"\nprompt = \"Look\"\nrequires = [\"before/pay\", \"scout\"]\npriority = 20\n"
    );
    house.run_asks(&["Book", "Pay", "Look"]);
    assert_eq!(house.read("out/before.md"), "# Before\n\n## Book\n\nBook: find a boat\n\n## Pay\n\nPay\n");
    assert!(house.read("INDEX.md").starts_with("# Trip\n\nTwo days at the lake.\n"));
    assert_eq!(house.meu(&["plan", "show"]).ok().out, "trip  landed  6 tasks, read from trip.md\n");
}

#[test]
fn a_second_import_is_a_patch_that_keeps_a_persons_words() {
    let house = House::new().file("trip.md", CHECKLIST);
    house.meu(&["plan", "import", "trip.md", "--approve"]).ok();
    house.run_asks(&["Book", "Pay", "Look"]);
    // A person changes one task, and the list changes around it.
    house.put(
        "tasks/before/pay.toml",
        "# by card\ntitle = \"Pay\"\nprompt = \"Pay by card\"\nrequires = [\"book\"]\npriority = 20\n[vars]\nx = 1\n",
    );
    house.put(
        "trip.md",
        "# Trip\n\nTwo days at the lake.\n\n## Before\n\n1. [ ] Book: find a big boat\n2. [ ] Pay\n3. [ ] Pack\n\n## There\n\n\
         - [x] Scout: the shore is flat\n",
    );
    let said = house.meu(&["plan", "import", "trip.md"]).ok();
    assert_eq!(
        said.out,
        "trip: 6 tasks, read from trip.md\n\
         \x20 root     Trip  (the index)\n\
         ~ before   Before  (joins 3 parts)\n\
         ~   book   Book\n\
         \x20   pay    Pay  (after book)\n\
         +   pack   Pack  (after pay)\n\
         ~ there    There  (joins 1 part)\n\
         \x20   scout  Scout  (written by a person)\n\
         - there/look\n\
         1 to add, 3 to change, 1 to drop, 3 as it is; 5 steps one after another, at most 2 at once\n"
    );
    let diff = house.meu(&["plan", "diff", "trip"]).ok().out;
    assert!(
        diff.contains("-prompt = \"Book: find a boat\"\n+prompt = \"Book: find a big boat\"\n"),
        "{diff}"
    );
    house.meu(&["plan", "approve", "trip"]).ok();
    assert!(house.read("tasks/before/pay.toml").starts_with("# by card\n"), "a person's file is as it was");
    assert!(!house.exists("tasks/there/look.toml"));
    assert!(house.exists("out/there/look.md"), "an output without a task stays, as an orphan");
    house.run_asks(&["Book", "Pay", "Pack"]);

    // Where both changed the same key the person's stays, and it is told.
    house.put(
        "tasks/before/book.toml",
        house.read("tasks/before/book.toml").replace("a big boat", "a red boat"),
    );
    house.put("trip.md", house.read("trip.md").replace("a big boat", "a huge boat"));
    let said = house.meu(&["plan", "import", "trip.md"]).ok();
    assert!(
        said.out.contains(
            "where your edits stand against it:\n  `prompt` of `before/book` was changed here and is proposed otherwise: yours stays\n"
        ),
        "{}",
        said.out
    );
    house.meu(&["plan", "approve", "trip"]).ok();
    assert!(house.read("tasks/before/book.toml").contains("a red boat"));
}

#[test]
fn what_a_person_deleted_or_changed_does_not_come_back_or_go() {
    let house = House::new().file("p.md", "- [ ] A\n- [ ] B\n- [ ] C\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    house.remove("tasks/a.toml");
    house.put("tasks/c.toml", "title = \"C\"\nprompt = \"mine\"\n");
    house.put("p.md", "- [ ] A\n- [ ] B\n");
    let said = house.meu(&["plan", "import", "p.md"]).ok();
    assert!(said.out.contains("  `a` was taken out of the project since; it stays out\n"), "{}", said.out);
    assert!(
        said.out.contains("  `c` is proposed no more, but it was changed here since; it stays\n"),
        "{}",
        said.out
    );
    house.meu(&["plan", "approve", "p"]).ok();
    assert!(!house.exists("tasks/a.toml"));
    assert_eq!(house.read("tasks/c.toml"), "title = \"C\"\nprompt = \"mine\"\n");
}

#[test]
fn a_proposal_lands_as_a_whole_or_not_at_all() {
    let house = House::new().task("there", "").file("p.md", "- [ ] A\n- [ ] B (after: A)\n");
    house.meu(&["plan", "import", "p.md"]).ok();
    let place = ".meu/proposals/p/tasks/b.toml";
    let good = house.read(place);
    let before = house.files();
    for (bad, message, at) in [
        ("run = [\"rm\", \"-rf\", \".\"]\n", "a proposal may not run a program", 5),
        ("[model]\nprovider = \"offline\"\n", "a proposal may not hold `model`", 5),
        ("inputs = [\"../secret\"]\n", "the path leaves the project with `..`", 5),
        ("output = \"/etc/x\"\n", "the path is absolute", 5),
        ("output = \"out/there.md\"\n", "have one output", 5),
        ("refers = [\"nobody\"]\n", "no task `nobody`", 5),
    ] {
        house.put(place, format!("{good}{bad}"));
        let said = house.meu(&["plan", "approve", "p", "--json"]);
        let problem = &said.json()["error"]["diagnostics"][0];
        let told = problem["message"].as_str().expect("a message");
        assert_eq!(said.code, 2, "{told}");
        let is_it = told.contains(message) || message.split_whitespace().all(|word| told.contains(word));
        assert!(is_it, "{told}");
        let shown = (problem["file"].as_str(), problem["line"].as_u64());
        // Of two that clash the one that is there is named first.
        let expected = if message == "have one output" { ("tasks/there.toml", 1) } else { (place, at) };
        assert_eq!(shown, (Some(expected.0), Some(expected.1)), "{told}");
        assert_eq!(house.files(), before, "{told}");
    }
    // A circle with what is there.
    house.put(place, good.replace("[\"a\"]", "[\"a\", \"c\"]"));
    house.put(".meu/proposals/p/tasks/c.toml", "prompt = \"x\"\nrequires = [\"b\"]\n");
    assert_eq!(house.meu(&["plan", "approve", "p"]).code, 2);
    assert_eq!(house.files(), before);

    // What a person edited is not replaced by another import.
    let said = house.meu(&["plan", "import", "p.md"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("the proposal `p` was edited (b, c), and another would replace it"),
        "{}",
        said.err
    );
    house.meu(&["plan", "drop", "p"]).ok();
    assert_eq!(house.meu(&["plan", "show", "p"]).code, 1);
}

#[test]
fn some_tasks_can_land_and_the_others_later() {
    let house = House::new().file("p.md", "- [ ] A\n- [ ] B (after: A)\n- [ ] C\n");
    house.meu(&["plan", "import", "p.md", "--into", "x"]).ok();
    let said = house.meu(&["plan", "approve", "p", "x/b"]);
    assert_eq!(said.code, 2, "B without A does not stand: {}", said.out);
    house.meu(&["plan", "approve", "p", "+x/b"]).ok();
    assert_eq!(tasks(&house).keys().collect::<Vec<_>>(), ["tasks/x/a.toml", "tasks/x/b.toml"]);
    assert_eq!(house.meu(&["plan", "show"]).ok().out, "p  2 tasks  3 tasks, read from p.md\n");
    house.meu(&["plan", "approve", "p"]).ok();
    assert_eq!(
        house.read("tasks/x.toml"),
        "title = \"P\"\nrequires = [\"x/a\", \"x/b\", \"x/c\"]\nrun = \"assemble\"\n"
    );
}

#[test]
fn a_landing_that_is_cut_off_anywhere_is_completed_by_the_next() {
    let make = || House::new().file("p.md", CHECKLIST);
    let whole = make();
    whole.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let expected = whole.files();
    let (mut cut, mut number) = (0, 0);
    loop {
        number += 1;
        let house = make();
        house.meu(&["plan", "import", "p.md"]).ok();
        let died =
            house.command(&["plan", "approve", "p"]).env("MEU_FAIL", format!("kill:{number}")).output();
        if died.expect("meu starts").status.success() {
            break;
        }
        cut += 1;
        // The proposal counts until all of it landed; what died after that has nothing to do.
        let again = house.meu(&["plan", "approve", "p"]);
        let landed = again.code == 0 || again.err.contains("there is no proposal");
        assert!(landed, "{number}: {}{}", again.out, again.err);
        assert_eq!(house.files(), expected, "cut off at {number}");
    }
    assert!(cut > 20, "{cut}");
    // A disk that is full takes back what was done, and the next try lands it.
    for number in 1..60 {
        let house = make();
        house.meu(&["plan", "import", "p.md"]).ok();
        let before = house.files();
        let full =
            house.command(&["plan", "approve", "p"]).env("MEU_FAIL", format!("full:{number}")).output();
        if !full.expect("meu starts").status.success() && house.files() != before {
            // Only the very last step is past taking back.
            assert_eq!(house.files(), expected, "full at {number}");
        }
        house.meu(&["plan", "approve", "p"]);
        assert_eq!(house.files(), expected, "full at {number}, then again");
    }
}

#[test]
fn an_edit_of_a_proposal_outlives_whatever_cuts_the_next_command_off() {
    for (number, command) in
        (1..40).flat_map(|number| [(number, ["approve", "p", "a"]), (number, ["import", "p.md", "-q"])])
    {
        let house = House::new().file("p.md", "- [ ] a\n- [ ] b\n- [x] c: done\n");
        house.meu(&["plan", "import", "p.md"]).ok();
        let place = ".meu/proposals/p/tasks/b.toml";
        house.put(place, house.read(place).replace("prompt = \"b\"", "prompt = \"my own words\""));
        let mut cut = house.command(&[&["plan"], &command[..]].concat());
        cut.env("MEU_FAIL", format!("kill:{number}")).output().expect("meu starts");
        house.meu(&["plan", "approve", "p"]).ok();
        assert!(house.read("tasks/b.toml").contains("my own words"), "{command:?} at {number}");
    }
}

#[test]
fn plans_of_other_sources_and_places_are_left_alone() {
    let house = House::new().file("a/todo.md", "- [ ] One\n- [ ] Two\n").file("b/todo.md", "- [ ] Three\n");
    house.meu(&["plan", "import", "a/todo.md", "--into", "x", "--approve"]).ok();
    let said = house.meu(&["plan", "import", "b/todo.md", "--into", "y", "--approve"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err
            .contains("the proposal `todo` is another plan: a/todo.md into x, and this is b/todo.md into y"),
        "{}",
        said.err
    );
    house.meu(&["plan", "import", "b/todo.md", "--into", "y", "--name", "other", "--approve"]).ok();
    assert!(house.exists("tasks/x/one.toml") && house.exists("tasks/y/three.toml"));
    // A task that came in by a list is taken apart: the list's others stay.
    house.put("tasks/x/one.toml", "title = \"One\"\nprompt = \"1. Boats\\n2. Birds\"\n");
    house.meu(&["plan", "decompose", "x/one", "--provider", "offline"]).ok();
    house.meu(&["plan", "approve", "decompose-x.one"]).ok();
    assert!(house.exists("tasks/x/two.toml") && house.exists("tasks/x/one/boats.toml"));
}

#[test]
fn what_is_ticked_keeps_its_task_its_output_and_its_record() {
    let list = "# Trip\n\n- [ ] Book: a boat\n- [ ] Pay\n- [ ] Go (after: Pay)\n";
    let house = House::new().file("trip.md", list);
    house.meu(&["plan", "import", "trip.md", "--approve"]).ok();
    house.run_asks(&["Book", "Pay", "Go"]);
    let before = house.files();
    house.put("trip.md", list.replace("[ ]", "[x]"));
    let said = house.meu(&["plan", "import", "trip.md", "--approve"]).ok();
    assert!(said.out.contains("4 as it is;"), "{}", said.out);
    house.put("trip.md", list);
    assert_eq!(house.files(), before);
    // As it is exported, ticked where it is up to date, it changes nothing either.
    let markdown = house.meu(&["plan", "export"]).ok().out;
    assert!(markdown.contains("- [x] **Go** <!-- meu: go --> (requires: pay)"), "{markdown}");
    house.put("trip.md", &markdown);
    let said = house.meu(&["plan", "import", "trip.md"]).ok();
    assert!(!said.out.contains("to drop") && !said.out.contains("to add"), "{}", said.out);
}

#[test]
fn several_tasks_of_one_file_land_together() {
    let list = |word: &str| {
        format!(
            "tasks:\n- {{id: a, title: A, prompt: a {word}, requires: [z]}}\n- {{id: z, title: Z, prompt: z {word}}}\n"
        )
    };
    let house = House::new().file("p.yaml", list("one"));
    house.meu(&["plan", "import", "p.yaml", "--into", "x", "--approve"]).ok();
    house.remove("tasks/x/a.toml");
    house.remove("tasks/x/z.toml");
    let top = house.read("tasks/x.toml");
    house.put(
        "tasks/x.toml",
        format!(
            "{top}[tasks.a]\ntitle = \"A\"\nprompt = \"a one\"\nrequires = [\n  \"z\", # first\n]\npriority = 10\n\
             [tasks.z]\ntitle = \"Z\"\nprompt = \"z one\"\npriority = 20\n"
        ),
    );
    house.put("p.yaml", list("two"));
    house.meu(&["plan", "import", "p.yaml", "--approve", "--into", "x"]).ok();
    let text = house.read("tasks/x.toml");
    assert!(text.contains("\"a two\"") && text.contains("\"z two\"") && text.contains("# first"), "{text}");
}

#[test]
fn what_was_taken_out_is_no_longer_waited_for() {
    let house = House::new().file("p.md", "1. [ ] Book\n2. [ ] Pay\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    house.remove("tasks/pay.toml");
    house.put("p.md", "1. [ ] Book\n2. [ ] Pay\n3. [ ] Pack\n");
    let said = house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    assert!(
        said.err.contains("`pack` no longer names `pay`, which was taken out of the project"),
        "{}{}",
        said.out,
        said.err
    );
    assert!(house.exists("tasks/pack.toml") && !house.exists("tasks/pay.toml"));
}

#[test]
fn a_huge_or_deep_outline_is_read_in_time_and_whole() {
    let house = House::new().file("deep.md", format!("{}x\n", "- ".repeat(20_000)));
    let said = house.meu(&["plan", "import", "deep.md"]);
    assert!(said.code <= 2, "{}", said.err);
    let many: String = (0..3000).map(|number| format!("- [ ] Task number {number}\n")).collect();
    house.put("many.md", many);
    let said = house.meu(&["plan", "import", "many.md", "--json"]).ok();
    assert_eq!(said.json()["tasks"].as_array().map(Vec::len), Some(3001));
}

fn with_server(server: &Server) -> House {
    House::empty().file(
        "meu.toml",
        format!(
            "[model]\nprovider = \"s\"\nname = \"m\"\n[providers.s]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\n\
             stream = false\nprice = {{ input = 1.0, output = 1.0 }}\n",
            server.address
        ),
    )
}

fn plan() -> Value {
    json!({"title": "Guide", "root": {"prompt": "Plain words."}, "tasks": [
        {"id": "collect", "title": "Collect", "prompt": "List {{ all }} of it."},
        {"id": "write", "title": "Write", "prompt": "Write it.", "requires": ["collect"], "executable": false}
    ]})
}

#[test]
fn a_model_is_asked_for_a_plan_and_its_answer_sent_back_until_it_fits() {
    let inner = json!({"title": "Write", "tasks": [
        {"id": "draft", "title": "Draft", "prompt": "Draft it."},
        {"id": "polish", "title": "Polish", "prompt": "Polish it.", "requires": ["draft"]}
    ]});
    let mut lost = plan();
    lost["tasks"][1]["requires"] = json!(["colect"]);
    let answers = vec![
        whole("Here is the plan you want."),
        whole(&lost.to_string()),
        whole(&format!("```json\n{}\n```", plan())),
        whole(&inner.to_string()),
    ];
    let server = Server::of(answers);
    let house = with_server(&server).file("notes.md", "Birds are shy.\n");
    let said = house.meu(&["plan", "propose", "A guide to birds", "--from", "notes.md"]).ok();
    assert_eq!(
        said.out,
        "a-guide-to-birds: 4 tasks by s; 72 tokens, cost 0.0001\n\
         + root      Guide\n\
         + collect   Collect\n\
         + write     Write  (joins 2 parts)\n\
         +   draft   Draft  (after collect)\n\
         +   polish  Polish  (after draft)\n\
         5 to add; 5 steps one after another, at most 1 at once\n"
    );
    assert!(said.err.contains("the answer is sent back: it is no JSON: "), "{}", said.err);
    assert!(
        said.err.contains("the answer is sent back: `write` names `colect`, and nothing here is called so"),
        "{}",
        said.err
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    let first = seen[0].body["messages"][0]["content"].as_str().expect("a text");
    assert!(
        first
            .contains("<item source=\"doc:notes.md\" type=\"input\" form=\"full\">\nBirds are shy.\n</item>"),
        "{first}"
    );
    assert_eq!(seen[1].body["messages"].as_array().map(Vec::len), Some(3));
    // The same question is not paid for again, and the money is in the log.
    house.meu(&["plan", "propose", "A guide to birds", "--from", "notes.md"]).ok();
    assert_eq!(server.seen().len(), 4);
    house.meu(&["plan", "approve", "a-guide-to-birds"]).ok();
    let log = house.meu(&["log", "--json"]).ok().json();
    assert_eq!((&log["runs"][0]["tokens_in"], &log["runs"][0]["tokens_out"]), (&json!(44), &json!(28)));
    assert_eq!(house.read("tasks/root.toml"), "title = \"Guide\"\nprompt = \"Plain words.\"\nroot = true\n");
    assert_eq!(
        house.read("tasks/collect.toml"),
        "title = \"Collect\"\nprompt = \"List {{ '{{' }} all }} of it.\"\npriority = 10\n"
    );
}

#[test]
fn a_plan_costs_no_more_than_is_allowed_and_a_bad_one_lands_nowhere() {
    let server = Server::new(|_, _| whole("no plan"));
    let house = with_server(&server);
    let said = house.meu(&["plan", "propose", "x", "--max-cost", "0.000001"]);
    assert_eq!((said.code, server.seen().len()), (1, 0), "{}", said.err);
    let said = house.meu(&["plan", "propose", "x"]);
    assert_eq!((said.code, server.seen().len()), (1, 3), "{}", said.err);
    assert!(said.err.contains("the answer is no plan that fits: it is no JSON: "), "{}", said.err);
    assert!(house.meu(&["plan", "show"]).ok().err.contains("no proposal"));
    let said = house.meu(&["plan", "propose", "x", "--provider", "offline"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("the offline drafter cannot think of a plan"), "{}", said.err);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_task_becomes_the_assembly_of_its_parts_and_hands_on_what_it_read() {
    let house = House::new()
        .task("facts", "")
        .task("base", "")
        .file("n.md", "notes\n")
        .file(
            "tasks/guide.toml",
            "# keep me\ntitle = \"Guide\"\nprompt = \"\"\"\nWrite the guide:\n\n1. Boats\n2. Birds: shy ones\n\"\"\"\n\
             requires = [\"facts\"]\nrefers = [\"base\"]\ninputs = [\"n.md\"]\ntags = [\"book\"]\n[context]\nabove = 2\n",
        )
        .task("report", "requires = [\"guide\"]");
    house.run_asks(&["base", "facts", "Guide", "report"]);
    let said = house.meu(&["plan", "decompose", "guide", "--provider", "offline"]).ok();
    assert!(
        said.out.starts_with(
            "decompose-guide: 2 tasks, read offline from the structure of the prompt of guide; no model was asked\n"
        ),
        "{}",
        said.out
    );
    house.meu(&["plan", "approve", "decompose-guide"]).ok();
    assert_eq!(
        house.read("tasks/guide.toml"),
        "# keep me\ntitle = \"Guide\"\nprompt = \"\"\"\nWrite the guide:\n\n1. Boats\n2. Birds: shy ones\n\"\"\"\n\
         requires = [\"guide/boats\", \"guide/birds\"]\ntags = [\"book\"]\nrun = \"assemble\"\n[context]\nabove = 2\n"
    );
    assert_eq!(
        house.read("tasks/guide/boats.toml"),
        "title = \"Boats\"\nprompt = \"Boats\"\nrequires = [\"facts\"]\nrefers = [\"base\"]\ninputs = [\"n.md\"]\npriority = 10\n"
    );
    house.run_asks(&["Boats", "Birds", "report"]);
    assert_eq!(house.read("out/guide.md"), "# Guide\n\n## Boats\n\nBoats\n\n## Birds\n\nBirds: shy ones\n");
    // The second time it is a patch: nothing changed, so nothing changes.
    let said = house.meu(&["plan", "decompose", "guide", "--provider", "offline"]).ok();
    assert!(said.out.contains("3 as it is;"), "{}", said.out);
    for (task, why) in [("facts", "no list and no headings"), ("facts/x", "no task")] {
        let said = house.meu(&["plan", "decompose", task, "--provider", "offline"]);
        assert!(said.code != 0 && said.err.contains(why), "{}", said.err);
    }
}

#[test]
fn an_exported_plan_comes_back_as_it_was() {
    let house = House::new().file("p.md", CHECKLIST);
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    house.run_asks(&["Book", "Pay", "Look"]);
    let list = house.meu(&["plan", "export", "--format", "json"]).ok();
    let other = House::new().file("plan.json", &list.out);
    other.meu(&["plan", "import", "plan.json", "--approve"]).ok();
    let links = |house: &House| house.meu(&["graph", "--format", "json"]).ok().json()["links"].clone();
    assert_eq!(links(&other), links(&house));
    let texts = |house: &House| -> BTreeMap<String, String> {
        tasks(house).into_iter().filter(|(path, _)| path != "tasks/root.toml").collect()
    };
    assert_eq!(texts(&other), texts(&house));
    assert_eq!(other.read("out/there/scout.md"), house.read("out/there/scout.md"));

    let markdown = house.meu(&["plan", "export"]).ok().out;
    assert_eq!(
        markdown,
        "# Trip\n\nTwo days at the lake.\n\n## Before <!-- meu: before -->\n\n\
         - [x] **Book** <!-- meu: before/book -->: Book: find a boat\n\
         - [x] **Pay** <!-- meu: before/pay --> (requires: before/book)\n\n\
         ## There <!-- meu: there -->\n\n\
         - [x] **Scout** <!-- meu: there/scout -->: Scout: the shore is flat\n\
         - [x] **Look** <!-- meu: there/look --> (requires: before/pay, there/scout)\n"
    );
    let third = House::new().file("plan.md", markdown.replace("[x]", "[ ]"));
    third.meu(&["plan", "import", "plan.md", "--approve"]).ok();
    assert_eq!(links(&third), links(&house));
    let but_done = |house: &House| -> BTreeMap<String, String> {
        texts(house).into_iter().filter(|(path, _)| path != "tasks/there/scout.toml").collect()
    };
    assert_eq!(but_done(&third), but_done(&house));
}

#[test]
fn bad_files_and_names_are_told_with_a_way_out() {
    let house = House::new()
        .file("empty.md", "")
        .file("a.csv", "a,b\n")
        .file("bad.json", "{\"tasks\": [{}]}")
        .file("ok.md", "- [ ] a\n");
    for (arguments, code, message) in [
        (&["import", "no.md"][..], 2, "`no.md` cannot be read: it is not there"),
        (&["import", "empty.md"], 2, "`empty.md` holds no task"),
        (&["import", "a.csv"], 2, "`a.csv`: nothing is known of `.csv`"),
        (&["import", "bad.json"], 2, "`bad.json`: tasks[0]: it has neither title nor prompt"),
        (&["import", "ok.md", "--tag", "x"], 2, "--tag is for claude-task-master's tasks.json"),
        (&["import", "ok.md", "--name", "../x"], 2, "`../x` cannot be the name of a proposal"),
        (&["import", "ok.md", "--into", "../x"], 2, "--into ../x: the path leaves the project with `..`"),
        (&["approve", "none"], 1, "there is no proposal `none`"),
        (&["propose", "x", "--provider", "nobody"], 2, "no provider `nobody`"),
    ] {
        let said = house.meu(&[&["plan"], arguments].concat());
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(message), "{arguments:?}: {}", said.err);
    }
    assert_eq!(house.meu(&["plan", "show", "--json"]).ok().json(), json!({"proposals": []}));
}

#[test]
fn a_proposal_is_edited_in_the_persons_editor_and_shown_again() {
    let mut house = House::new()
        .file("p.md", "- [ ] A\n- [ ] B\n")
        .file("edit.sh", "sed -i 's/prompt = \"A\"/prompt = \"A, in my words\"/' \"$1\"\n");
    house.meu(&["plan", "import", "p.md"]).ok();
    house.put("my tools/edit.sh", house.read("edit.sh"));
    house.env("EDITOR", "sh 'my tools/edit.sh'");
    let said = house.meu(&["plan", "edit", "p", "a"]).ok();
    assert!(said.out.starts_with("p: 2 tasks, read from p.md\n"), "{}", said.out);
    house.meu(&["plan", "approve", "p"]).ok();
    assert!(house.read("tasks/a.toml").contains("A, in my words"));
    let said = house.meu(&["plan", "edit", "p", "c"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("the proposal `p` has no task `c`"), "{}", said.err);
    house.env("EDITOR", "false");
    let said = house.meu(&["plan", "edit", "p"]);
    assert!(said.code == 1 && said.err.contains("`false` did not end well"), "{}", said.err);
}

#[test]
fn links_are_suggested_and_those_that_are_picked_are_added() {
    let house = House::new()
        .file(
            "tasks/birds.toml",
            "title = \"Bird database\"\nprompt = \"All birds with their calls.\"\npriority = 10\n",
        )
        .file("tasks/pay.toml", "title = \"Payment service\"\nprompt = \"Take money.\"\npriority = 20\n")
        .file(
            "tasks/search.toml",
            "title = \"Search\"\nprompt = \"Find a bird in the bird database by its call.\"\npriority = 30\n",
        );
    let said = house.meu(&["link", "suggest", "search"]).ok();
    assert_eq!(said.out, "search\n  1. birds  Bird database\n  2. pay    Payment service\n");
    assert_eq!(house.meu(&["link", "suggest", "search", "--pick", "3"]).code, 2);
    let said = house.meu(&["link", "suggest", "search", "--pick", "1"]).ok();
    assert_eq!(said.out, "added: search requires birds\n");
    assert!(house.read("tasks/search.toml").contains("requires = [\"birds\"]"));
    // What it is linked to, and what depends on it, is suggested no more.
    assert_eq!(house.meu(&["link", "suggest", "search"]).ok().out, "search\n  1. pay  Payment service\n");
    assert_eq!(house.meu(&["link", "suggest", "birds"]).ok().out, "birds\n  1. pay  Payment service\n");
    let said = house.meu(&["plan", "import", "p.md", "--suggest-links"]);
    assert_eq!(said.code, 2);
    house.put("p.md", "- [ ] Bird map: where they nest\n- [ ] Print: put the bird map on paper\n");
    let said = house.meu(&["plan", "import", "p.md", "--suggest-links"]).ok();
    assert!(said.err.starts_with("1 link suggested\n"), "{}", said.err);
    assert!(house.read(".meu/proposals/p/tasks/print.toml").contains("refers = [\"bird-map\"]"));
}

#[test]
fn items_of_one_title_keep_their_ids_whatever_stands_around_them() {
    let house = House::new().file("p.md", "- Draft: of birds\n- Draft: of fish\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    house.put(
        "tasks/draft.toml",
        house.read("tasks/draft.toml").replace("of birds", "of birds, as I want it"),
    );
    house.put("p.md", "- Draft: of frogs\n- Draft: of fish\n- Draft: of birds\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let prompts = ["draft", "draft-2", "draft-3"].map(|id| house.read(&format!("tasks/{id}.toml")));
    assert!(prompts[0].contains("of birds, as I want it"), "{prompts:?}");
    assert!(prompts[1].contains("of fish") && prompts[2].contains("of frogs"), "{prompts:?}");
    // A list that has names of its own is followed by them, titles or not.
    let list = |first: &str| {
        format!(
            "{{\"tasks\": [{first}, {{\"id\": 2, \"title\": \"Write tests\", \"description\": \"printer\"}},\
             {{\"id\": 4, \"title\": \"Done\", \"status\": \"done\", \"dependencies\": [2], \"subtasks\": [{{\"id\": 1, \"title\": \"s\", \"status\": \"done\"}}]}},\
             {{\"id\": 5, \"title\": \"Later\", \"dependencies\": [\"4.1\"]}}]}}"
        )
    };
    house.put("t.json", list("{\"id\": 1, \"title\": \"Write tests\", \"description\": \"parser\"}"));
    house.meu(&["plan", "import", "t.json", "--into", "t", "--approve"]).ok();
    assert!(house.read("tasks/t/later.toml").contains("requires = [\"write-tests-2\"]"));
    house.put(
        "t.json",
        list("{\"id\": 1, \"title\": \"Write tests\", \"status\": \"cancelled\"}")
            .replace("Later", "At last"),
    );
    house.meu(&["plan", "import", "t.json", "--into", "t", "--approve"]).ok();
    assert!(!house.exists("tasks/t/write-tests.toml"));
    assert!(house.read("tasks/t/write-tests-2.toml").contains("printer"));
    assert!(house.read("tasks/t/later.toml").contains("title = \"At last\""));
}

#[test]
fn what_is_proposed_no_more_stays_where_somebody_has_a_hand_in_it() {
    let list = "## G\n\n- A\n- B\n- C\n- D\n";
    let house = House::new().file("p.md", list);
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    house.put("tasks/g/b.toml", format!("{}# a note of mine\n", house.read("tasks/g/b.toml")));
    house.put("tasks/mine.toml", "prompt = \"x\"\nrequires = [\"g/c\"]\n");
    house.put("p.md", "## G\n\n- A\n");
    let said = house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    assert!(
        said.err.contains("`g/b` is proposed no more, but it was changed here since; it stays"),
        "{}",
        said.err
    );
    assert!(said.err.contains("`g/c` is proposed no more, but `mine` names it; it stays"), "{}", said.err);
    assert!(!house.exists("tasks/g/d.toml"));
    assert!(
        house.read("tasks/g.toml").contains("requires = [\"g/a\", \"g/b\", \"g/c\"]"),
        "what stays is joined still"
    );
    // Back in the list it is merged again.
    house.put("p.md", "## G\n\n- A\n- B: of all\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let text = house.read("tasks/g/b.toml");
    assert!(text.contains("B: of all") && text.contains("# a note of mine"), "{text}");
}

#[test]
fn a_title_with_markup_survives_an_export() {
    let house = House::new()
        .file("tasks/a.toml", "title = \"Compare *a* with <b> [c]\"\nprompt = \"\"\"\nshort {{ '{{' }} x }}\n\n- [ ] a box\n\"\"\"\nrequires = [\"z\"]\npriority = 10\n")
        .file("tasks/z.toml", "title = \"Z\"\nprompt = \"first\"\npriority = 20\n");
    let markdown = house.meu(&["plan", "export"]).ok();
    assert!(markdown.err.contains("not exported: `priority` of 2 tasks"), "{}", markdown.err);
    let other = House::new().file("p.md", &markdown.out);
    other.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let text = |house: &House| house.read("tasks/a.toml").replace("\"\"\"\n", "\"\"\"");
    assert_eq!(text(&other).replace('\n', ""), text(&house).replace('\n', ""));
    assert!(!other.exists("tasks/a/a-box.toml"));
}

#[test]
fn what_was_dropped_does_not_come_back() {
    for number in 1..40 {
        let house = House::new().file("p.md", "- [ ] A\n- [x] B: done\n");
        house.meu(&["plan", "import", "p.md"]).ok();
        let mut cut = house.command(&["plan", "approve", "p"]);
        cut.env("MEU_FAIL", format!("kill:{number}")).output().expect("meu starts");
        house.meu(&["plan", "drop", "p"]).ok();
        let said = house.meu(&["plan", "show", "--json"]).ok();
        assert_eq!(said.json(), json!({"proposals": []}), "cut off at {number}");
    }
}

#[test]
fn a_plan_is_asked_for_with_the_keys_and_programs_that_a_person_allowed() {
    let server = Server::new(|_, _| whole(&plan().to_string()));
    let mut house = with_server(&server);
    house.without_env("MEU_TRUST");
    let config = house.read("meu.toml").replace(
        "stream = false\n",
        "stream = false\nkey_command = [\"sh\", \"-c\", \"echo a-key-that-is-long\"]\n",
    );
    house.put("meu.toml", config);
    house.task_put("there", "");
    let said = house.meu(&["plan", "propose", "x", "--into", "x"]);
    assert_eq!((said.code, server.seen().len()), (2, 0), "{}", said.err);
    assert!(said.err.contains("say `meu trust`"), "{}", said.err);
    let mut child =
        house.command(&["trust"]).stdin(std::process::Stdio::piped()).spawn().expect("meu starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("its ear"), b"yes\n").expect("a word");
    assert!(child.wait().expect("it ends").success());
    let said = house.meu(&["plan", "propose", "x", "--into", "x", "--depth", "1"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(server.seen()[0].line("authorization"), Some("Bearer a-key-that-is-long"));
    // Another provider brings its own model, or says that it has none.
    let config = house.read("meu.toml");
    house.put(
        "meu.toml",
        format!("{config}[providers.bare]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\n", server.address)
            .replace("name = \"m\"\n", ""),
    );
    let said = house.meu(&["plan", "propose", "x", "--into", "x", "--provider", "bare"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("no model is named for the provider"), "{}", said.err);
}

#[test]
fn parts_without_ids_are_told_apart_by_their_places() {
    let house = House::new().task("a", "").file(
        "lake.yaml",
        "title: Lake\ntasks:\n  - id: collect\n    title: Collect\n  - title: Write\n    requires: [collect]\n    tasks: [Draft, Polish]\n  - title: Print\n    tasks: [Draft]\n",
    );
    let said = house.meu(&["plan", "import", "lake.yaml"]).ok();
    assert!(!said.out.contains("not carried over") && !said.err.contains("both called"), "{}", said.out);
    house.meu(&["plan", "approve", "lake"]).ok();
    for task in ["collect", "write", "write/draft", "write/polish", "print/draft"] {
        assert!(
            house.exists(&format!("tasks/lake/{task}.toml")) || house.exists(&format!("tasks/{task}.toml")),
            "{task}"
        );
    }
}

#[test]
fn a_file_of_several_tasks_is_not_taken_for_another() {
    let house = House::new();
    let several = "[tasks.a]\nprompt = \"hello a\"\n\n[tasks.b]\nprompt = \"hello b\"\n";
    house.put("tasks/m.toml", several);
    house.put(
        "e.json",
        r#"[{"id":"1","title":"M","prompt":"big m","subtasks":[{"id":"1.1","title":"A","prompt":"x"}]}]"#,
    );
    let said = house.meu(&["plan", "import", "e.json", "--name", "q", "--approve"]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.err,
        "error: `m` would be in `tasks/m.toml`, which holds other tasks\n  = help: give these files of their own first\n"
    );
    assert_eq!(house.read("tasks/m.toml"), several);
}

#[test]
fn what_a_person_saves_while_a_plan_lands_is_not_taken_back() {
    let house = House::new().task("z", "");
    house.put("plan.md", "# Plan\n\n- A\n- B\n");
    house.meu(&["plan", "import", "plan.md", "--name", "q", "--in-order"]).ok();
    let workspace = meu::disk::load(&house.root()).expect("whole");
    let proposal = meu::disk::Proposals(&workspace.store).find("q").expect("read").expect("a proposal");
    let landing = meu::run::landing(&workspace, &proposal, &|_| true).expect("it could land");
    // Somebody makes just that file, after all was looked at.
    let last = landing.changes.iter().rev().find(|change| change.id.ends_with('b')).expect("a task");
    let text = format!("#:schema ../.schema/task.json\n{}", last.new.as_deref().expect("a text"));
    let text = if house.exists(".schema/task.json") { text } else { last.new.clone().expect("a text") };
    house.put(&last.file, &text);
    let error = meu::run::land(&workspace, &proposal, &landing).expect_err("it is there");
    assert!(error.message.ends_with("was changed just now, so nothing landed"), "{}", error.message);
    assert_eq!(house.read(&last.file), text);
    assert_eq!(
        house.files().keys().filter(|path| path.starts_with("tasks/")).count(),
        2,
        "the rest was taken back"
    );
}

#[test]
fn what_a_person_wrote_before_a_plan_is_not_the_plans() {
    let mine = "title = \"Pack\"\nprompt = \"Pack: bags\"\npriority = 10\n";
    let other = "title = \"A\"\nprompt = \"mine\"\nrequires = [\"pack\"]\n";
    let house = House::new().file("tasks/pack.toml", mine).file("tasks/a.toml", other);
    house.put("two.md", "- Pack: bags\n- A: do (after: Pack)\n- Sail: off\n");
    house.meu(&["plan", "import", "two.md", "--approve"]).ok();
    house.put("two.md", "- A: do (after: Sail)\n- Sail: off\n");
    house.meu(&["plan", "import", "two.md", "--approve"]).ok();
    assert_eq!(house.read("tasks/pack.toml"), mine);
    assert_eq!(house.read("tasks/a.toml"), other);
    assert!(house.exists("tasks/sail.toml"));
}

#[test]
fn a_title_like_a_line_number_and_one_that_stands_in_two_folders_are_told_apart() {
    let house = House::new()
        .file("p.md", "# C\n\n- L1: basics\n- L2: more\n- L3: x (after: L2)\n- L4: y (after: L3)\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    assert!(house.read("tasks/l4.toml").contains("requires = [\"l3\"]"), "{}", house.read("tasks/l4.toml"));

    let list = json!({"tasks": [{"id": 5, "title": "Setup"}, {"id": 6, "title": "Rollout", "subtasks": [
        {"id": 1, "title": "Setup"}, {"id": 2, "title": "Deploy", "dependencies": [5]}]}]});
    let house = House::new().file("t.json", list.to_string());
    house.meu(&["plan", "import", "t.json", "--approve"]).ok();
    assert!(house.read("tasks/rollout/deploy.toml").contains("requires = [\"../setup\"]"));

    let house = House::new().file("tasks/setup.toml", "prompt = \"x\"\n").file(
        "tasks/report.toml",
        "prompt = \"- Setup: of it\\n- Write: of {{ vars.it }}\"\nrequires = [\"setup\"]\n",
    );
    house.put("meu.toml", format!("{}\n[vars]\nit = \"that\"\n", house.read("meu.toml")));
    house.meu(&["plan", "decompose", "report", "--provider", "offline"]).ok();
    house.meu(&["plan", "approve", "decompose-report"]).ok();
    let write = house.read("tasks/report/write.toml");
    assert!(write.contains("requires = [\"../setup\"]") && write.contains("of {{ vars.it }}"), "{write}");
}

#[test]
fn comments_in_lists_stay_with_their_members() {
    let house = House::new().file("p.md", "- A\n- B\n- C\n- J: all (after: A, B, C)\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let list = "requires = [\n  \"a\", # about a\n  \"b\", # about b\n  \"c\", # about c\n]";
    let text = house.read("tasks/j.toml").replace("requires = [\"a\", \"b\", \"c\"]", list);
    assert!(text.contains(list));
    house.put("tasks/j.toml", &text);
    house.put("p.md", "- A\n- B\n- C\n- J: all (after: A, C)\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    assert_eq!(house.read("tasks/j.toml"), text.replace("  \"b\", # about b\n", ""));
}

#[test]
fn of_items_with_one_title_the_one_that_is_gone_goes() {
    let house = House::new().file("p.md", "- Test: a unit\n- Test: b end\n- Go: x\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let second = house.read("tasks/test-2.toml");
    house.put("p.md", "- Test: b end\n- Go: x\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    assert!(!house.exists("tasks/test.toml"));
    assert!(second.contains("b end") && house.read("tasks/test-2.toml").contains("b end"));
}

#[test]
fn what_is_ticked_is_never_asked_for_and_loses_no_words() {
    let house = House::new().file(
        "p.md",
        "# Trip\n\n## Bookings\n\n- [x] Boat\n- [x] Train\n\n## Todo\n\n- [ ] Pack\n- [x] Ask Ann\n  - [x] By phone: she said yes, at noon\n\n## Setup (done)\n\n- [ ] still open: do it\n",
    );
    let said = house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    assert!(house.read("tasks/bookings.toml").contains("run = \"manual\""));
    assert_eq!(house.read("out/bookings.md"), "# Bookings\n\n- [x] Boat\n- [x] Train\n");
    assert!(house.read("out/ask-ann.md").contains("she said yes, at noon"));
    assert!(said.out.contains("\"Setup (done)\" is done, but not all of its boxes are"), "{}", said.out);
    assert!(!house.read("tasks/setup/still-open.toml").contains("manual"));
}

#[test]
fn words_that_are_no_links_and_what_links_mean_stay_in_prompts() {
    let house = House::new().file(
        "p.md",
        "# P\n\n- Tests (unit)\n- Deploy the site (after the freeze, when Ann is back)\n- Book: it (after: Tests (unit))\n- Read [the spec][1]\n\n      make all\n        now\n\n[1]: https://example.com/spec\n",
    );
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    let prompt = |id: &str| house.read(&format!("tasks/{id}.toml"));
    assert!(prompt("deploy-the-site").contains("(after the freeze, when Ann is back)"));
    assert!(prompt("book").contains("requires = [\"tests\"]"), "{}", prompt("book"));
    assert!(
        prompt("read-the-spec")
            .contains("Read [the spec][1]\n\n    make all\n      now\n\n[1]: https://example.com/spec\n"),
        "{}",
        prompt("read-the-spec")
    );
}

#[test]
fn an_export_comes_back_whatever_its_titles_and_prompts_are() {
    let house = House::new()
        .file("tasks/introduction.toml", "title = \"Introduction\"\nprompt = \"\"\"\n# Not a heading\n\n- [ ] no part\n{{ '{{' }} x }}\n\"\"\"\nrequires = [\"introduction/hook\"]\nrun = \"assemble\"\n")
        .file("tasks/introduction/hook.toml", "title = \"`Hook` # *one*\"\nprompt = \"\"\"\nUse `a\nb` so:\n- x\n\n      code\n\n---\n[r]: http://example.com\n\"\"\"\n")
        .file("tasks/phase.toml", "title = \"2. Phase 1\"\nprompt = \"2. Phase 1\"\nrequires = [\"phase/one\"]\nrun = \"assemble\"\n")
        .file("tasks/phase/one.toml", "title = \"One\"\nprompt = \"One\"\nrequires = [\"introduction/hook#So\"]\n")
        .task("x", "")
        .file("tasks/y.toml", "title = \"Y\"\nprompt = \"\"\"\nx\n===\na <!-- meu: z --> b  \nhard\n\"\"\"\nrequires = [\"x\"]\n");
    let texts = tasks(&house);
    for (arguments, file) in
        [(&["plan", "export"][..], "x.md"), (&["plan", "export", "--format", "json"], "x.json")]
    {
        let exported = house.meu(arguments).ok().out;
        let other = House::new().file(file, &exported);
        other.meu(&["plan", "import", file, "--approve"]).ok();
        for (path, text) in &texts {
            // The order of the file becomes priorities.
            let back = other.read(path);
            let back: Vec<&str> = back.lines().filter(|line| !line.starts_with("priority")).collect();
            assert_eq!(back, text.lines().collect::<Vec<_>>(), "{path} of {exported}");
        }
    }
}

#[test]
fn a_broken_proposal_is_told_at_its_own_place_and_can_be_dropped() {
    let house = House::new().file("p.md", "- [ ] A\n- [ ] B\n");
    house.meu(&["plan", "import", "p.md", "--approve"]).ok();
    house.put("p.md", "- [ ] A\n- [ ] B: more\n");
    house.meu(&["plan", "import", "p.md"]).ok();
    for (text, place) in [
        ("title = \"A\n", ".meu/proposals/p/tasks/a.toml:1:"),
        ("title = 3\nprompt = \"x\"\n", ".meu/proposals/p/tasks/a.toml:1:9"),
    ] {
        house.put(".meu/proposals/p/tasks/a.toml", text);
        let said = house.meu(&["plan", "show", "p"]);
        assert!(said.code != 0 && said.err.contains(place), "{}", said.err);
    }
    house.put(".meu/proposals/p/proposal.json", "{");
    house.meu(&["plan", "drop", "p"]).ok();
    assert!(!house.exists(".meu/proposals/p"));
}

#[test]
fn a_link_from_the_top_goes_with_its_task() {
    let list = |more: &str| {
        format!(
            "{{\"tasks\":[{{\"id\":5,\"title\":\"Setup\"}},{{\"id\":6,\"title\":\"Rollout\",\"subtasks\":[{{\"id\":1,\"title\":\"Setup\"}},{{\"id\":2,\"title\":\"Deploy\"}}{more}]}}]}}"
        )
    };
    let house = House::new().file("t.json", list(""));
    house.meu(&["plan", "import", "t.json", "--approve"]).ok();
    house.remove("tasks/setup.toml");
    house.put("t.json", list(",{\"id\":3,\"title\":\"Verify\",\"dependencies\":[5]}"));
    house.meu(&["plan", "import", "t.json", "--approve"]).ok();
    assert!(!house.read("tasks/rollout/verify.toml").contains("setup"));
}

#[test]
fn what_landed_before_a_landing_was_cut_off_is_the_plans_and_nothing_else() {
    let first = "- [ ] A: do\n- [ ] Sail: off (after: A)\n";
    let second = "- [ ] A: do more\n";
    for cut in [&["20"][..], &["26"], &["32", "3"], &["32", "9"], &["38", "14"]] {
        let mut house = House::new().file("two.md", first);
        house.meu(&["plan", "import", "two.md"]).ok();
        for at in cut {
            house.env("MEU_FAIL", &format!("kill:{at}"));
            house.meu(&["plan", "approve", "two"]);
        }
        house.without_env("MEU_FAIL");
        // What is there now came from the plan; what is not there a person writes.
        let there = house.exists("tasks/a.toml");
        if !there {
            house.put("tasks/a.toml", "prompt = \"my own\"\n");
        }
        house.put("two.md", second);
        house.meu(&["plan", "import", "two.md", "--approve"]).ok();
        let text = house.read("tasks/a.toml");
        assert!(text.contains(if there { "do more" } else { "my own" }), "{cut:?}: {text}");
        assert!(!house.exists("tasks/sail.toml"), "{cut:?}");
    }
}

#[test]
fn what_a_person_writes_after_a_landing_failed_is_the_persons() {
    for at in 14..24 {
        let mut house = House::new().file("two.md", "- [ ] A: do\n- [ ] Sail: off\n");
        house.meu(&["plan", "import", "two.md"]).ok();
        house.env("MEU_FAIL", &format!("full:{at}"));
        let failed = house.meu(&["plan", "approve", "two"]).code != 0;
        house.without_env("MEU_FAIL");
        if !failed || house.exists("tasks/sail.toml") {
            continue;
        }
        house.put("tasks/sail.toml", "title = \"Sail\"\nprompt = \"my own words\"\n");
        house.meu(&["plan", "approve", "two"]).ok();
        house.put("two.md", "- [ ] A: do\n- [ ] Sail: off (after: A)\n");
        house.meu(&["plan", "import", "two.md", "--approve"]).ok();
        assert_eq!(house.read("tasks/sail.toml"), "title = \"Sail\"\nprompt = \"my own words\"\n", "{at}");
    }
}

#[test]
fn what_a_person_edits_after_a_landing_was_cut_off_is_merged() {
    let first = "- [ ] A: do\n- [ ] Sail: off (after: A)\n";
    let (mut in_project, mut in_proposal) = (0, 0);
    for at in (30..60).step_by(2) {
        for proposal in [false, true] {
            let mut house = House::new().file("two.md", first);
            house.meu(&["plan", "import", "two.md"]).ok();
            house.env("MEU_FAIL", &format!("kill:{at}"));
            house.meu(&["plan", "approve", "two"]);
            house.without_env("MEU_FAIL");
            let proposed = ".meu/proposals/two/tasks/a.toml";
            if !house.exists("tasks/a.toml") || !house.exists(proposed) {
                continue;
            }
            if proposal {
                in_proposal += 1;
                house.put(proposed, house.read(proposed).replace("A: do", "A: my own edit"));
                house.meu(&["plan", "approve", "two"]).ok();
                assert!(house.read("tasks/a.toml").contains("A: my own edit"), "{at}");
            } else {
                in_project += 1;
                house.put("tasks/a.toml", format!("{}# my note\n", house.read("tasks/a.toml")));
                house.meu(&["plan", "approve", "two"]).ok();
                house.put("two.md", first.replace("do", "do more"));
                house.meu(&["plan", "import", "two.md", "--approve"]).ok();
                let text = house.read("tasks/a.toml");
                assert!(text.contains("A: do more") && text.contains("# my note"), "{at}: {text}");
            }
        }
    }
    assert!(in_project > 0 && in_proposal > 0);
}
