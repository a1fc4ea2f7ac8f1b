//! `[expect]`: what an output must be before it is accepted.

use serde_json::{Value, json};

use crate::house::House;
use crate::server::{Reply, Server, whole};

fn project(server: &Server, expect: &str) -> House {
    House::empty()
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"p\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\nbase_url = \"http://{}/v1\"\nretries = 0\nprice = {{ input = 1.0, output = 1.0 }}\n",
                server.address
            ),
        )
        .task("a", &format!("[expect]\n{expect}\n"))
}

/// A model that learns: its answers are good once it was told what was wrong.
fn learner() -> Server {
    Server::new(|_, seen| match seen.body["messages"].as_array().map_or(0, Vec::len) {
        2 => whole("first"),
        4 => whole("second, with GOLD"),
        _ => whole("third, with GOLD and GEMS"),
    })
}

#[test]
fn a_failing_answer_is_sent_back_with_what_failed() {
    let server = learner();
    let house = project(&server, "contains = [\"GOLD\"]");
    let said = house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "second, with GOLD\n");
    let messages = server.seen()[1].body["messages"].as_array().expect("messages").clone();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(messages[2]["content"], "first\n");
    assert_eq!(
        messages[3]["content"],
        "This answer cannot be taken:\n\n- it does not contain \"GOLD\"\n\nAnswer the task again, the whole of it, with that mended. Answer with the text itself, without a word about it before or after.\n"
    );
    // Both are counted: twice 11 in and 7 out.
    assert!(said.out.ends_with("1 built; 22 tokens in, 14 out, cost 0.0000\n"), "{}", said.out);
    // And it is settled.
    assert!(house.meu(&["run"]).ok().out.contains("nothing to do"));
    // What is gone comes back without a question, also when all answers are looked at again.
    house.remove("out/a.md");
    house.meu(&["run"]).ok();
    house.remove("out/a.md");
    house.remove("meu.lock");
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("second, with GOLD\n", 2));
}

#[test]
fn an_answer_that_stays_wrong_fails_with_each_reason() {
    let server = learner();
    let house = project(&server, "contains = [\"GEMS\"]\nmax_tokens = 10\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    let expected = "the answer is not what the task expects, 2 times: 1. it does not contain \"GEMS\" 2. it has 17 tokens, and 10 are the most; it does not contain \"GEMS\" (change the prompt or `[expect]`, or ask afresh with `meu run a --force a`)";
    assert!(said.out.contains(expected), "{}", said.out);
    assert!(!house.exists("out/a.md") && server.seen().len() == 2);
    // Nobody is asked the same again, and nothing else is told.
    let would = house.meu(&["run", "-n", "--json"]).ok().json();
    assert_eq!((&would["would_run"][0]["tokens_in"], &would["cost_max"]), (&json!(0), &json!(0.0)));
    assert_eq!(house.meu(&["run"]).code, 1);
    assert_eq!(server.seen().len(), 2);
    // One more repair goes on from where it stood; a looser measure takes what is there.
    house.put("tasks/a.toml", house.read("tasks/a.toml").replace("max_tokens = 10", "repairs = 2"));
    let would = house.meu(&["run", "-n", "--json"]).ok().json();
    assert!(would["would_run"][0]["tokens_in"].as_u64().is_some_and(|tokens| tokens > 0), "{would}");
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("third, with GOLD and GEMS\n", 3));
    // Afresh is from the beginning.
    house.meu(&["run", "a", "--force", "a"]).ok();
    assert_eq!(server.seen().len(), 6);
}

#[test]
fn a_new_measure_asks_nobody_if_the_output_meets_it() {
    let server = learner();
    let house = project(&server, "min_tokens = 2");
    house.meu(&["run"]).ok();
    let set = |expect: &str| house.task_put("a", &format!("[expect]\n{expect}\n"));
    set("contains = [\"irs\"]");
    assert_eq!(house.state("a"), "stale");
    assert!(house.meu(&["why", "a"]).ok().out.contains("what is expected of it changed"));
    let said = house.meu(&["run"]).ok();
    assert!(said.out.contains("cached a  what is expected of it changed"), "{}", said.out);
    assert_eq!(server.seen().len(), 1);
    // One that it does not meet sends it back.
    set("contains = [\"GOLD\"]");
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("second, with GOLD\n", 2));
    assert_eq!(server.seen()[1].body["messages"][2]["content"], "first\n");
    // How often an answer is sent back is no part of the measure.
    set("contains = [\"GOLD\"]\nrepairs = 5");
    assert_eq!(house.state("a"), "fresh");
    // A task without a measure takes its first answer, as it would have from the beginning.
    house.task_put("a", "");
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("first\n", 2));
}

#[test]
fn a_persons_edit_is_taken_as_it_is() {
    let server = learner();
    let house = project(&server, "contains = [\"first\"]");
    house.meu(&["run"]).ok();
    house.put("out/a.md", "my own words\n");
    house.task_put("a", "[expect]\ncontains = [\"GOLD\"]\n");
    house.meu(&["adopt", "a"]).ok();
    assert_eq!(house.state("a"), "fresh");
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("my own words\n", 1));
}

#[test]
fn a_schema_and_a_program_can_judge() {
    let server = Server::new(|_, seen| match seen.body["messages"].as_array().map_or(0, Vec::len) {
        2 => whole("{\"n\": \"one\"}"),
        4 => whole("{\"n\": 1}"),
        _ => whole("{\"n\": 2}"),
    });
    let house =
        project(&server, "schema = \"n.schema.json\"\ncommand = [\"sh\", \"judge.sh\"]\nrepairs = 2\n")
            .file("n.schema.json", r#"{"type": "object", "properties": {"n": {"type": "integer"}}}"#)
            .file("judge.sh", "grep -q 2 || { echo \"$MEU_TASK wants a 2\" >&2; exit 1; }\n");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "{\"n\": 2}\n");
    let told = |at: usize| -> Value {
        let messages = server.seen()[at].body["messages"].as_array().expect("messages").clone();
        messages.last().expect("a message")["content"].clone()
    };
    let told = |at| told(at).as_str().expect("a text").lines().nth(2).expect("a line").to_owned();
    assert_eq!(told(1), "- it does not fit the schema at /n: \"one\" is not of type \"integer\"");
    assert_eq!(told(2), "- the check `sh judge.sh` says: a wants a 2");
    // The schema's text is part of the measure; a touch is not.
    house.put("n.schema.json", house.read("n.schema.json"));
    assert_eq!(house.state("a"), "fresh");
    house.put("n.schema.json", r#"{"type": "object", "required": ["n"]}"#);
    assert_eq!(house.state("a"), "stale");
    assert_eq!(house.meu(&["status", "path:n.schema.json", "--json"]).json()["tasks"][0]["id"], "a");
    // The first answer fits this one, and the judge refuses it: that is another way than before.
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("{\"n\": 2}\n", 5));
}

#[test]
fn a_measure_after_none_takes_what_a_clone_has() {
    let server = learner();
    let house = project(&server, "").task("a", "");
    house.meu(&["run"]).ok();
    house.git(&["init", "-q"]);
    house.git(&["add", "."]);
    house.remove(".meu");
    house.task_put("a", "[expect]\ncontains = \"irs\"\n");
    house.meu(&["run"]).ok();
    assert_eq!((house.state("a").as_str(), server.seen().len()), ("fresh", 1));
}

#[test]
fn a_judge_that_cannot_be_asked_is_no_judgement() {
    let server = learner();
    let house = project(&server, "command = [\"no-such-judge\"]");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("the program `no-such-judge` cannot be started"), "{}", said.out);
    // The answer is kept: once there is a judge, nobody is asked again.
    house.task_put("a", "[expect]\ncommand = [\"true\"]\n");
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("first\n", 1));
}

#[test]
fn a_judge_wants_a_yes() {
    let server = learner();
    let mut house = project(&server, "command = [\"sh\", \"-c\", \"touch judged\"]");
    house.env("OPENAI_API_KEY", "sk-very-secret").without_env("MEU_TRUST");
    let said = house.meu(&["run"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: task a has its output judged by [\"sh\", \"-c\", \"touch judged\"]\n  = help: look at it, then say `meu trust`; in CI set MEU_TRUST=1\nerror: this project wants what you have not allowed yet\n"
        )
    );
    assert!(!house.exists("judged") && server.seen().is_empty());
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    assert!(house.exists("judged"));
}

#[test]
fn nobody_judges_without_a_yes_not_even_what_nobody_is_asked_for() {
    let judge = "[expect]\ncommand = [\"sh\", \"judge.sh\"]\n";
    let refused = |house: &House, arguments: &[&str]| {
        let said = house.meu(arguments);
        assert_eq!(said.code, 2, "{}{}", said.out, said.err);
        assert!(said.err.contains("has its output judged by [\"sh\", \"judge.sh\"]"), "{}", said.err);
        assert!(!house.exists("judged"));
    };
    let mut house = House::empty()
        .file("meu.toml", "[context]\ntokenizer = \"chars\"\n")
        .file("judge.sh", "touch judged\n")
        .task("t", &format!("run = \"template\"\n{judge}"))
        .task("o", judge);
    house.without_env("MEU_TRUST");
    refused(&house, &["run"]);
    house.meu(&["status"]).ok();
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    // Another judge is none that was allowed, also for answers that are stored.
    house.remove("judged");
    house.put("judge.sh", "touch judged # now\n");
    house.remove("out/o.md");
    house.remove("meu.lock");
    refused(&house, &["run", "--frozen"]);
}

#[test]
fn a_judge_of_a_task_that_was_blocked_needs_its_yes_too() {
    let mut house = House::empty()
        .file(
            "meu.toml",
            "[model]\nprovider = \"p\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\napi = \"command\"\ncommand = [\"sh\", \"answer.sh\"]\n",
        )
        .file("answer.sh", "[ -e good ] && echo up\n")
        .task("up", "");
    house.without_env("MEU_TRUST");
    house.meu(&["trust"]).ok();
    assert_eq!(house.meu(&["run"]).code, 1);
    house.task_put(
        "down",
        "run = \"template\"\nrequires = [\"up\"]\n[expect]\ncommand = [\"sh\", \"-c\", \"touch judged\"]\n",
    );
    house.put("good", "");
    let said = house.meu(&["run"]);
    assert!(matches!(said.code, 1 | 2), "{}{}", said.out, said.err);
    assert!(!house.exists("judged"));
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    assert!(house.exists("judged"));
}

#[test]
fn a_program_that_the_run_itself_writes_is_not_the_one_that_was_allowed() {
    let mut house = House::empty()
        .file("meu.toml", "[context]\ntokenizer = \"chars\"\nindex = \"none\"\n")
        .file("tasks/a.toml", "run = \"template\"\noutput = \"gen.sh\"\nprompt = \"echo one\"\n")
        .file("tasks/b.toml", "run = [\"sh\", \"./x/../gen.sh\"]\nrequires = [\"a\"]\n")
        .file("x/y", "");
    house.without_env("MEU_TRUST");
    house.meu(&["run", "a"]).ok();
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/b.md"), "one\n");
    house.put("tasks/a.toml", house.read("tasks/a.toml").replace("echo one", "touch here; echo two"));
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("what [\"sh\", \"./x/../gen.sh\"] runs is not what you allowed: it, or a file that it names, changed"), "{}", said.out);
    assert!(!house.exists("here"));
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/b.md"), "two\n");
}

#[test]
fn a_program_of_the_project_that_path_leads_to_is_allowed_with_its_contents() {
    let mut house = House::empty()
        .file("meu.toml", "[context]\ntokenizer = \"chars\"\n")
        .file("tasks/a.toml", "run = [\"env\", \"X=1\", \"said\"]\n")
        .file("tasks/b.toml", "run = [\"sh\", \".meu/kept.sh\"]\n");
    let put = |house: &House, name: &str, text: &str| {
        house.put(name, text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(house.root().join(name), mode).expect("a program");
    };
    put(&house, "bin/said", "#!/bin/sh\necho one\n");
    put(&house, ".meu/kept.sh", "echo kept\n");
    let path = std::env::var("PATH").expect("PATH");
    house.env("PATH", &format!("{}:{path}", house.root().join("bin").display())).without_env("MEU_TRUST");
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md"), house.read("out/b.md")), ("one\n".into(), "kept\n".into()));
    for (task, program) in [("a", "bin/said"), ("b", ".meu/kept.sh")] {
        put(&house, program, "#!/bin/sh\ntouch here\n");
        let said = house.meu(&["run", "--force", task]);
        assert_eq!(said.code, 2, "{}{}", said.out, said.err);
        assert!(said.err.contains(&format!("task {task} runs")), "{}", said.err);
        assert!(!house.exists("here"));
    }
}

#[test]
fn a_script_is_found_under_whatever_name_a_line_for_a_shell_gives_it() {
    let lines = [
        ("sh tools/gen@2.sh | cat", "tools/gen@2.sh"),
        ("sh tools/[a]/g,1.sh", "tools/[a]/g,1.sh"),
        ("sh my\\\\ gen.sh", "my gen.sh"),
        ("sh 'my gen.sh';", "my gen.sh"),
        ("sh \\\"tools\\\"/plain.sh", "tools/plain.sh"),
        ("sh ../scripts/up.sh", "../scripts/up.sh"),
    ];
    for (line, script) in lines {
        let mut house = House::empty()
            .file("meu.toml", "[context]\ntokenizer = \"chars\"\n")
            .file("tasks/a.toml", format!("run = [\"sh\", \"-c\", \"{line}\"]\n"))
            .file(script, "echo good\n");
        // The project is a folder of the repository.
        std::fs::create_dir(house.root().parent().expect("a folder above").join(".git")).expect("a folder");
        house.without_env("MEU_TRUST");
        house.meu(&["trust"]).ok();
        house.meu(&["run"]).ok();
        assert_eq!(house.read("out/a.md"), "good\n", "{line}");
        house.put(script, "touch here\n");
        let said = house.meu(&["run", "--force", "a"]);
        assert_eq!(said.code, 2, "{line}: {}{}", said.out, said.err);
        assert!(!house.exists("here"), "{line}");
    }
}

#[test]
fn what_is_made_without_a_model_is_measured_too() {
    let house = House::new().task("t", "run = \"template\"\n[expect]\ncontains = \"GOLD\"\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("the output is not what the task expects: it does not contain \"GOLD\" (change the prompt or `[expect]`)"),
        "{}",
        said.out
    );
    assert!(!house.exists("out/t.md"));
    house.put("tasks/t.toml", house.read("tasks/t.toml").replace("answer of", "GOLD of"));
    house.meu(&["run"]).ok();
    // A program is not sent its output back.
    let house =
        House::new().task("p", "run = [\"echo\", \"lead\"]\n[expect]\ncontains = \"GOLD\"\nrepairs = 3\n");
    let said = house.meu(&["run"]);
    assert!(
        said.out.contains("the answer is not what the task expects: it does not contain \"GOLD\" ("),
        "{}",
        said.out
    );
}

#[test]
fn wrong_measures_are_told_with_their_place() {
    let house = House::new()
        .task("a", "[expect]\nmatches = \"(\"\nformat = \"xml\"\nmin_tokens = 5\nmax_tokens = 4\nschema = \"../up.json\"\nrepairs = 99\nlength = 3\n")
        .task("b", "run = \"manual\"\n[expect]\ncontains = \"x\"\n")
        .task("c", "[expect]\nschema = \"no.json\"\n")
        .task("d", "[expect]\nschema = \"bad.json\"\n")
        .file("bad.json", "{\"type\": 7}");
    let said = house.meu(&["check", "--json"]);
    assert_eq!(said.code, 2);
    let diagnostics = said.json()["error"]["diagnostics"].as_array().expect("diagnostics").clone();
    let messages: Vec<(String, i64, String)> = diagnostics
        .iter()
        .map(|d| {
            let text = |key: &str| d[key].as_str().unwrap_or_default().to_owned();
            (text("file"), d["line"].as_i64().unwrap_or_default(), text("message"))
        })
        .collect();
    let of = |file: &str, line: i64, message: &str| (format!("tasks/{file}.toml"), line, message.to_owned());
    let expected = [
        of("a", 3, "`min_tokens` is more than `max_tokens`"),
        of("a", 4, "`(` is no regular expression"),
        of("a", 5, "`xml` is not one of json, yaml, toml, markdown"),
        of("a", 8, "the path leaves the project with `..`"),
        of("a", 9, "`expect.repairs` must be between 0 and 10, not 99"),
        of("a", 10, "unknown key `length` in [expect]"),
        of("b", 4, "a person writes this output, so nothing is expected of it"),
        of("c", 4, "the schema `no.json` cannot be used: it is not there"),
    ];
    for expected in &expected {
        assert!(messages.contains(expected), "{expected:?} in {messages:#?}");
    }
    assert!(messages.iter().any(|(_, _, message)| {
        message.starts_with("the schema `bad.json` cannot be used: it is no JSON Schema: ")
    }));
    assert_eq!(messages.len(), expected.len() + 1);
}

#[test]
fn a_run_that_is_cut_off_between_two_tries_pays_for_neither_twice() {
    for number in 1..40 {
        let server = learner();
        let mut house = project(&server, "contains = [\"GOLD\"]");
        house.env("MEU_FAIL", &format!("kill:{number}"));
        let cut = house.meu(&["run"]);
        house.without_env("MEU_FAIL");
        house.meu(&["run"]).ok();
        assert_eq!(house.read("out/a.md"), "second, with GOLD\n");
        // One answer may have been in flight.
        assert!(server.seen().len() <= 3, "kill:{number}: {} calls", server.seen().len());
        let mut sent: Vec<String> =
            server.seen().iter().map(|seen| seen.body["messages"].to_string()).collect();
        let calls = sent.len();
        sent.dedup();
        assert!(calls - sent.len() <= 1);
        if cut.code == 0 {
            assert_eq!(server.seen().len(), 2);
            assert!(number > 10);
            return;
        }
    }
    panic!("the run has no end");
}

#[test]
fn a_first_try_that_only_the_journal_has_is_not_asked_for_again() {
    for number in 1..40 {
        // The repair is cut; the write that fails may be the cache's of the first try.
        let server = Server::new(|_, seen| match seen.body["messages"].as_array().map_or(0, Vec::len) {
            2 => whole("first"),
            _ => Reply::Whole(
                200,
                String::new(),
                json!({"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}).to_string(),
            ),
        });
        let mut house = project(&server, "contains = [\"GOLD\"]");
        house.env("MEU_FAIL", &format!("broken:{number}"));
        house.meu(&["run"]);
        house.without_env("MEU_FAIL");
        house.meu(&["run"]);
        let firsts = server
            .seen()
            .iter()
            .filter(|seen| seen.body["messages"].as_array().map_or(0, Vec::len) == 2)
            .count();
        assert_eq!(firsts, 1, "broken:{number}");
    }
}

#[test]
fn a_refusal_of_a_repair_is_a_failure_like_any_other() {
    let server = Server::new(|number, _| match number {
        0 => whole("first"),
        1 => Reply::Whole(
            200,
            String::new(),
            json!({"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}).to_string(),
        ),
        _ => whole("GOLD"),
    });
    let house = project(&server, "contains = [\"GOLD\"]");
    let said = house.meu(&["run"]);
    assert!(said.out.contains("failed a  the answer was cut at the length limit"), "{}", said.out);
    // The first try serves again; only the second is asked anew.
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("GOLD\n", 3));
}
