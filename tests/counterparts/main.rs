//! The HTTP providers against servers that others wrote: `llmock` (PyPI) with faults and a verdict on the
//! client, `aimock` (npm) with a journal of bodies. `.ci/counterparts` installs and starts them and says
//! where they are; this target is run by it alone.

// Tests play the person and the world outside.
#![allow(clippy::disallowed_methods)]

// Shared with the other tests, which need more of them.
#[path = "../all/house.rs"]
#[allow(dead_code)]
mod house;
#[path = "../all/server.rs"]
#[allow(dead_code)]
mod server;

use house::House;
use serde_json::{Value, json};
use server::{Server, whole};

/// Where a counterpart listens.
fn place(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `.ci/counterparts`"))
}

fn get(url: &str) -> Value {
    let mut response = ureq::get(url).call().expect("the counterpart answers");
    serde_json::from_str(&response.body_mut().read_to_string().expect("a body")).expect("JSON")
}

fn post(url: &str, body: &Value) {
    ureq::post(url).send_json(body).expect("the counterpart answers");
}

/// A project whose tasks ask providers `p` and `q`; each test has prompts of its own.
fn project(providers: &str) -> House {
    let mut house = House::empty().file(
        "meu.toml",
        format!(
            "[model]\nprovider = \"p\"\nname = \"gpt-4o\"\n[context]\ntokenizer = \"chars\"\n{providers}"
        ),
    );
    house.env("OPENAI_API_KEY", "sk-test-0123456789").env("ANTHROPIC_API_KEY", "sk-ant-0123456789");
    house
}

/// llmock judges what a client does about faults: none of its findings may be an error.
#[test]
fn llmock_finds_no_fault_with_the_client() {
    let llmock = place("MEU_LLMOCK");
    let fail = |status: u16, more: Value| {
        let mut behavior = json!({"type": "fail", "status": status, "times": 1});
        more.as_object().expect("keys").iter().for_each(|(key, value)| behavior[key] = value.clone());
        behavior
    };
    let broken = |kind: &str| json!({"type": "stream_fault", "kind": kind, "after_chunks": 2, "times": 1});
    for (api, base, name) in [
        ("openai", format!("{llmock}/v1"), "gpt-4o"),
        ("anthropic", format!("{llmock}/anthropic/v1"), "claude-sonnet-4-5"),
    ] {
        // What passes: the answer comes in the end.
        for (number, fault) in [
            fail(429, json!({"retry_after": 1})),
            fail(503, json!({})),
            fail(500, json!({"retry_after": 1})),
            broken("truncate"),
            broken("disconnect"),
            broken("malformed"),
            json!({"type": "delay", "seconds": 0.3, "times": 1}),
            json!({"type": "slow_first_token", "seconds": 0.3, "times": 1}),
        ]
        .into_iter()
        .enumerate()
        {
            post(&format!("{llmock}/_llmock/reset"), &json!({}));
            post(&format!("{llmock}/_llmock/scenario"), &json!({"behaviors": [fault]}));
            let house = project(&format!(
                "[providers.p]\napi = \"{api}\"\nbase_url = \"{base}\"\nretries = 2\nmodel = \"{name}\"\n"
            ))
            .file(
                "tasks/a.toml",
                format!("prompt = \"{api} fault {number}: say hello\"\n[model]\nname = \"{name}\"\n"),
            );
            let said = house.meu(&["run"]);
            let verdict = get(&format!("{llmock}/_llmock/verdict"));
            assert_eq!(said.code, 0, "{fault}: {}{} {verdict}", said.out, said.err);
            let output = house.read("out/a.md");
            assert!(output.trim().ends_with('.') || output.trim().ends_with('!'), "{fault}: {output}");
            assert_eq!(
                (&verdict["passed"], &verdict["errors"]),
                (&json!(true), &json!(0)),
                "{fault}: {verdict}"
            );
            let calls = get(&format!("{llmock}/_llmock/requests"))["count"].as_u64().expect("a count");
            let delays = fault["type"] == "delay" || fault["type"] == "slow_first_token";
            assert_eq!(calls, if delays { 1 } else { 2 }, "{fault}");
        }
        // What lasts: one call, and a failure.
        for status in [400, 401, 403, 404, 422] {
            post(&format!("{llmock}/_llmock/reset"), &json!({}));
            post(&format!("{llmock}/_llmock/scenario"), &json!({"behaviors": [fail(status, json!({}))]}));
            let house =
                project(&format!("[providers.p]\napi = \"{api}\"\nbase_url = \"{base}\"\nretries = 2\n"))
                    .file("tasks/a.toml", format!("prompt = \"{api} status {status}\"\n"));
            let said = house.meu(&["run"]);
            assert_eq!(said.code, 1, "{status}: {}", said.out);
            assert!(said.out.contains(&format!("answered {status}")), "{}", said.out);
            let verdict = get(&format!("{llmock}/_llmock/verdict"));
            assert_eq!(
                (&verdict["errors"], &verdict["attempts"]),
                (&json!(0), &json!(1)),
                "{status}: {verdict}"
            );
        }
    }
    // The verdict can fail: a client that gives half a stream away is found out.
    post(&format!("{llmock}/_llmock/reset"), &json!({}));
    post(&format!("{llmock}/_llmock/scenario"), &json!({"behaviors": [broken("truncate")]}));
    let body =
        json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "careless"}]});
    ureq::post(format!("{llmock}/v1/chat/completions"))
        .header("authorization", "Bearer sk-test-0123456789")
        .send_json(&body)
        .expect("a stream")
        .body_mut()
        .read_to_string()
        .expect("half of it");
    assert_eq!(get(&format!("{llmock}/_llmock/verdict"))["passed"], false);
}

/// aimock speaks Ollama's own protocol, and OpenAI's; its journal has what was sent.
#[test]
fn aimock_takes_what_is_sent() {
    let aimock = place("MEU_AIMOCK");
    let house = project(&format!(
        "[providers.p]\napi = \"ollama\"\nbase_url = \"{aimock}\"\nretries = 1\n[providers.q]\nbase_url = \"{aimock}/v1\"\nretries = 1\n[providers.r]\napi = \"anthropic\"\nbase_url = \"{aimock}/v1\"\nretries = 1\n"
    ))
    .file("tasks/a.toml", "prompt = \"meu asks ollama\"\n")
    .file("tasks/b.toml", "prompt = \"meu asks openai\"\n[model]\nprovider = \"q\"\nseed = 7\n")
    .file("tasks/c.toml", "prompt = \"meu asks anthropic\"\n[model]\nprovider = \"r\"\n")
    .file("tasks/d.toml", "prompt = \"meu is cut\"\n[model]\nprovider = \"q\"\n")
    .file("tasks/e.toml", "prompt = \"meu has no fixture\"\n");
    let said = house.meu(&["run", "-k"]);
    assert_eq!(said.code, 1);
    assert_eq!(house.read("out/a.md"), "Ollama says hello to meu.\n");
    assert_eq!(house.read("out/b.md"), "OpenAI says hello to meu.\n");
    assert_eq!(house.read("out/c.md"), "Anthropic says hello to meu.\n");
    assert!(said.out.contains("failed d  the answer was cut at the length limit"), "{}", said.out);
    assert!(
        said.out.contains(&format!(
            "failed e  {aimock} answered 503: Strict mode: no fixture matched, 2 times ("
        )),
        "{}",
        said.out
    );
    let journal = get(&format!("{aimock}/__aimock/journal"));
    let entries = journal.as_array().expect("entries");
    let sent = |words: &str| {
        let found = entries.iter().rfind(|entry| entry["body"]["messages"].to_string().contains(words));
        found.unwrap_or_else(|| panic!("{words}: {journal}")).clone()
    };
    let a = sent("meu asks ollama");
    assert_eq!((&a["path"], &a["body"]["stream"]), (&json!("/api/chat"), &json!(true)));
    let b = sent("meu asks openai");
    assert_eq!((&b["path"], &b["body"]["seed"]), (&json!("/v1/chat/completions"), &json!(7)));
    let c = sent("meu asks anthropic");
    assert_eq!(
        (&c["path"], &c["headers"]["anthropic-version"]),
        (&json!("/v1/messages"), &json!("2023-06-01"))
    );
}

/// Every body that the `openai` provider sends fits the schema that OpenAI publishes.
#[test]
fn bodies_fit_the_published_schema() {
    let validator =
        |text: &str| jsonschema::validator_for(&serde_json::from_str(text).expect("JSON")).expect("a schema");
    let chat = validator(include_str!("openai-chat-request.schema.json"));
    let embedding = validator(include_str!("openai-embedding-request.schema.json"));
    let server = Server::new(|_, seen| match seen.body["input"].as_array() {
        Some(texts) => {
            let data: Vec<_> =
                (0..texts.len()).map(|at| json!({"index": at, "embedding": [1.0, 0.5]})).collect();
            server::Reply::Whole(200, String::new(), json!({"data": data}).to_string())
        }
        None => whole("An answer."),
    });
    let provider = format!("base_url = \"http://{}/v1\"\nretries = 0\n", server.address);
    let house = project(&format!(
        "retrieve = {{ k = 1, embed = {{ provider = \"p\", model = \"small\" }} }}\n[providers.p]\n{provider}[providers.q]\n{provider}stream = false\n[providers.q.extra]\ntop_p = 0.5\nstop = [\"END\"]\nreasoning_effort = \"low\"\n"
    ))
    .file("docs/a.md", "A page.\n")
    .file("tasks/a.toml", "prompt = \"one\"\n[model]\nseed = -3\ntemperature = 1.5\n[expect]\ncontains = \"GOLD\"\n")
    .file("tasks/b.toml", "prompt = \"two\"\nrequires = []\n[model]\nprovider = \"q\"\nmax_output_tokens = 16\n");
    house.meu(&["run", "-k"]);
    let seen = server.seen();
    let (mut chats, mut embeddings) = (0, 0);
    for seen in &seen {
        let (schema, count) = match seen.head.contains("/embeddings") {
            true => (&embedding, &mut embeddings),
            false => (&chat, &mut chats),
        };
        let faults: Vec<String> = schema.iter_errors(&seen.body).map(|error| error.to_string()).collect();
        assert_eq!(faults, [""; 0], "{}", seen.body);
        *count += 1;
    }
    // One of `a` and its repair, one of `b`; the query and the page of both.
    assert_eq!((chats, embeddings > 0), (3, true));
    // The schema can say no.
    for wrong in
        [json!({"messages": []}), json!({"model": "m", "messages": [{"role": "user"}], "stream": "yes"})]
    {
        assert!(!chat.is_valid(&wrong), "{wrong}");
    }
    assert!(!embedding.is_valid(&json!({"model": "m"})));
}
