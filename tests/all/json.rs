//! What `--json` prints against the schema that `docs/` publishes: every command, and no field that the
//! schema does not name.

use serde_json::{Value, json};

use crate::house::{House, Said};
use crate::server::{Reply, Server, whole};

/// The published schema, but strict: a field that it does not name is one that nobody documented.
fn schema(name: &str) -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.schema.json");
    let text = std::fs::read_to_string(path).expect("the schema");
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    fn close(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.values_mut().for_each(close);
                if map.contains_key("properties") && map.get("type") == Some(&json!("object")) {
                    map.entry("additionalProperties").or_insert(json!(false));
                }
            }
            Value::Array(list) => list.iter_mut().for_each(close),
            _ => {}
        }
    }
    close(&mut schema);
    assert!(schema["$defs"].get(name).is_some(), "{name} is not in the schema");
    schema["$ref"] = json!(format!("#/$defs/{}", name.replace(' ', "%20")));
    jsonschema::validator_for(&schema).expect("a schema")
}

#[track_caller]
fn fits(name: &str, value: &Value) {
    let problems: Vec<String> =
        schema(name).iter_errors(value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(problems.is_empty(), "{name}: {problems:#?}\n{value:#}");
}

#[track_caller]
fn says(house: &House, name: &str, arguments: &[&str]) -> Value {
    let said = house.meu(&[arguments, &["--json"]].concat());
    let value = said.json();
    fits(name, &value);
    value
}

/// Each line of a run.
#[track_caller]
fn lines(said: &Said) -> Vec<Value> {
    let all: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    all.iter().for_each(|event| fits("run", event));
    all
}

#[test]
fn every_command_fits_the_published_schema() {
    let server = Server::new(|_, seen| {
        if seen.body.is_null() {
            return Reply::Whole(404, String::new(), "nothing here".into());
        }
        match seen.prompt().as_str() {
            "answer of bad" => crate::server::error(400, "", "bad", "no"),
            prompt => whole(&format!("said: {prompt}\n\nThe kettle boils.")),
        }
    });
    let house = House::empty()
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"http\"\nname = \"m\"\nmax_output_tokens = 50\n[context]\ntokenizer = \"chars\"\nbudget = 3000\n[providers.http]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\nretries = 0\nprice = {{ input = 1.0, output = 2.0 }}\n",
                server.address
            ),
        )
        .file("doc.md", "# Kettle\n\nThe kettle boils water in four minutes.\n")
        .file("long.md", "# Long\n\n".to_owned() + &"Many words of little use. ".repeat(400))
        .task("a", "inputs = [\"doc.md\"]")
        .task("b", "requires = [\"a\"]\napproval = true\nrefers = [\"c\"]")
        .task("c", "inputs = [\"long.md\"]\n[context]\nretrieve = { k = 1, from = \"documents\", documents = [\"*.md\"] }")
        .task("d", "duplicates = \"a\"")
        .task("bad", "");
    house.git(&["init", "-q"]);
    let would = says(&house, "run -n", &["run", "-n"]);
    assert_eq!(would["would_run"].as_array().expect("rows").len(), 3, "{would}");
    assert_eq!(would["waiting"], json!(["b"]));
    let events = lines(&house.meu(&["run", "-k", "-v", "--json"]));
    for wanted in ["run_started", "task_started", "task_tried", "task_finished", "run_finished"] {
        assert!(events.iter().any(|event| event["event"] == wanted), "{wanted}: {events:#?}");
    }
    let status = says(&house, "status", &["status"]);
    assert_eq!(status["summary"], json!({"failed": 1, "awaiting": 1, "fresh": 2, "duplicate": 1}));
    says(&house, "done", &["approve", "b"]);
    says(&house, "why", &["why", "bad"]);
    says(&house, "why", &["why", "a"]);
    says(&house, "check", &["check"]);
    says(&house, "context show", &["context", "show", "c", "--full"]);
    says(&house, "context show", &["context", "show", "c", "--candidates"]);
    says(&house, "search", &["search", "kettle", "water"]);
    says(&house, "graph", &["graph"]);
    says(&house, "link list", &["link", "list"]);
    let log = says(&house, "log", &["log"]);
    let run = log["runs"][0]["run"].as_str().expect("a run").to_owned();
    says(&house, "show", &["show", &run]);
    says(&house, "show", &["show", &run, "a"]);
    says(&house, "show --prompt", &["show", &run, "a", "--prompt"]);
    says(&house, "show --answer", &["show", &run, "a", "--answer"]);
    says(&house, "show --context", &["show", &run, "a", "--context"]);
    says(&house, "trace", &["trace", "out/b.md:3"]);
    says(&house, "trust", &["trust", "--show"]);
    let doctor = says(&house, "doctor", &["doctor", "--net"]);
    let of = |name: &str| {
        let all = doctor["providers"].as_array().expect("providers");
        all.iter().find(|provider| provider["name"] == name).expect("it").clone()
    };
    assert_eq!(of("http")["reached"], true, "404 is an answer");
    assert_eq!(of("anthropic")["reached"], Value::Null, "nobody uses it");
    says(&house, "index", &["index"]);
    says(&house, "index --write", &["index", "--write"]);

    house.put("doc.md", "# Kettle\n\nThe kettle boils water in five minutes.\n");
    house.put("out/a.md", "A person wrote this.\n");
    says(&house, "diff", &["diff", "a"]);
    says(&house, "done", &["restore", "a"]);
    lines(&house.meu(&["run", "a", "--json"]));
    says(&house, "context history", &["context", "history", "a"]);
    says(&house, "context diff", &["context", "diff", "a"]);
    house.put("out/a.md", "A person wrote this.\n");
    says(&house, "done", &["adopt", "a"]);
    says(&house, "reject", &["reject", "c", "-m", "shorter"]);
    let digest = meu::digest::Digest::of("A person wrote this.\n").to_string();
    says(&house, "cat", &["cat", &digest]);

    says(&house, "context edit", &["context", "pin", "a", "doc:long.md"]);
    says(&house, "context edit", &["context", "unpin", "a", "doc:long.md"]);
    says(&house, "context edit", &["context", "exclude", "b", "task:c"]);
    says(&house, "context edit", &["context", "include", "b", "task:c"]);
    says(&house, "context approve", &["context", "approve", "a"]);
    says(&house, "context approve", &["context", "approve", "a", "--off"]);
    says(&house, "link edit", &["link", "add", "c", "relates_to", "a"]);
    says(&house, "link edit", &["link", "rm", "c", "a"]);
    says(&house, "wrote", &["new", "fresh"]);
    says(&house, "mv", &["mv", "fresh", "newer"]);
    says(&house, "wrote", &["init", "other"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "all"]);
    house.put("doc.md", "# Kettle\n\nThe kettle boils water in six minutes.\n");
    house.meu(&["run", "-k"]);
    let report = says(&house, "report", &["report", "--since", "HEAD"]);
    assert!(!report["tasks"].as_array().expect("tasks").is_empty(), "{report}");
    house.put("p.md", "- [ ] One\n- [ ] Two (after: One)\n");
    says(&house, "plan show", &["plan", "import", "p.md", "--into", "p"]);
    says(&house, "plan show", &["plan", "show", "p"]);
    says(&house, "plan list", &["plan", "show"]);
    says(&house, "plan diff", &["plan", "diff", "p"]);
    says(&house, "graph", &["plan", "show", "p", "--graph", "json"]);
    says(&house, "plan approve", &["plan", "approve", "p"]);
    says(&house, "plan export", &["plan", "export", "--format", "json"]);
    says(&house, "plan drop", &["plan", "drop", "p"]);
    says(&house, "link suggest", &["link", "suggest", "p/one"]);
    says(&house, "link edit", &["link", "suggest", "p/one", "--pick", "1", "--kind", "relates_to"]);
    house.remove("tasks/bad.toml");
    says(&house, "gc", &["gc", "-n"]);
    says(&house, "gc", &["clean", "-n", "--orphans"]);
    house.put("tasks/broken.toml", "title = 3\n");
    says(&house, "error", &["status"]);
    says(&house, "error", &["why", "nobody"]);
    says(&house, "error", &["run", "--no-such-option"]);
}

#[test]
fn a_watch_fits_the_published_schema() {
    let house = House::new().task("a", "");
    let mut command = house.command(&["watch", "-n", "--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("meu starts");
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().expect("its words"));
    std::io::BufRead::read_line(&mut reader, &mut line).expect("a line");
    child.kill().expect("ended");
    child.wait().expect("it ends");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["event"], "stale");
    fits("watch", &event);
    for event in
        [json!({"event": "settled", "tasks": 3}), json!({"event": "stuck", "tasks": ["a"], "waiting": []})]
    {
        fits("watch", &event);
    }
}

#[test]
fn the_examples_of_the_documentation_fit() {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{root}/docs/files.md")).expect("a page");
    let section = &text[text.find("\n## JSON").expect("the section")..];
    let published = std::fs::read_to_string(format!("{root}/docs/json.schema.json")).expect("the schema");
    let published: Value = serde_json::from_str(&published).expect("JSON");
    let names: Vec<&String> = published["$defs"].as_object().expect("definitions").keys().collect();
    let schemas: Vec<_> = names.iter().map(|name| schema(name)).collect();
    let lines: Vec<&str> = section.lines().filter(|line| line.starts_with('{')).collect();
    assert!(lines.len() > 30, "the examples are found");
    for line in lines {
        let mut value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if value["state"] == "orphan" {
            value = json!({"tasks": [value], "summary": {"orphan": 1}});
        }
        assert!(schemas.iter().any(|schema| schema.is_valid(&value)), "no definition fits {line}");
    }
}
