//! The commands, as people and programs see them.

use serde_json::json;

use crate::house::House;

fn plan() -> House {
    House::new()
        .file("tasks/root.toml", "title = \"root\"\nroot = true\nprompt = \"answer of root\"\n")
        .task("a", "tags = [\"t\"]\n")
        .task("p", "requires = [\"p/x\"]\n")
        .task("p/x", "requires = [\"a\"]\n")
        .task("p/y", "refers = [\"x\"]\npriority = 5\n")
}

#[test]
fn init_makes_a_project_that_runs_as_it_is() {
    let house = House::empty();
    house.meu(&["init"]).ok();
    house.meu(&["check"]).ok();
    house.meu(&["run"]).ok();
    assert_eq!(house.meu(&["run"]).ok().out, "nothing to do: 3 tasks fresh\n");
    assert_eq!(house.read(".gitattributes"), "meu.lock merge=union\n");
    assert_eq!(house.read(".gitignore"), ".meu/\n");
    assert_eq!(house.meu(&["init"]).code, 2);
}

#[test]
fn init_that_failed_midway_can_be_done_again() {
    let house = House::empty();
    house.put("notes", "a file in the folder's place\n");
    assert_eq!(house.meu(&["init"]).code, 1);
    house.remove("notes");
    house.meu(&["init"]).ok();
    house.meu(&["run"]).ok();
}

#[test]
fn new_writes_a_task_that_fits() {
    let house = House::new();
    house.meu(&["new", "research/prior-work"]).ok();
    assert!(house.read("tasks/research/prior-work.toml").starts_with("title = \"Prior work\"\n"));
    house.meu(&["check"]).ok();
    let said = house.meu(&["new", "research/prior-work"]);
    assert_eq!(said.code, 2);
    assert_eq!(house.meu(&["new", "../x"]).code, 2);
    assert_eq!(house.meu(&["new", "a b"]).code, 2);
}

#[test]
fn order_changes_no_output_and_is_as_told() {
    // By (priority, id) of what may run; by level first; or what the first target needs, then the target.
    let orders =
        [("dag", ["a", "b", "c", "d"]), ("bfs", ["a", "c", "d", "b"]), ("postorder", ["c", "d", "a", "b"])];
    let mut outputs = Vec::new();
    for (order, expected) in orders {
        let house = House::new()
            .task("a", "")
            .task("b", "requires = [\"a\"]\npriority = 1\n")
            .task("c", "")
            .task("d", "requires = [\"c\"]\npriority = 0\n");
        house.meu(&["run", "-j1", "--order", order]).ok();
        assert_eq!(house.asked(), expected, "{order}");
        outputs.push(house.files());
    }
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn ties_go_by_priority_then_id() {
    let house =
        House::new().task("c", "priority = 1\n").task("b", "").task("a", "").task("d", "priority = -1\n");
    house.run_asks(&["d", "c", "a", "b"]);
}

#[test]
fn a_run_of_some_tasks_brings_what_they_require() {
    let house = plan();
    house.meu(&["run", "-j1", "p/x"]).ok();
    assert_eq!(house.asked(), ["root", "a", "p-x"]);
    // p/y only refers to p/x, which is built; nothing else is needed.
    house.meu(&["run", "-j1", "p/y"]).ok();
    assert_eq!(house.asked(), ["p-y"]);
}

#[test]
fn what_was_never_built_is_left_out_with_a_reason() {
    let house = plan();
    house.meu(&["run", "-j1", "p/y"]).ok();
    assert_eq!(house.asked(), ["root", "p-y"]);
    let show = house.meu(&["context", "show", "p/y", "--json"]).json();
    assert_eq!(
        show["dropped"],
        json!([{"ref": "task:p/x", "tier": "refers", "reason": "never built", "tokens_full": 0}])
    );
    // In a run of all, p/x comes first, and p/y then has it.
    house.meu(&["run", "-j1"]).ok();
    assert_eq!(house.asked(), ["a", "p-x", "p-y", "p"]);
}

#[test]
fn selectors_name_sets_of_tasks() {
    let house = plan();
    let ids = |selectors: &[&str]| -> Vec<String> {
        let mut arguments = vec!["status", "--json"];
        arguments.extend(selectors);
        let json = house.meu(&arguments).ok().json();
        json["tasks"]
            .as_array()
            .expect("tasks")
            .iter()
            .map(|task| task["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(ids(&["p/*"]), ["p/x", "p/y"]);
    assert_eq!(ids(&["tag:t"]), ["a"]);
    assert_eq!(ids(&["plan:p"]), ["p", "p/x", "p/y"]);
    assert_eq!(ids(&["+p/x"]), ["a", "p/x", "root"]);
    assert_eq!(ids(&["p/x+"]), ["p", "p/x", "p/y"]);
    assert_eq!(ids(&["p/*,+p"]), ["p/x"]);
    assert_eq!(ids(&["a", "root"]), ["a", "root"]);
    assert_eq!(ids(&["p", "p/*", "--exclude", "p/y"]), ["p", "p/x"]);
    assert_eq!(ids(&["state:missing"]).len(), 5);
    assert_eq!(ids(&["tasks/a.toml"]), ["a"]);
    let said = house.meu(&["status", "p/z"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "error: no task matches `p/z`\n  = help: did you mean `p/x`?\n")
    );
}

#[test]
fn changed_asks_git() {
    let house = plan();
    house.git(&["init", "-q"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "all"]);
    let house = house.task("a", "tags = [\"u\"]\n");
    let json = house.meu(&["status", "--json", "changed:HEAD"]).ok().json();
    assert_eq!(json["tasks"][0]["id"], "a");
    assert_eq!(json["tasks"].as_array().map(Vec::len), Some(1));
    assert_eq!(house.meu(&["status", "changed:nowhere"]).code, 2);
}

#[test]
fn json_has_the_promised_keys() {
    let house = plan();
    let dry = house.meu(&["run", "-n", "--json"]).ok().json();
    assert_eq!(dry["waiting"], json!(["a", "p/x", "p/y", "p"]));
    assert_eq!(dry["would_run"][0]["task"], "root");
    assert!(dry["would_run"][0]["tokens_in"].as_u64().is_some_and(|tokens| tokens > 0));
    let events = house.meu(&["run", "-j1", "--json"]).ok();
    let events: Vec<serde_json::Value> =
        events.out.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(kinds.first(), Some(&"run_started"));
    assert_eq!(kinds.last(), Some(&"run_finished"));
    assert_eq!(kinds.iter().filter(|kind| **kind == "task_started").count(), 5);
    let finished = &events[2];
    for key in ["task", "status", "reason", "tokens_in", "tokens_out", "cost", "ms"] {
        assert!(finished.get(key).is_some(), "{key} in {finished}");
    }
    assert_eq!(events.last().map(|event| event["built"].clone()), Some(json!(5)));
    let status = house.meu(&["status", "--json"]).json();
    assert_eq!(status["summary"], json!({"fresh": 5}));
    let why = house.meu(&["why", "a", "--json"]).json();
    assert_eq!((&why["task"], &why["state"], &why["reasons"]), (&json!("a"), &json!("fresh"), &json!([])));
    let graph = house.meu(&["graph", "--json"]).json();
    assert!(
        graph["links"]
            .as_array()
            .expect("links")
            .contains(&json!({"from": "p/y", "kind": "refers", "to": "p/x"}))
    );
    let links = house.meu(&["link", "list", "a", "--json"]).json();
    assert_eq!(links, json!({"links": [{"from": "p/x", "kind": "requires", "to": "a"}]}));
    let show = house.meu(&["context", "show", "p/x", "--full", "--json"]).json();
    assert_eq!(show["items"][0]["ref"], "index");
    assert_eq!(show["items"][1]["content"], "answer of a");
    assert_eq!(show["tokenizer"], "chars");
}

#[test]
fn the_graph_draws_in_two_languages() {
    let house = plan();
    let mermaid = house.meu(&["graph"]).ok().out;
    assert!(mermaid.starts_with("graph LR\n  t0[\"a\"]:::missing\n"), "{mermaid}");
    let dot = house.meu(&["graph", "--format", "dot"]).ok().out;
    assert!(dot.contains("  \"p/x\" -> \"p/y\" [style=dashed];\n"), "{dot}");
}

#[test]
fn the_index_keeps_a_persons_words_and_is_never_fed_back() {
    let house = House::new().task("a", "").file("INDEX.md", "# Mine\n\nRules for all.\n");
    house.run_asks(&["a"]);
    assert_eq!(
        house.read("INDEX.md"),
        "# Mine\n\nRules for all.\n\n<!-- meu:contents -->\n## Contents\n\n- [a](out/a.md)\n<!-- /meu:contents -->\n"
    );
    let full = house.meu(&["context", "show", "a", "--full"]).ok().out;
    assert!(full.contains("Rules for all.") && !full.contains("## Contents"), "{full}");
    house.meu(&["index", "--write"]).ok();
    house.run_asks(&[]);
    house.put("INDEX.md", house.read("INDEX.md").replace("Rules", "New rules"));
    house.run_asks(&["a"]);
    // As another system ends lines.
    house.put("INDEX.md", house.read("INDEX.md").replace('\n', "\r\n"));
    house.task_put("b", "");
    house.run_asks(&["b"]);
    let index = house.read("INDEX.md");
    assert!(index.contains("- [b](out/b.md)\r\n"), "{index:?}");
    assert_eq!(index.matches('\n').count(), index.matches("\r\n").count());
}

#[test]
fn a_template_puts_items_in_place_and_depends_on_them() {
    let house = House::new()
        .task("a", "")
        .file(
            "tasks/t.toml",
            "run = \"template\"\nrequires = [\"a\"]\nprompt = \"\"\"\n# {{ task.title }}\n\n{{ text(\"task:a\") }}\n\"\"\"\n",
        )
        .file("tasks/bad.toml", "run = \"template\"\nprompt = \"{{ text('task:a') }}\"\n");
    let said = house.meu(&["run"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: the prompt of `bad` takes `task:a`, which the task does not declare
 --> tasks/bad.toml:2:20
  |
2 | prompt = \"{{ text('task:a') }}\"
  |                    ^^^^^^
  = help: add it to `requires`, `refers` or `inputs`
error: 1 problem in this project
"
        )
    );
    house.put("tasks/bad.toml", "run = \"template\"\nprompt = \"x\"\n");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/t.md"), "# T\n\nanswer of a\n");
    house.put("tasks/a.toml", "title = \"a\"\nprompt = \"other\"\n");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/t.md"), "# T\n\nother\n");
}

#[test]
fn a_name_means_the_same_in_a_prompt_as_in_a_link() {
    let takes = |link: &str| {
        format!(
            "run = \"template\"\nrequires = [{link:?}]\nprompt = \"takes {{{{ text('task:{link}') }}}}\"\n"
        )
    };
    let house = House::new()
        .task("a", "")
        .task("p/a", "")
        .file("tasks/twin.toml", "duplicates = \"a\"\n")
        .file("tasks/p/near.toml", takes("a"))
        .file("tasks/p/above.toml", takes("../a"))
        .file("tasks/p/other.toml", takes("../twin"))
        .file("tasks/stands.toml", takes("twin"));
    house.meu(&["run"]).ok();
    for (path, taken) in [
        ("p/near", "takes answer of p-a\n"),
        ("p/above", "takes answer of a\n"),
        ("p/other", "takes answer of a\n"),
        ("stands", "takes answer of a\n"),
    ] {
        assert_eq!(house.read(&format!("out/{path}.md")), taken, "{path}");
    }
    // And what it means decides what is stale.
    house.put("tasks/a.toml", "title = \"a\"\nprompt = \"other\"\n");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/stands.md"), "takes other\n");
    assert_eq!(house.read("out/p/above.md"), "takes other\n");
    assert_eq!(house.read("out/p/near.md"), "takes answer of p-a\n");
}

#[test]
fn a_program_gets_the_request_and_its_id() {
    let house = House::new().task("a", "").file(
        "tasks/p.toml",
        "run = [\"sh\", \"-c\", \"cat; echo id $MEU_TASK; test -s $MEU_REQUEST\"]\nrequires = [\"a\"]\nprompt = \"go\"\n",
    );
    house.meu(&["run"]).ok();
    assert_eq!(
        house.read("out/p.md"),
        "<item source=\"task:a\" type=\"requires\" form=\"full\">\nanswer of a\n</item>\n\ngo\nid p\n"
    );
    house.put(
        "tasks/p.toml",
        "run = [\"sh\", \"-c\", \"echo broken >&2; exit 3\"]\nrequires = [\"a\"]\nprompt = \"go\"\n",
    );
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("the program `sh` ended with exit status: 3: broken"), "{}", said.out);
    assert!(house.read("out/p.md").contains("id p"), "the last good output stays");
}

#[test]
fn each_program_finds_its_own_request_and_nothing_of_another() {
    let program = "run = [\"sh\", \"-c\", \"cat $MEU_REQUEST\"]\n";
    let long = "a long line of a prompt. ".repeat(400);
    let house = House::new()
        .file("tasks/a.toml", format!("{program}priority = 900\nprompt = \"{long}\"\n"))
        .file("tasks/b.toml", format!("{program}prompt = \"short\"\n"));
    // One worker, first the long one.
    house.meu(&["run", "-j1"]).ok();
    let said = |name: &str| -> serde_json::Value {
        serde_json::from_str(&house.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(said("out/a.md")["messages"][0]["content"] == format!("{long}\n"), "another text");
    assert_eq!(said("out/b.md")["messages"][0]["content"], "short\n");
    let left = std::fs::read_dir(house.root().join(".meu/tmp")).expect("tmp").count();
    assert_eq!(left, 0, "they are gone with the run");
}

#[test]
fn what_a_program_made_of_its_request_is_not_written_to() {
    let house = House::new()
        .file("mine.txt", "my words\n")
        .file("tasks/a.toml", "run = [\"sh\", \"-c\", \"ln $MEU_REQUEST kept; echo a\"]\npriority = 1\nprompt = \"first\"\n")
        .file(
            "tasks/b.toml",
            "run = [\"sh\", \"-c\", \"ln -sf ../../mine.txt $MEU_REQUEST; echo b\"]\npriority = 2\nprompt = \"second\"\n",
        )
        .file("tasks/c.toml", "run = [\"sh\", \"-c\", \"cat $MEU_REQUEST\"]\npriority = 3\nprompt = \"third\"\n");
    house.meu(&["run", "-j1"]).ok();
    assert!(house.read("kept").contains("first"), "{}", house.read("kept"));
    assert_eq!(house.read("mine.txt"), "my words\n");
    assert!(house.read("out/c.md").contains("third"));
}

#[test]
fn a_duplicate_stands_for_another() {
    let house = House::new()
        .task("a", "")
        .file("tasks/old.toml", "duplicates = \"a\"\n")
        .task("b", "requires = [\"old\"]\n");
    house.run_asks(&["a", "b"]);
    assert_eq!(house.state("old"), "duplicate");
    let show = house.meu(&["context", "show", "b", "--json"]).json();
    assert_eq!(show["items"][0]["ref"], "task:a");
}

#[test]
fn a_failure_blocks_what_requires_it_and_no_other() {
    let house = House::new()
        .task("bad", "")
        .task("below", "requires = [\"bad\"]\n")
        .task("beside", "refers = [\"bad\"]\n")
        .task("other", "priority = 500\n");
    house.hook("if [ \"$title\" = bad ]; then echo no >&2; exit 1; fi\n");
    let said = house.meu(&["run", "-j1", "-k"]);
    assert_eq!(said.code, 1);
    assert_eq!(house.asked(), ["bad", "beside", "other"]);
    assert_eq!(
        [house.state("bad"), house.state("below"), house.state("beside")],
        ["failed", "blocked", "fresh"].map(str::to_owned)
    );
    house.hook("");
    house.run_asks(&["bad", "below", "beside"]);
}

#[test]
fn a_soft_circle_gives_cards() {
    let house = House::new().task("a", "refers = [\"b\"]\n").task("b", "refers = [\"a\"]\n");
    house.run_asks(&["a", "b"]);
    let show = house.meu(&["context", "show", "a", "--json"]).json();
    assert_eq!((&show["items"][0]["ref"], &show["items"][0]["form"]), (&json!("task:b"), &json!("card")));
    house.run_asks(&[]);
}

#[test]
fn caps_on_tokens_hold_before_the_call() {
    let house = plan();
    let said = house.meu(&["run", "--max-tokens", "10"]);
    assert_eq!((said.code, house.asked().len()), (1, 0));
    assert!(
        said.out.contains("of 10 are used (raise --max-tokens; the next run goes on here)"),
        "{}",
        said.out
    );
    let said = house.meu(&["run", "--max-cost", "1"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("--max-cost needs a price, and the provider `script` has none"),
        "{}",
        said.err
    );
}

#[test]
fn colour_is_for_terminals_and_quiet_is_quiet() {
    let house = plan();
    let plain = house.meu(&["status"]).ok().out;
    assert!(!plain.contains('\u{1b}'));
    let coloured = house.meu(&["status", "--color", "always"]).ok().out;
    assert!(coloured.contains("\u{1b}[33m"));
    assert_eq!(house.meu(&["run", "-q"]).ok().out, "");
    let said = house.meu(&["--help"]).ok();
    assert!(said.out.contains("Examples:\n"), "{}", said.out);
    assert_eq!(house.meu(&["rnu"]).code, 2);
}

#[test]
fn other_places_are_reached_with_c() {
    let house = plan();
    let said = house.meu(&["-C", "tasks/p", "status", "--check"]);
    assert_eq!(said.code, 3);
}

#[test]
fn a_projects_own_template_sees_vars_and_items() {
    let house = House::new()
        .task("a", "[vars]\naudience = \"sailors\"\n")
        .file("templates/task.txt", "# Task: {{ title }}\n{% for item in items %}{{ item.ref }}{% endfor %}\n{{ vars.audience }}\n{{ prompt }}\n");
    house.run_asks(&["a"]);
    let full = house.meu(&["context", "show", "a", "--full"]).ok().out;
    assert!(full.contains("\nsailors\nanswer of a\n"), "{full}");
    house.put("templates/task.txt", "{{ promt }}");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    let what = "error: templates/task.txt:1 cannot be rendered: undefined value: `promt` is undefined\n";
    assert!(said.err.starts_with(what), "{}", said.err);
}

/// As GitHub runs it: annotations at the files, and a summary of the job.
#[test]
fn a_check_under_github_actions_tells_it_at_the_files() {
    let mut house = House::empty();
    house.put("book/meu.toml", "[context]\ntokenizer = \"chars\"\n");
    house.put("book/tasks/a.toml", "prompt = \"Say: 100 %.\"\napproval = true\n");
    house.put("book/tasks/b.toml", "prompt = \"Say b.\"\n");
    house.meu(&["-C", "book", "run"]);
    house.put("book/tasks/b.toml", "prompt = \"Say c.\"\n");
    let root = house.root().display().to_string();
    house.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", &root);
    let summary = format!("{root}/summary");
    house.env("GITHUB_STEP_SUMMARY", &summary);
    let said = house.meu(&["-C", "book", "status", "--check"]);
    assert_eq!(said.code, 3);
    let told: Vec<&str> = said.out.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(
        told,
        [
            "::error file=book/out/a.md,title=a is awaiting::a person must approve out/a.md",
            "::error file=book/out/b.md,title=b is stale::prompt changed",
        ]
    );
    assert_eq!(
        house.read("summary"),
        "### meu: 2 of 2 tasks not up to date\n\n| task | state | why | output |\n| --- | --- | --- | --- |\n\
         | `a` | awaiting | `a person must approve out/a.md` | `out/a.md` |\n| `b` | stale | `prompt changed` | `out/b.md` |\n"
    );
    house.meu(&["-C", "book", "approve", "a"]).ok();
    house.meu(&["-C", "book", "run"]).ok();
    let said = house.meu(&["-C", "book", "status", "--check"]).ok();
    assert!(!said.out.contains("::"), "{}", said.out);
    assert!(house.read("summary").ends_with("### meu: 2 tasks up to date\n"));
}

#[test]
fn what_is_listed_of_a_command_is_what_it_says_of_itself() {
    let house = House::new();
    let of = |arguments: &[&str]| house.meu(arguments).ok().out;
    let words = |lines: &str| lines.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = of(&["-h"]);
    let list = all.split("\n\n").find_map(|part| part.strip_prefix("Commands:\n")).expect("a list");
    // A command begins a line two columns in; what goes on is further in.
    let mut listed: Vec<String> = Vec::new();
    for line in list.lines() {
        match line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            Some(command) => listed.push(command.to_owned()),
            None => listed.last_mut().expect("a command").push_str(line),
        }
    }
    assert!(listed.len() > 25, "{listed:?}");
    for line in listed {
        let (command, said) = line.split_once(' ').expect("what it is for");
        if command != "help" {
            let own = of(&[command, "-h"]);
            assert_eq!(words(said), words(own.split("\n\n").next().unwrap_or_default()), "{command}");
        }
    }
}

#[test]
fn a_run_whose_index_cannot_be_written_still_tells_what_it_did() {
    let house = House::new().task("a", "").file("INDEX.md", "# Mine\n");
    house.hook("printf '<!-- meu:contents -->\\n' >> INDEX.md\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("1 built; "), "{}{}", said.out, said.err);
    assert!(said.err.contains("`INDEX.md` cannot be written: line 2 has a marker"), "{}", said.err);
    assert!(house.read("meu.lock").contains("\"task\":\"a\""));
}
