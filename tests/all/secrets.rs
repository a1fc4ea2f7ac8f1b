//! What is never stored or shown, and what is told before it is sent.

use serde_json::json;

use crate::house::{House, Said};
use crate::server::{Reply, Server, error, whole};

const KEY: &str = "sk-proj-V3rySecretV3rySecretV3rySecret";
const WORD: &str = "hunter2";

/// A project whose document holds what `[redact]` names.
fn project(server: &Server, redact: &str) -> House {
    let mut house = House::empty()
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"p\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\nretrieve = {{ k = 2, documents = [\"notes/*.md\"] }}\n[providers.p]\nbase_url = \"http://{}/v1\"\nretries = 0\n[redact]\n{redact}\n",
                server.address
            ),
        )
        .file("x.md", format!("The server is db1.\n\nPassword: {WORD}\n"))
        .file("notes/n.md", format!("# Answers\n\nAn answer has a password: {WORD}\n"))
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n");
    house.env("OPENAI_API_KEY", KEY);
    house
}

/// Every file of a project but its own documents, `.meu/` included, that holds a text.
fn holding(house: &House, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut stack = vec![house.root(), house.home()];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.path()));
        } else if String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).contains(text) {
            found.push(path.strip_prefix(house.root()).unwrap_or(&path).display().to_string());
        }
    }
    found.sort();
    found
}

fn shows(said: &Said, text: &str) -> bool {
    said.out.contains(text) || said.err.contains(text)
}

const PATTERN: &str = "patterns = ['(?i)password\\s*[:=]\\s*\\S+']";

#[test]
fn what_redact_names_is_sent_but_never_stored_or_shown() {
    let server = Server::new(|_, seen| match seen.prompt().as_str() {
        "answer of a" => whole(&format!("It is said: password: {WORD}, and the key is {KEY}.")),
        _ => error(400, "", "wrong", &format!("no password={WORD} and no {KEY}")),
    });
    let house = project(&server, PATTERN);
    let said = house.meu(&["run", "-vv"]);
    assert_eq!(said.code, 1);
    // It goes out as it is, and the run says so.
    assert!(server.seen()[0].body["messages"][1]["content"].as_str().expect("a text").contains(WORD));
    let warning = "warning: the request of a goes out with a secret: doc:x.md holds what `[redact]` names with `(?i)password\\s*[:=]\\s*\\S+`";
    assert!(said.err.contains(warning), "{}", said.err);
    assert_eq!(house.read("out/a.md"), "It is said: [redacted] and the key is [key].\n");
    assert!(said.out.contains("answered 400: no [redacted] and no [key]"), "{}", said.out);
    for command in [
        &["context", "show", "a", "--full"][..],
        &["context", "show", "a", "--full", "--json"],
        &["context", "history", "a"],
        &["search", "password"],
        &["why", "b"],
        &["status", "--json"],
        &["run", "--json", "-v"],
        &["doctor"],
        &["trust", "--show"],
    ] {
        let said = house.meu(command);
        assert!(!shows(&said, WORD) && !shows(&said, KEY), "{command:?} {}{}", said.out, said.err);
    }
    let full = house.meu(&["context", "show", "a", "--full"]).ok().out;
    assert!(full.contains("The server is db1.\n\n[redacted]"), "{full}");
    assert_eq!(holding(&house, WORD), ["notes/n.md", "x.md"]);
    assert_eq!(holding(&house, KEY), [""; 0]);
    // A template's output is stored, too.
    let house = house.file(
        "tasks/t.toml",
        "run = \"template\"\nprompt = \"{{ text('doc:x.md') }}\"\ninputs = [\"x.md\"]\n",
    );
    house.meu(&["run", "t"]).ok();
    assert_eq!(house.read("out/t.md"), "The server is db1.\n\n[redacted]\n");
    assert!(house.meu(&["run", "t"]).ok().out.contains("nothing to do"));
}

#[test]
fn a_crash_leaves_no_secret_either() {
    let server = Server::new(|_, _| whole(&format!("password: {WORD} {KEY}")));
    for number in 1..30 {
        let mut house = project(&server, PATTERN);
        house.env("MEU_FAIL", &format!("kill:{number}"));
        house.meu(&["run"]);
        assert_eq!(
            (holding(&house, WORD), holding(&house, KEY)),
            (vec!["notes/n.md".into(), "x.md".into()], vec![])
        );
    }
}

#[test]
fn a_request_with_a_secret_can_be_refused() {
    let server = Server::new(|_, _| whole("Text."));
    let house = project(&server, "secrets = \"refuse\"").task("b", "");
    house.put("x.md", "Use AKIAIOSFODNN7EXAMPLE for it.\n");
    let said = house.meu(&["run", "-k"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("failed a  doc:x.md holds an AWS access key, and `secrets = \"refuse\"` lets no such request out (take it out of there, or exclude the item)"),
        "{}",
        said.out
    );
    assert!(!shows(&said, "AKIAIOSFODNN7EXAMPLE"));
    assert_eq!(server.prompts(), ["answer of b"]);
    // Without it the request goes out with a warning; the item and what it looks like are named.
    house.put("meu.toml", house.read("meu.toml").replace("secrets = \"refuse\"", ""));
    house.put(
        "tasks/b.toml",
        "title = \"b\"\nprompt = \"keep ghp_0123456789abcdefghijABCDEFGHIJ012345 safe\"\n",
    );
    let said = house.meu(&["run"]).ok();
    for warning in [
        "of a goes out with a secret: doc:x.md holds an AWS access key",
        "of b goes out with a secret: the prompt holds a GitHub token",
    ] {
        assert!(said.err.contains(warning), "{}", said.err);
    }
    // The drafter is this very program.
    house.put("meu.toml", "[context]\ntokenizer = \"chars\"\n");
    assert!(!shows(&house.meu(&["run"]).ok(), "secret"));
}

#[test]
fn vectors_of_a_secret_can_be_refused() {
    let server = Server::new(|_, _| Reply::Whole(200, String::new(), json!({"data": []}).to_string()));
    let house = project(&server, "secrets = \"refuse\"");
    house.put("notes/n.md", "AKIAIOSFODNN7EXAMPLE\n");
    house.put(
        "meu.toml",
        house.read("meu.toml").replace("k = 2,", "k = 2, embed = { provider = \"p\", model = \"e\" },"),
    );
    let said = house.meu(&["run"]);
    assert!(
        said.out.contains("a passage that `e` is to make vectors of holds an AWS access key, and `secrets = \"refuse\"` lets none out"),
        "{}{}",
        said.out, said.err
    );
    assert!(server.seen().is_empty());
}

#[test]
fn wrong_patterns_are_told_with_their_place() {
    let server = Server::of(Vec::new());
    let house = project(&server, "patterns = ['(', 'x*']\nsecrets = \"hide\"");
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2);
    for line in [
        "error: the pattern `(` is no regular expression\n  --> meu.toml:11:13\n",
        "error: the pattern `x*` matches the empty text\n  --> meu.toml:11:18\n",
        "error: `hide` is not one of warn, refuse\n  --> meu.toml:12:11\n",
    ] {
        assert!(said.err.contains(line), "{}", said.err);
    }
}

#[test]
fn trust_shows_what_it_is_about() {
    let mut house = House::empty()
        .file(
            "meu.toml",
            "[context]\ntokenizer = \"chars\"\n[providers.far]\napi = \"anthropic\"\nbase_url = \"https://llm.example.org\"\nkey_command = [\"pass\", \"llm\"]\n[providers.odd]\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key_env = \"AWS_SECRET_ACCESS_KEY\"\n[providers.cli]\napi = \"command\"\ncommand = [\"./ask.sh\"]\n[providers.near]\nbase_url = \"http://localhost:1/v1\"\n",
        )
        .file("ask.sh", "echo hi\n")
        .task("a", "");
    house.without_env("MEU_TRUST");
    assert_eq!(
        house.meu(&["trust", "--show"]).ok().out,
        "provider cli runs [\"./ask.sh\"]\n\
         provider far sends requests, and the key that [\"pass\", \"llm\"] prints, to https://llm.example.org\n\
         provider far takes its key from [\"pass\", \"llm\"]\n\
         provider odd sends requests, and the key in AWS_SECRET_ACCESS_KEY if it is set, to http://127.0.0.1:1/v1\n"
    );
    // What nobody asks needs no yes.
    house.meu(&["run"]).ok();
    // A stand-in is asked as well.
    house.put("meu.toml", house.read("meu.toml") + "[providers.first]\napi = \"ollama\"\nmodel = \"m\"\nfallback = [\"cli\"]\n[model]\nprovider = \"first\"\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("error: provider cli runs [\"./ask.sh\"]\n"), "{}", said.err);
    house.meu(&["trust"]).ok();
    assert!(house.meu(&["trust", "--json"]).ok().json()["missing"].as_array().is_some_and(Vec::is_empty));
    // A changed script is another program.
    house.put("ask.sh", "echo ho\n");
    assert_eq!(
        house.meu(&["trust", "--show", "--json"]).ok().json()["missing"],
        json!(["provider cli runs [\"./ask.sh\"]"])
    );
}

#[test]
fn a_repair_with_a_secret_is_looked_at_too() {
    let server = Server::new(|_, _| whole("An answer."));
    let house = project(&server, "secrets = \"refuse\"");
    house.put("x.md", "Nothing.\n");
    house.put("judge.sh", "echo token AKIAIOSFODNN7EXAMPLE is missing; exit 1\n");
    house.put("tasks/a.toml", "prompt = \"x\"\n[expect]\ncommand = [\"sh\", \"judge.sh\"]\n");
    house.remove("tasks/b.toml");
    let said = house.meu(&["run"]);
    assert!(
        said.out.contains(
            "the prompt holds an AWS access key, and `secrets = \"refuse\"` lets no such request out"
        ),
        "{}",
        said.out
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn what_is_taken_out_of_an_answer_is_not_asked_for_again() {
    let server = Server::new(|_, _| whole("{\"note\": \"password: hunter2\"}"));
    let house = project(&server, PATTERN);
    house.put("tasks/a.toml", "prompt = \"x\"\n[expect]\nformat = \"json\"\n");
    house.remove("tasks/b.toml");
    let said = house.meu(&["run"]);
    assert!(
        said.out.contains(
            "without what `[redact]` takes out of it the answer is not what the task expects: it is no JSON: "
        ),
        "{}",
        said.out
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn nothing_is_shown_of_a_project_that_is_not_whole_either() {
    let house = project(&Server::of(Vec::new()), PATTERN);
    house.put(
        "tasks/c.toml",
        "prompt = \"x\"\nbogus = \"password: hunter2\"\nrequires = [\"password: hunter2\"]\n",
    );
    for arguments in [&["status"][..], &["status", "--json"]] {
        let said = house.meu(arguments);
        assert_eq!(said.code, 2);
        assert!(!shows(&said, WORD), "{}{}", said.out, said.err);
    }
}

#[test]
fn a_key_command_that_fails_shows_no_key() {
    let server = Server::of(Vec::new());
    let house = project(&server, "");
    house.put(
        "meu.toml",
        house.read("meu.toml").replace(
            "retries = 0",
            &format!("key_command = [\"sh\", \"-c\", \"echo {KEY}; echo {KEY} is no good >&2; exit 1\"]"),
        ),
    );
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    // The command line itself is the project's.
    assert!(said.err.contains("ended with exit status: 1: [key] is no good"), "{}", said.err);
}

#[test]
fn a_yes_for_vectors_is_wanted_before_they_are_asked_for() {
    // The task is blocked when the run begins, so that its provider is not looked at then.
    let server = Server::new(|_, _| Reply::Whole(200, String::new(), json!({"data": []}).to_string()));
    let mut house = House::empty()
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"p\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\napi = \"command\"\ncommand = [\"sh\", \"-c\", \"exit $(cat code)\"]\n[providers.evil]\nbase_url = \"http://127.0.0.2:{}/v1\"\n",
                server.address.rsplit(':').next().expect("a port")
            ),
        )
        .file("code", "1")
        .file("docs/private.md", "A private page.\n")
        .task("a", "");
    house.env("OPENAI_API_KEY", KEY).without_env("MEU_TRUST");
    // All but the address gets its yes.
    let config = house.read("meu.toml");
    house.put(
        "meu.toml",
        config.replace("[providers.evil]\nbase_url", "[providers.offline]\nmodel = \"m\"\nbase_url"),
    );
    house.meu(&["trust"]).ok();
    house.meu(&["run"]);
    house.put("meu.toml", &config);
    house.put("tasks/b.toml", "prompt = \"private\"\nrequires = [\"a\"]\n[context]\nretrieve = { k = 1, embed = { provider = \"evil\", model = \"e\" } }\n");
    house.put("code", "0; echo done");
    let said = house.meu(&["run"]);
    assert!(
        format!("{}{}", said.out, said.err).contains("this project wants what you have not allowed yet"),
        "{}{}",
        said.out,
        said.err
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_yes_lies_outside_the_project_and_on_a_line_of_its_own() {
    let mut house = House::empty().file("meu.toml", "").task("a", "run = [\"echo\", \"hi\"]\n");
    house.without_env("MEU_TRUST");
    for inside in [house.root().join("config"), "config".into()] {
        house.env("XDG_CONFIG_HOME", &inside.to_string_lossy());
        let root = house.root();
        house.env("HOME", &root.to_string_lossy());
        let said = house.meu(&["trust"]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("names a folder outside the project"), "{}", said.err);
    }
    let config = house.home().join("config");
    house.env("XDG_CONFIG_HOME", &config.to_string_lossy());
    let kept = house.home().join("config/meu/trust");
    std::fs::create_dir_all(kept.parent().expect("a folder")).expect("a folder");
    std::fs::write(&kept, "0000 /some/where").expect("a file");
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "hi\n");
}
