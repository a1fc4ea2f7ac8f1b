//! The `openai` provider against a real HTTP server on loopback.

use crate::house::House;
use crate::server::{Reply, Server, whole};

fn server(answers: Vec<Reply>) -> Server {
    Server::of(answers)
}

fn answer(text: &str) -> Reply {
    whole(text)
}

fn project(server: &Server) -> House {
    let mut house = House::empty()
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"local\"\nname = \"m\"\nseed = 3\n[context]\ntokenizer = \"chars\"\n[providers.local]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key_env = \"TEST_KEY\"\nprice = {{ input = 1.0, output = 2.0 }}\n",
                server.address
            ),
        )
        .task("a", "");
    house.env("TEST_KEY", "sk-very-secret");
    house
}

#[test]
fn a_request_is_sent_as_it_was_hashed() {
    let server = server(vec![answer("The answer.")]);
    let house = project(&server);
    let said = house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "The answer.\n");
    // 11 tokens at 1 and 7 at 2 a million.
    assert!(said.out.contains("11 tokens in, 7 out, cost 0.0000"), "{}", said.out);
    let seen = server.seen();
    let (head, body) = (&seen[0].head, &seen[0].body);
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Bearer sk-very-secret"), "{head}");
    assert_eq!((&body["model"], &body["seed"], &body["max_tokens"]), (&"m".into(), &3.into(), &2000.into()));
    let full = house.meu(&["context", "show", "a", "--full"]).ok().out;
    let sent = body["messages"][1]["content"].as_str().expect("a user message");
    assert!(full.ends_with(&format!("--- user ---\n{}\n", sent.trim_end())), "{full}");
    // The key is in no file of the project.
    let mut stack = vec![house.root()];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.path()));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            assert!(!String::from_utf8_lossy(&bytes).contains("very-secret"), "{}", path.display());
        }
    }
}

#[test]
fn what_passes_is_tried_again_and_what_lasts_is_not() {
    let busy = Reply::Whole(429, "retry-after: 0\r\n".into(), r#"{"error":{"message":"slow down"}}"#.into());
    let server = server(vec![busy, answer("At last.")]);
    let house = project(&server);
    house.meu(&["run"]).ok();
    assert_eq!(server.seen().len(), 2);

    let echo = Reply::Whole(401, String::new(), r#"{"error":{"message":"bad key sk-very-secret"}}"#.into());
    let server = self::server(vec![echo]);
    let said = project(&server).meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("answered 401: bad key [key] (check the key in TEST_KEY)"), "{}", said.out);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_cut_answer_is_no_answer() {
    let body = r#"{"choices":[{"message":{"content":"half"},"finish_reason":"length"}]}"#.to_owned();
    let server = server(vec![Reply::Whole(200, String::new(), body)]);
    let house = project(&server);
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out
            .contains("the answer was cut at the length limit (raise `max_output_tokens`, or ask for less)")
    );
    assert!(!house.exists("out/a.md"));
}

#[test]
fn a_redirect_is_not_followed() {
    let server = server(vec![Reply::Whole(302, "location: http://127.0.0.1:1/\r\n".into(), String::new())]);
    let said = project(&server).meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("answered 302"), "{}", said.out);
}

#[test]
fn a_missing_key_is_told_before_any_call() {
    let house = House::empty()
        .file("meu.toml", "[model]\nprovider = \"openai\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n")
        .task("a", "");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: no key for the provider `openai`: OPENAI_API_KEY is not set\n  = help: set OPENAI_API_KEY in the environment, or choose another provider\n"
    );
}

#[test]
fn a_foreign_address_wants_a_yes() {
    let mut house = House::empty()
        .file(
            "meu.toml",
            "[model]\nprovider = \"far\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n[providers.far]\napi = \"openai\"\nbase_url = \"https://models.example.org/v1\"\n",
        )
        .task("a", "");
    house.without_env("MEU_TRUST");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("provider far sends requests, and the key in OPENAI_API_KEY if it is set, to https://models.example.org/v1"));
}

/// Two pages that have no word of the prompt; vectors tell which is meant.
fn embedding_project(server: &Server) -> House {
    let mut house = House::empty()
        .file(
            "meu.toml",
            format!(
                "[context]\ntokenizer = \"chars\"\nretrieve = {{ k = 1, embed = {{ provider = \"local\", model = \"small\" }} }}\n[providers.local]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\napi_key_env = \"TEST_KEY\"\nretries = 0\n",
                server.address
            ),
        )
        .file("docs/net.md", "A net in the river.\n")
        .file("docs/tea.md", "Green leaves steep.\n")
        .file("tasks/a.toml", "prompt = \"Which beverage?\"\n");
    house.env("TEST_KEY", "sk-very-secret");
    house
}

fn vectors(numbers: &[[f64; 2]]) -> Reply {
    let data: Vec<_> = numbers
        .iter()
        .enumerate()
        .map(|(at, vector)| serde_json::json!({"object": "embedding", "index": at, "embedding": vector}))
        .collect();
    Reply::Whole(
        200,
        String::new(),
        serde_json::json!({"object": "list", "data": data, "model": "small"}).to_string(),
    )
}

#[test]
fn vectors_choose_and_are_asked_for_once() {
    // The query, the net, the tea; then only the page that changed.
    let server = server(vec![vectors(&[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]), vectors(&[[1.0, 0.0]])]);
    let house = embedding_project(&server);
    let refs = |house: &House| -> Vec<String> {
        let json = house.meu(&["context", "show", "a", "--json"]).ok().json();
        let items = json["items"].as_array().expect("items").iter();
        items.map(|item| item["ref"].as_str().expect("a ref").to_owned()).collect()
    };
    let said = house.meu(&["status"]).ok();
    assert!(
        said.out.contains(
            "vectors of 3 texts by `small` are not here (`meu run` asks the provider `local` for them)"
        ),
        "{}",
        said.out
    );
    house.meu(&["run"]).ok();
    assert_eq!(refs(&house), ["doc:docs/tea.md"]);
    {
        let seen = server.seen();
        let (head, body) = (&seen[0].head, &seen[0].body);
        assert!(head.starts_with("POST /v1/embeddings HTTP/1.1\r\n"), "{head}");
        assert_eq!(body["model"], "small");
        assert_eq!(body["input"][0], "A\nWhich beverage?");
        assert_eq!(body["input"].as_array().map(Vec::len), Some(3));
    }
    // Settled without the server.
    house.meu(&["run"]).ok();
    assert_eq!(server.seen().len(), 1);
    house.put("docs/net.md", "A net in the rapid river.\n");
    house.meu(&["run"]).ok();
    assert_eq!(refs(&house), ["doc:docs/net.md"]);
    assert_eq!(server.seen()[1].body["input"], serde_json::json!(["\nA net in the rapid river."]));
}

#[test]
fn without_its_server_a_search_by_vectors_fails_and_is_never_one_by_words() {
    let server = server(vec![Reply::Whole(500, String::new(), "{}".into())]);
    let house = embedding_project(&server);
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("/v1 answered 500"), "{}", said.out);
    assert!(!house.exists("out/a.md"));
    let said = house.meu(&["search", "net"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("help: say --lexical to search by words alone"), "{}", said.err);
    assert!(house.meu(&["search", "--lexical", "net"]).ok().out.contains("doc:docs/net.md"));
}

#[test]
fn a_key_for_vectors_goes_nowhere_unasked() {
    let mut house = embedding_project(&server(Vec::new()));
    house.without_env("MEU_TRUST");
    house.put("meu.toml", house.read("meu.toml").replace("http://127.0.0.1", "http://elsewhere.example"));
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains(
            "provider local sends requests, and the key in TEST_KEY if it is set, to http://elsewhere.example"
        ),
        "{}",
        said.err
    );
}

#[test]
fn what_a_provider_counts_is_learned_and_makes_worst_costs_true() {
    let body = serde_json::json!({
        "model": "m", "choices": [{"message": {"content": "Text."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 50_000, "completion_tokens": 7}
    });
    let server = server(vec![Reply::Whole(200, String::new(), body.to_string())]);
    let house =
        project(&server).file("tasks/a.toml", format!("prompt = \"{}\"\n", "many words ".repeat(200)));
    house.meu(&["run"]).ok();
    // Characters are tokens here.
    let ours: usize = {
        let seen = server.seen();
        let messages = seen[0].body["messages"].as_array().expect("messages").clone();
        messages.iter().map(|message| message["content"].as_str().expect("content").chars().count()).sum()
    };
    let json = house.meu(&["doctor", "--json"]).ok().json();
    let providers = json["providers"].as_array().expect("providers").clone();
    let local = providers.iter().find(|provider| provider["name"] == "local").expect("local");
    let factor = local["tokens_factor"]["chars"].as_f64().expect("a factor");
    assert!((factor - 50_000.0 / ours as f64).abs() < 1e-9, "{factor} of {ours}");
    assert_eq!(local["key_set"], true);
    assert!(house.meu(&["doctor"]).ok().out.contains("tokens for one of chars"));
    // The same task again would cost what the provider counts: one token in is a millionth, out two. Four
    // tokens for each of two messages and eight for the call are reckoned with in any case.
    let planned = house.meu(&["run", "-n", "--force", "a", "--json"]).ok().json();
    let cost = planned["cost_max"].as_f64().expect("a cost");
    assert!((cost - (50_016.0 + 2.0 * 2000.0) / 1e6).abs() < 1e-9, "{cost}");
    assert_eq!(planned["would_run"][0]["task"], "a");
}

#[test]
fn vectors_that_were_paid_for_are_kept_when_a_later_batch_fails() {
    let some = |count: usize| vectors(&vec![[1.0, 0.5]; count]);
    let server = server(vec![some(64), Reply::Whole(500, String::new(), "{}".into()), some(7)]);
    let mut house = embedding_project(&server);
    for at in 0..68 {
        house = house.file(&format!("docs/page{at}.md"), format!("Page {at}.\n"));
    }
    assert_eq!(house.meu(&["run"]).code, 1);
    house.meu(&["run"]).ok();
    // The query and 70 pages: 64, then 7 twice.
    let seen = server.seen();
    let asked: Vec<usize> =
        seen.iter().map(|seen| seen.body["input"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(asked, [64, 7, 7]);
}

#[test]
fn under_a_cap_no_vectors_are_asked_for() {
    let server = server(Vec::new());
    let house = embedding_project(&server);
    let said = house.meu(&["run", "--max-tokens", "100000"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("vectors by `small` are missing, and under a cap none are asked for (run once without --max-cost and --max-tokens; vectors are kept)"),
        "{}",
        said.out
    );
    assert!(server.seen().is_empty());
}
