//! Providers: what is sent, what is taken for an answer, what is tried again, what it costs. Against a
//! scripted server on loopback; against servers that others wrote see the test target `counterparts`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::house::House;
use crate::server::{Reply, Server, chunk, error, events, whole};

/// A project with one provider `p`; `keys` go into its table.
fn project(server: &Server, api: &str, keys: &str) -> House {
    let base = match api {
        "ollama" => format!("http://{}", server.address),
        _ => format!("http://{}/v1", server.address),
    };
    let mut house = House::empty().file(
        "meu.toml",
        format!(
            "[model]\nprovider = \"p\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\napi = \"{api}\"\nbase_url = \"{base}\"\nretries = 0\n{keys}\n"
        ),
    );
    house.env("OPENAI_API_KEY", "sk-very-secret").env("ANTHROPIC_API_KEY", "sk-ant-secret");
    house
}

/// The failure of the only task.
fn failure(house: &House) -> String {
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let line = said.out.lines().next().expect("a line");
    line.trim_start().trim_start_matches("failed ").trim_start_matches("a ").trim().to_owned()
}

/// The events of one kind in the records of all runs.
fn recorded(house: &House, event: &str) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(house.root().join(".meu/runs"))
        .expect("runs")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("a record"));
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|value| value["event"] == event)
        .collect()
}

#[test]
fn a_stream_in_drops_makes_an_answer_and_its_price() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 600}, "completion_tokens_details": {"reasoning_tokens": 40}}});
    let mut bytes = b": OPENROUTER PROCESSING\r\n\r\n".to_vec();
    bytes.extend(events(&[chunk("Zwölf ", None), chunk("Boxkämpfer.", Some("stop")), usage]));
    bytes.extend(b"data: [DONE]\n\n");
    let server = Server::of(vec![Reply::Drops(bytes)]);
    let house = project(
        &server,
        "openai",
        "price = { input = 10.0, output = 30.0, cached_input = 1.0 }\n[providers.p.extra]\ntop_p = 0.5\n",
    )
    .task("a", "[model]\nseed = 3\n");
    let said = house.meu(&["run", "--json"]).ok();
    assert_eq!(house.read("out/a.md"), "Zwölf Boxkämpfer.\n");
    let seen = server.seen();
    assert_eq!(seen[0].line("authorization"), Some("Bearer sk-very-secret"));
    let mut body = seen[0].body.clone();
    body["messages"] = Value::Null;
    assert_eq!(
        body,
        json!({"model": "m", "messages": null, "temperature": 0, "max_tokens": 2000, "seed": 3, "stream": true,
            "stream_options": {"include_usage": true}, "top_p": 0.5})
    );
    let finished: Value = serde_json::from_str(said.out.lines().rev().nth(1).expect("a line")).expect("JSON");
    // 400 at 10, 600 at 1, 100 at 30 a million.
    let cost = finished["cost"].as_f64().expect("a cost");
    assert!((cost - (0.004 + 0.0006 + 0.003)).abs() < 1e-12, "{cost}");
    let tried = &recorded(&house, "task_tried")[0];
    let kept = |key: &str| tried[key].clone();
    assert_eq!(
        (
            kept("gen_ai.response.model"),
            kept("gen_ai.response.finish_reasons"),
            kept("gen_ai.usage.cache_read.input_tokens"),
            kept("gen_ai.usage.reasoning.output_tokens"),
        ),
        (json!("m-2026"), json!(["stop"]), json!(600), json!(40))
    );
}

#[test]
fn extra_is_part_of_the_request() {
    let server = Server::new(|_, _| whole("Text."));
    let house = project(&server, "openai", "").task("a", "");
    house.meu(&["run"]).ok();
    house.put("meu.toml", house.read("meu.toml") + "[providers.p.extra]\ntop_p = 0.5\n");
    let said = house.meu(&["run"]).ok();
    assert!(said.out.contains("model or its parameters changed"), "{}", said.out);
    // Keys that only say how to get an answer are no part of it.
    house.put(
        "meu.toml",
        house.read("meu.toml").replace("retries = 0", "retries = 2\nconcurrency = 3\nstream = false"),
    );
    house.meu(&["run"]).ok();
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn anthropic_gets_its_own_form() {
    let answer = json!({"model": "claude-1", "stop_reason": "end_turn", "content": [{"type": "text", "text": "Text."}],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 100, "output_tokens": 5}});
    let server = Server::of(vec![Reply::Whole(200, String::new(), answer.to_string())]);
    let house = project(&server, "anthropic", "price = { input = 4.0, output = 8.0, cached_input = 0.4 }\n")
        .file("INDEX.md", "# Style\n\nShort sentences.\n")
        .file("x.md", "A fact.\n")
        .task("a", "inputs = [\"x.md\"]\n[model]\nseed = 3\n");
    house.meu(&["run"]).ok();
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(
        (seen.line("x-api-key"), seen.line("anthropic-version"), seen.line("authorization")),
        (Some("sk-ant-secret"), Some("2023-06-01"), None)
    );
    let body = &seen.body;
    assert_eq!(
        (&body["max_tokens"], &body["stream"], &body["seed"]),
        (&json!(2000), &json!(true), &Value::Null)
    );
    assert!(body["system"][0]["text"].as_str().expect("a text").starts_with("You write one part"));
    let marked = json!({"type": "ephemeral"});
    assert_eq!(body["system"][0]["cache_control"], marked);
    // The index is what all tasks begin with; the rest is this task's own.
    let blocks = body["messages"][0]["content"].as_array().expect("blocks");
    assert_eq!(blocks.len(), 2);
    assert_eq!(
        blocks[0]["text"],
        "# Context\n\n<item source=\"index\" type=\"index\" form=\"full\">\n# Style\n\nShort sentences.\n</item>\n"
    );
    assert_eq!((&blocks[0]["cache_control"], &blocks[1]["cache_control"]), (&marked, &Value::Null));
    assert!(blocks[1]["text"].as_str().expect("a text").contains("A fact."));
    let tried = &recorded(&house, "task_tried")[0];
    assert_eq!(
        (&tried["gen_ai.usage.input_tokens"], &tried["gen_ai.usage.cache_read.input_tokens"]),
        (&json!(200), &json!(90))
    );
    // 10 at 4, 90 at 0.4, 100 at 5 (a quarter more), 5 at 8 a million.
    let cost = tried["cost"].as_f64().expect("a cost");
    assert!((cost - (40.0 + 36.0 + 500.0 + 40.0) / 1e6).abs() < 1e-12, "{cost}");
}

#[test]
fn ollama_gets_a_window_that_fits() {
    let lines = [
        json!({"model": "m:1b", "message": {"content": "Te"}, "done": false}),
        json!({"model": "m:1b", "message": {"content": "xt."}, "done": true, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 2}),
    ];
    let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let server = Server::of(vec![Reply::Drops(bytes)]);
    let house = project(&server, "ollama", "[providers.p.extra.options]\ntop_k = 7\n")
        .file("tasks/a.toml", format!("prompt = \"{}\"\n", "long words ".repeat(3000)));
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "Text.\n");
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /api/chat HTTP/1.1\r\n"), "{}", seen.head);
    // 33,000 bytes and some are more than 11,000 tokens of three bytes; with 2,000 for the answer: 16,384.
    assert_eq!(
        seen.body["options"],
        json!({"num_ctx": 16384, "temperature": 0, "num_predict": 2000, "top_k": 7})
    );
    assert_eq!(recorded(&house, "task_tried")[0]["gen_ai.usage.input_tokens"], 9);
}

#[test]
fn what_is_no_good_answer_is_none() {
    let openai = |message: Value, finish: &str| {
        let body = json!({"choices": [{"message": message, "finish_reason": finish}], "usage": {"prompt_tokens": 11, "completion_tokens": 7}});
        Reply::Whole(200, String::new(), body.to_string())
    };
    for (reply, expected) in [
        (
            openai(json!({"content": "half of i"}), "length"),
            "the answer was cut at the length limit (raise `max_output_tokens`, or ask for less)",
        ),
        (
            openai(json!({"content": null, "refusal": "I won't."}), "stop"),
            "the model refused: I won't. (change the prompt, or take another model)",
        ),
        (
            openai(json!({"content": "x"}), "content_filter"),
            "a content filter held the answer back (change the prompt)",
        ),
        (
            openai(json!({"content": " \n"}), "stop"),
            "the answer is empty (look at the prompt, or take another model)",
        ),
        (
            openai(json!({"content": null}), "tool_calls"),
            "the answer ended with `tool_calls`, not with a text (take `tools` and the like out of `extra`)",
        ),
    ] {
        let server = Server::of(vec![reply]);
        let house = project(&server, "openai", "price = { input = 1.0, output = 1.0 }").task("a", "");
        assert_eq!(failure(&house), expected);
        assert!(!house.exists("out/a.md"));
        // It was paid for all the same.
        let finished = &recorded(&house, "task_finished")[0];
        assert_eq!((&finished["tokens_in"], &finished["tokens_out"]), (&json!(11), &json!(7)));
        let cost = finished["cost"].as_f64().expect("a cost");
        assert!((cost - 18e-6).abs() < 1e-12);
    }
    // What there is of a cut answer is kept in the record.
    let server = Server::of(vec![openai(json!({"content": "half of i"}), "length")]);
    let house = project(&server, "openai", "").task("a", "");
    failure(&house);
    let tried = &recorded(&house, "task_tried")[0];
    assert_eq!(
        (&tried["text"], &tried["gen_ai.response.finish_reasons"]),
        (&json!("half of i"), &json!(["length"]))
    );

    let refusal = json!({"model": "c", "stop_reason": "refusal", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}});
    let server = Server::of(vec![Reply::Whole(200, String::new(), refusal.to_string())]);
    let house = project(&server, "anthropic", "").task("a", "");
    assert_eq!(failure(&house), "the model refused (change the prompt, or take another model)");
    let cut = json!({"message": {"content": "x"}, "done": true, "done_reason": "length"});
    let server = Server::of(vec![Reply::Whole(200, String::new(), cut.to_string())]);
    let house = project(&server, "ollama", "").task("a", "");
    assert_eq!(
        failure(&house),
        "the answer was cut at the length limit (raise `max_output_tokens`, or ask for less)"
    );
}

#[test]
fn a_stream_that_is_not_whole_is_tried_again() {
    let overloaded = json!({"error": {"type": "overloaded_error", "message": "Overloaded"}});
    for (broken, expected) in [
        (Reply::Drops(events(&[chunk("half", None)])), "ended before it was whole (run it again)"),
        (Reply::Broken(events(&[chunk("half", None)])), "(run it again)"),
        (
            Reply::Drops([&events(&[chunk("half", None)])[..], b"data: {\"cho\n\n"].concat()),
            "is broken at: {\"cho (run it again)",
        ),
        (
            Reply::Drops(events(&[chunk("half", None), overloaded])),
            "broke off with an error: Overloaded (run it again, or choose another provider)",
        ),
    ] {
        let server = Server::of(vec![broken.clone()]);
        let house = project(&server, "openai", "").task("a", "");
        let said = failure(&house);
        assert!(said.ends_with(expected), "{said}");
        assert_eq!(recorded(&house, "task_tried")[0]["unknown"], 1);

        let server = Server::of(vec![broken, whole("All of it.")]);
        let house = project(&server, "openai", "").task("a", "");
        house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 1"));
        let said = house.meu(&["run"]).ok();
        assert_eq!(house.read("out/a.md"), "All of it.\n");
        assert!(said.out.contains("; 1 call of unknown outcome"), "{}", said.out);
    }
}

#[test]
fn a_stream_that_breaks_after_its_last_word_is_whole() {
    let server = Server::of(vec![Reply::Broken(events(&[chunk("All.", Some("stop"))]))]);
    let house = project(&server, "openai", "").task("a", "");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "All.\n");
}

#[test]
fn garbage_is_told_as_what_it_is() {
    let base = |server: &Server| format!("http://{}/v1", server.address);
    let page = "<!DOCTYPE html>\n<title>Welcome</title>\n".to_owned();
    let server = Server::of(vec![Reply::Whole(200, String::new(), page)]);
    let house = project(&server, "openai", "").task("a", "");
    assert_eq!(
        failure(&house),
        format!(
            "{} answered with what is no JSON: <!DOCTYPE html> <title>Welcome</title> (is `base_url` that of the API?)",
            base(&server)
        )
    );
    // A line without an end: more than any answer has.
    let server = Server::of(vec![Reply::Whole(200, String::new(), "{".repeat(65 * 1024 * 1024))]);
    let house = project(&server, "openai", "").task("a", "");
    assert_eq!(
        failure(&house),
        format!("the answer of {} does not end (is `base_url` that of the API?)", base(&server))
    );
    let server = Server::of(vec![Reply::Silence]);
    let house = project(&server, "openai", "read_timeout = \"200ms\"").task("a", "");
    assert_eq!(
        failure(&house),
        format!("{} did not answer: silence for 0.2 s (raise the provider's `read_timeout`)", base(&server))
    );
    let server = Server::of(vec![Reply::Silence]);
    let house = project(&server, "openai", "timeout = \"200ms\"").task("a", "");
    assert_eq!(
        failure(&house),
        format!(
            "{} did not answer: no answer within 0.2 s (raise the provider's `timeout`, or ask for less)",
            base(&server)
        )
    );
}

#[test]
fn every_refusal_says_what_to_do() {
    for (reply, expected) in [
        (
            error(401, "", "invalid_api_key", "Incorrect API key: sk-very-secret"),
            "answered 401: Incorrect API key: [key] (check the key in OPENAI_API_KEY)",
        ),
        (
            error(403, "", "forbidden", "Not yours"),
            "answered 403: Not yours (check the key in OPENAI_API_KEY, and whether it may use this model)",
        ),
        (
            error(404, "", "model_not_found", "The model `m` does not exist"),
            "answered 404: The model `m` does not exist (check `base_url`, and the model's `name`)",
        ),
        (
            Reply::Whole(413, String::new(), String::new()),
            "answered 413 (lower the context's `budget`, or take a model with a larger context)",
        ),
        (
            error(400, "", "context_length_exceeded", "Too long"),
            "answered 400: Too long (lower the context's `budget`, or take a model with a larger context)",
        ),
        (
            error(400, "", "invalid_request_error", "max_tokens is too large: 2000"),
            "answered 400: max_tokens is too large: 2000 (lower `max_output_tokens`; the model has a limit of its own)",
        ),
        (
            error(400, "", "unsupported_value", "'temperature' does not support 0"),
            "answered 400: 'temperature' does not support 0 (set `temperature` in `[model]` to what the model takes, often 1.0)",
        ),
        (
            error(429, "", "insufficient_quota", "You exceeded your current quota"),
            "answered 429: You exceeded your current quota (the account has nothing left; look at its billing, or choose another provider)",
        ),
        (
            error(429, "retry-after: 0\r\n", "rate_limit", "Slow down"),
            "answered 429: Slow down (lower `concurrency` or `requests_per_minute`, or wait)",
        ),
        (
            Reply::Whole(503, String::new(), "busy".into()),
            "answered 503: busy (run it again, or choose another provider)",
        ),
        (
            Reply::Whole(307, "location: https://elsewhere.example/v1\r\n".into(), String::new()),
            "answered 307 (redirects are not followed; `base_url` should perhaps be https://elsewhere.example/v1)",
        ),
    ] {
        let server = Server::of(vec![reply]);
        let house = project(&server, "openai", "").task("a", "");
        assert_eq!(failure(&house), format!("http://{}/v1 {expected}", server.address));
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn what_cannot_be_reached_says_why() {
    // A port that nobody listens on any more.
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let house = |base: &str| {
        let mut house = House::empty().file(
            "meu.toml",
            format!("[model]\nprovider = \"p\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\nbase_url = \"{base}\"\nretries = 0\n"),
        );
        house.env("OPENAI_API_KEY", "sk-very-secret");
        house.task("a", "")
    };
    assert_eq!(
        failure(&house(&format!("http://{nobody}/v1"))),
        format!(
            "http://{nobody}/v1 did not answer: nothing listens there (is the server up, and `base_url` right?)"
        )
    );
    assert_eq!(
        failure(&house("https://no-such-host.invalid/v1")),
        "https://no-such-host.invalid/v1 did not answer: the host no-such-host.invalid is not known (is `base_url` right?)"
    );
    // A server that speaks no TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let plain = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let said = failure(&house(&format!("https://{plain}/v1")));
    assert!(said.starts_with(&format!("https://{plain}/v1 did not answer: TLS: ")), "{said}");
    assert!(said.ends_with("(is it an https server with a certificate that this system trusts?)"), "{said}");
}

#[test]
fn a_pause_that_the_server_asks_for_is_kept() {
    let busy = error(429, "retry-after: 1\r\n", "rate_limit", "Slow down");
    let server = Server::of(vec![busy, whole("At last.")]);
    let house = project(&server, "openai", "").task("a", "");
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 1"));
    let said = house.meu(&["run", "-v"]).ok();
    let seen = server.seen();
    assert!(seen[1].at.duration_since(seen[0].at) >= Duration::from_secs(1));
    assert!(
        said.err.contains(&format!(
            "p: http://{}/v1 answered 429: Slow down; again in 1.0 s, try 2 of 2",
            server.address
        )),
        "{}",
        said.err
    );
    // Who asks for more than a call may take is not waited for.
    let server = Server::of(vec![error(429, "retry-after: 3600\r\n", "rate_limit", "Slow down")]);
    let house = project(&server, "openai", "").task("a", "");
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 1"));
    assert!(failure(&house).contains("answered 429: Slow down; it asks to wait for 3600 s (lower"));
}

#[test]
fn no_more_calls_are_under_way_than_a_provider_has_room_for() {
    let server = Server::new(|_, _| {
        // Long enough that calls meet, if they may.
        std::thread::sleep(Duration::from_millis(5));
        whole("Text.")
    });
    let mut house = project(&server, "openai", "concurrency = 2");
    for at in 0..20 {
        house = house.task(&format!("t{at}"), "");
    }
    house.meu(&["run", "-j", "16"]).ok();
    assert_eq!(server.seen().len(), 20);
    assert!(server.most_at_once() <= 2, "{}", server.most_at_once());
}

#[test]
fn a_provider_that_wants_fewer_calls_gets_fewer() {
    // The first four are too many.
    let server = Server::new(|number, _| match number {
        0..4 => error(429, "retry-after: 0\r\n", "rate_limit", "Slow down"),
        _ => whole("Text."),
    });
    let mut house = project(&server, "openai", "concurrency = 8");
    for at in 0..12 {
        house = house.task(&format!("t{at:02}"), "");
    }
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 9"));
    let said = house.meu(&["run", "-v", "-j1"]).ok();
    // Two in a row halve it, and two more halve it again; then it grows, by one for as many as there are.
    for line in [
        "p: 4 calls at once now, 8 before",
        "p: 2 calls at once now, 4 before",
        "p: 3 calls at once now, 2 before",
    ] {
        assert!(said.err.contains(line), "{line} in {}", said.err);
    }
}

#[test]
fn a_provider_with_nothing_left_is_asked_once() {
    let server = Server::new(|_, _| error(429, "", "insufficient_quota", "You exceeded your current quota"));
    let mut house = project(&server, "openai", "");
    for at in 0..5 {
        house = house.task(&format!("t{at}"), "");
    }
    let said = house.meu(&["run", "-k", "-j1"]);
    assert_eq!(said.code, 1);
    assert!(said.out.ends_with("0 built, 5 failed\n"), "{}", said.out);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn others_stand_in_for_a_provider_that_is_down() {
    let down = Server::new(|_, _| Reply::Whole(503, String::new(), "busy".into()));
    let up = Server::new(|_, _| whole("Text."));
    let house = project(&down, "openai", "fallback = [\"q\"]").task("a", "").task("b", "");
    house.put(
        "meu.toml",
        format!(
            "{}[providers.q]\nbase_url = \"http://{}/v1\"\nmodel = \"other\"\n",
            house.read("meu.toml"),
            up.address
        ),
    );
    house.meu(&["run"]).ok();
    assert_eq!(up.seen()[0].body["model"], "other");
    let tried = recorded(&house, "task_tried");
    let of_a: Vec<_> = tried.iter().filter(|tried| tried["task"] == "a").collect();
    assert_eq!((&of_a[0]["provider"], &of_a[1]["provider"]), (&json!("p"), &json!("q")));
    assert!(of_a[0]["error"].as_str().is_some_and(|error| error.contains("answered 503: busy")));
    // The output answers the task's own request: it is fresh, and stays so without the stand-in.
    house.put("meu.toml", house.read("meu.toml").replace("fallback = [\"q\"]", ""));
    assert!(house.meu(&["run"]).ok().out.contains("nothing to do"));

    // A call that is wrong is wrong everywhere.
    let wrong = Server::new(|_, _| error(400, "", "invalid_request_error", "No"));
    let unasked = Server::new(|_, _| whole("Text."));
    let house = project(&wrong, "openai", "fallback = [\"q\"]").task("a", "");
    house.put(
        "meu.toml",
        format!("{}[providers.q]\nbase_url = \"http://{}/v1\"\n", house.read("meu.toml"), unasked.address),
    );
    assert!(failure(&house).contains("answered 400: No"));
    assert_eq!(unasked.seen().len(), 0);
}

#[test]
fn a_cap_is_never_passed_and_the_next_run_goes_on() {
    let server = Server::new(|_, _| whole("Text."));
    let mut house = project(&server, "openai", "price = { input = 0.0, output = 100.0 }");
    for at in 0..10 {
        house = house.task(&format!("t{at}"), "[model]\nmax_output_tokens = 100\n");
    }
    // A call costs 0.01 at its worst and 0.0007 in truth: three fit into 0.012, not one more.
    let said = house.meu(&["run", "--max-cost", "0.012", "-j1"]);
    assert_eq!(said.code, 1);
    assert_eq!(server.seen().len(), 3);
    assert!(
        said.out.contains("failed t3  its call could cost 0.0100, and 0.0021 of 0.0120 are spent (raise --max-cost; the next run goes on here)"),
        "{}",
        said.out
    );
    assert!(
        said.out.ends_with("3 built, 1 failed, 6 not reached; 33 tokens in, 21 out, cost 0.0021\n"),
        "{}",
        said.out
    );
    house.meu(&["run", "--max-cost", "0.012", "-j8"]);
    assert_eq!(server.seen().len(), 6);
    house.meu(&["run"]).ok();
    let mut prompts = server.prompts();
    prompts.sort();
    prompts.dedup();
    assert_eq!((server.seen().len(), prompts.len()), (10, 10));
}

#[test]
fn a_call_that_broke_off_counts_at_its_worst() {
    let broken = || Reply::Broken(events(&[chunk("half", None)]));
    let server = Server::new(move |_, _| broken());
    let house = project(&server, "openai", "price = { input = 0.0, output = 100.0 }")
        .task("a", "[model]\nmax_output_tokens = 100\n");
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 9"));
    let said = house.meu(&["run", "--max-cost", "0.025"]);
    assert_eq!(said.code, 1);
    // Each may have cost 0.01: a third could pass the cap.
    assert_eq!(server.seen().len(), 2);
    assert!(said.out.contains("its call could cost 0.0100, and 0.0200 of 0.0250 are spent"), "{}", said.out);
    assert!(said.out.contains("2 calls of unknown outcome, which may have cost 0.0200 more"), "{}", said.out);
}

#[test]
fn a_cap_needs_the_prices_of_stand_ins_too() {
    let server = Server::new(|_, _| whole("Text."));
    let house = project(&server, "openai", "price = { input = 1.0, output = 1.0 }\nfallback = [\"ollama\"]")
        .task("a", "");
    let said = house.meu(&["run", "--max-cost", "1"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: --max-cost needs a price, and the provider `ollama` has none\n  = help: add `price = { input = …, output = … }` (per million tokens) to [providers.ollama]\n"
    );
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_key_can_come_from_a_program() {
    let server = Server::new(|_, _| whole("Text with sk-from-a-program in it."));
    let house =
        project(&server, "openai", "key_command = [\"sh\", \"-c\", \"echo sk-from-a-program; echo more\"]")
            .task("a", "");
    house.meu(&["run", "-vv"]).ok();
    assert_eq!(server.seen()[0].line("authorization"), Some("Bearer sk-from-a-program"));
    assert_eq!(house.read("out/a.md"), "Text with [key] in it.\n");

    let house = project(&server, "openai", "key_command = [\"sh\", \"-c\", \"echo no safe >&2; exit 3\"]")
        .task("a", "");
    let said = house.meu(&["run"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "error: no key for the provider `p`: the program `sh` ended with exit status: 3: no safe\n")
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn wrong_settings_are_told_with_their_place() {
    let house = House::empty()
        .file(
            "meu.toml",
            "[model]\nprovider = \"p\"\n[providers.p]\nbase_url = \"localhost:8080\"\nfallback = [\"opena\", \"p\"]\nprice = { input = \"1\", output = 2 }\n[providers.q]\nbase_url = \"https://me:hunter2@host/v1\"\nprice = { input = 1.0 }\ntimeout = \"soon\"\n[providers.q.extra]\nmodel = \"x\"\n",
        )
        .task("a", "");
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: no model is named for the provider `p`
 --> meu.toml:2:12
  |
2 | provider = \"p\"
  |            ^^^
  = help: add `name = \"…\"` to `[model]`, or `model = \"…\"` to `[providers.p]`
error: the base_url `localhost:8080` is no URL
 --> meu.toml:4:12
  |
4 | base_url = \"localhost:8080\"
  |            ^^^^^^^^^^^^^^^^
  = help: write it as \"https://host/v1\"; keys come from `api_key_env` or `key_command`
error: no provider `opena`
 --> meu.toml:5:13
  |
5 | fallback = [\"opena\", \"p\"]
  |             ^^^^^^^
  = help: did you mean `openai`?
error: the provider `p` cannot stand in for itself
 --> meu.toml:5:22
  |
5 | fallback = [\"opena\", \"p\"]
  |                      ^^^
error: `providers.p.price.input` must be a number, not a text
 --> meu.toml:6:19
  |
6 | price = { input = \"1\", output = 2 }
  |                   ^^^
  = help: write `input = 1`, without quotes
error: the base_url `https://…@host/v1` has a user in it
 --> meu.toml:8:12
  |
8 | base_url = \"https://…@host/v1\"
  |            ^
  = help: write it as \"https://host/v1\"; keys come from `api_key_env` or `key_command`
error: a price needs both `input` and `output`
 --> meu.toml:9:9
  |
9 | price = { input = 1.0 }
  |         ^^^^^^^^^^^^^^^
  = help: write `price = { input = 0.15, output = 0.60 }`, for a million tokens each
error: `soon` is no length of time
  --> meu.toml:10:11
   |
10 | timeout = \"soon\"
   |           ^^^^^^
   = help: write it as \"120s\", \"500ms\", \"2m\" or \"1h\", up to a day
error: `model` in `extra` would overrule what meu sends
  --> meu.toml:11:1
   |
11 | [providers.q.extra]
   | ^^^^^^^^^^^^^^^^^^^
   = help: name the model with `model`, or with `name` in `[model]`
error: 9 problems in this project
"
    );
}

#[test]
fn an_empty_finish_reason_is_none() {
    let server =
        Server::of(vec![Reply::Drops(events(&[chunk("Half of ", Some("")), chunk("the ans", Some(""))]))]);
    let house = project(&server, "openai", "").task("a", "");
    assert!(failure(&house).contains("ended before it was whole"));
}

#[test]
fn a_word_on_limits_is_no_word_on_money() {
    let busy = error(
        429,
        "retry-after: 0\r\n",
        "rate_limit_exceeded",
        "Rate limit reached for tokens per minute. Need more? See https://llm.example.org/settings/billing",
    );
    let server = Server::new(move |number, _| if number == 0 { busy.clone() } else { whole("Text.") });
    let house = project(&server, "openai", "").task("a", "");
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 1"));
    house.meu(&["run"]).ok();
    // What a server repeats of a prompt decides nothing.
    let server = Server::new(|_, seen| match seen.prompt().as_str() {
        "answer of a" => Reply::Whole(
            422,
            String::new(),
            json!({"detail": [{"input": "explain our billing"}]}).to_string(),
        ),
        _ => whole("Text."),
    });
    let house = project(&server, "openai", "").task("a", "").task("b", "");
    let said = house.meu(&["run", "-k", "-j1"]);
    assert!(said.out.ends_with("1 built, 1 failed; 11 tokens in, 7 out, unpriced\n"), "{}", said.out);
}

#[test]
fn errors_in_an_answer_are_sorted_as_others_are() {
    let quota = json!({"error": {"code": "insufficient_quota", "message": "Nothing left"}});
    let server = Server::new(move |_, _| Reply::Whole(200, String::new(), quota.to_string()));
    let house =
        project(&server, "openai", "price = { input = 1.0, output = 1.0 }").task("a", "").task("b", "");
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 3"));
    let said = house.meu(&["run", "-k", "-j1"]);
    assert!(said.out.contains("Nothing left (the account has nothing left;"), "{}", said.out);
    assert!(said.out.ends_with("0 built, 2 failed\n"), "{}", said.out);
    assert_eq!(server.seen().len(), 1);
    let wrong = json!({"error": {"code": 400, "message": "No such thing"}});
    let server = Server::new(move |_, _| Reply::Drops(events(std::slice::from_ref(&wrong))));
    let house = project(&server, "openai", "").task("a", "");
    house.put("meu.toml", house.read("meu.toml").replace("retries = 0", "retries = 3"));
    assert!(failure(&house).contains("No such thing (the same call will be refused again"));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn any_good_status_is_an_answer_and_parts_are_a_text() {
    let parts = json!({"choices": [{"index": 1, "message": {"content": "no"}, "finish_reason": "stop"},
        {"index": 0, "message": {"content": [{"type": "text", "text": "In "}, {"type": "text", "text": "parts."}]}, "finish_reason": "stop"}]});
    let server = Server::of(vec![Reply::Whole(203, String::new(), format!("\u{feff}{parts}"))]);
    let house = project(&server, "openai", "").task("a", "");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "In parts.\n");
    let server = Server::of(vec![Reply::Whole(200, String::new(), "{\"status\": \"ok\"}".into())]);
    let house = project(&server, "openai", "").task("a", "");
    assert_eq!(
        failure(&house),
        format!(
            "what http://{}/v1 answered is no answer of this API (are `base_url` and `api` right?)",
            server.address
        )
    );
}

#[test]
fn extra_overrules_no_limit() {
    let house = project(
        &Server::of(Vec::new()),
        "openai",
        "[providers.p.extra]\nmax_tokens = 9\nn = 2\noptions = { num_predict = 5 }\n",
    )
    .task("a", "");
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2);
    for key in ["max_tokens", "n", "num_predict"] {
        assert!(
            said.err.contains(&format!("error: `{key}` in `extra` would overrule what meu sends")),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_server_that_counts_more_is_reckoned_with_at_once() {
    // Half as many again as meu counts, which is what is reckoned with before anything is known.
    let server = Server::new(|_, seen| {
        let messages = seen.body["messages"].as_array().expect("messages").clone();
        let ours: usize =
            messages.iter().map(|m| m["content"].as_str().expect("a text").chars().count()).sum();
        let body = json!({"choices": [{"message": {"content": "Text."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": ours * 3 / 2, "completion_tokens": 10}});
        Reply::Whole(200, String::new(), body.to_string())
    });
    let mut house = project(&server, "openai", "");
    for at in 0..8 {
        house = house.task(&format!("t{at}"), "[model]\nmax_output_tokens = 10\n");
    }
    let said = house.meu(&["run", "--max-tokens", "8000", "--json"]);
    assert_eq!(said.code, 1);
    let end: Value = serde_json::from_str(said.out.lines().last().expect("a line")).expect("JSON");
    let used = end["tokens_in"].as_u64().expect("tokens") + end["tokens_out"].as_u64().expect("tokens");
    assert!(used > 4000 && used <= 8000, "{used}");
}

#[test]
fn the_same_request_is_asked_once() {
    let server = Server::new(|_, _| whole("Text."));
    let mut house = project(&server, "openai", "");
    for at in 0..6 {
        house = house.file(&format!("tasks/t{at}.toml"), "title = \"same\"\nprompt = \"same\"\n");
    }
    let said = house.meu(&["run", "-j8"]).ok();
    assert_eq!(server.seen().len(), 1);
    assert!(said.out.contains("1 built, 5 cached"), "{}", said.out);
}

#[test]
fn a_stand_in_is_told_of() {
    let up = Server::new(|_, _| whole("Text."));
    let down = Server::new(|_, _| Reply::Whole(402, String::new(), "pay".into()));
    let house = project(&down, "openai", "fallback = [\"q\"]").task("a", "");
    house.put(
        "meu.toml",
        format!("{}[providers.q]\nbase_url = \"http://{}/v1\"\n", house.read("meu.toml"), up.address),
    );
    let said = house.meu(&["run"]).ok();
    assert_eq!(said.err, format!("a: http://{}/v1 answered 402: pay; q is asked instead\n", down.address));
}

#[test]
fn a_proxy_is_chosen_by_scheme() {
    let proxy = Server::new(|_, _| Reply::Whole(200, String::new(), "x".into()));
    let mut house = House::empty()
        .file(
            "meu.toml",
            "[model]\nprovider = \"p\"\nname = \"m\"\n[context]\ntokenizer = \"chars\"\n[providers.p]\nbase_url = \"http://llm.invalid/v1\"\nretries = 0\n",
        )
        .task("a", "");
    house.env("HTTPS_PROXY", &format!("http://{}", proxy.address));
    assert!(
        failure(&house).contains("http://llm.invalid/v1 did not answer: the host llm.invalid is not known")
    );
    house.env("http_proxy", "http://me:hunter2@127.0.0.1:1");
    let said = failure(&house);
    assert!(said.contains("did not answer through the proxy 127.0.0.1:1: "), "{said}");
    house.env("NO_PROXY", "other.test, invalid");
    assert!(failure(&house).contains("did not answer: the host llm.invalid is not known"));
    house.env("NO_PROXY", "").env("http_proxy", "no proxy at all");
    assert!(
        failure(&house)
            .contains("http_proxy holds no address of a proxy (write it as http://host:port, or unset it)")
    );
}

#[test]
fn a_program_that_leaves_a_child_behind_has_answered() {
    let house = House::new().task("a", "");
    house.put(".model.sh", "cat > /dev/null; echo answered; sleep 60 & exit 0\n");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "answered\n");
    // And one that prints without end is ended.
    house.put(".model.sh", "cat > /dev/null; yes\n");
    let said = house.meu(&["run", "--force", "a"]);
    assert!(said.out.contains("the program `sh` prints without end"), "{}", said.out);
    house.put("meu.toml", house.read("meu.toml") + "timeout = \"300ms\"\n");
    house.put(".model.sh", "cat > /dev/null; sleep 60 & wait\n");
    let said = house.meu(&["run", "--force", "a"]);
    assert!(said.out.contains("the program `sh` took longer than 0.3 s"), "{}", said.out);
}

#[test]
fn what_comes_after_the_last_word_takes_nothing_back() {
    let mut bytes = events(&[chunk("All of it.", Some("stop"))]);
    bytes.extend(events(&[json!({"error": {"message": "too late"}})]));
    let server = Server::of(vec![Reply::Drops(bytes)]);
    let house = project(&server, "openai", "").task("a", "");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "All of it.\n");
    let quiet = json!({"error": {}, "detail": "x", "choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}]});
    let server = Server::of(vec![Reply::Whole(200, String::new(), quiet.to_string())]);
    let house = project(&server, "openai", "").task("a", "");
    house.meu(&["run"]).ok();
    assert_eq!(house.read("out/a.md"), "Fine.\n");
}

#[test]
fn no_half_of_a_key_is_left_where_words_are_cut() {
    let key = format!("sk-{}", "Ab1".repeat(40));
    let page = format!("<html>Proxy error, the request was: POST /v1 authorization: Bearer {key}</html>");
    let server = Server::of(vec![Reply::Whole(200, String::new(), page)]);
    let mut house = project(&server, "openai", "").task("a", "");
    house.env("OPENAI_API_KEY", &key);
    let said = failure(&house);
    assert!(said.contains("Bearer [key]") && !said.contains("Ab1"), "{said}");
}

#[test]
fn a_closed_provider_is_not_asked_by_those_who_waited_for_money() {
    let server = Server::new(|_, _| error(402, "", "insufficient_quota", "Nothing left"));
    let mut house = project(&server, "openai", "");
    for at in 0..6 {
        house = house.task(&format!("t{at}"), "[model]\nmax_output_tokens = 10\n");
    }
    house.meu(&["run", "-k", "-j16", "--max-tokens", "2600"]);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn another_provider_for_one_run_brings_its_model() {
    let server = Server::new(|_, _| whole("Text."));
    let house = House::new().task("a", "");
    let config = house.read("meu.toml");
    let base = format!("base_url = \"http://{}/v1\"", server.address);
    house.put("meu.toml", format!("{config}[providers.q]\n{base}\n"));
    let said = house.meu(&["run", "--provider", "q"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: no model is named for the provider `q`\n  = help: add `model = \"…\"` to `[providers.q]`\n"
        )
    );
    house.put("meu.toml", format!("{config}[providers.q]\n{base}\nmodel = \"own\"\n"));
    house.meu(&["run", "--provider", "q"]).ok();
    assert_eq!(server.seen()[0].body["model"], "own");
}

#[test]
fn calls_that_wait_are_reckoned_by_what_the_first_one_told() {
    // Twice what meu counts: more than is reckoned with before anything is known.
    let server = Server::new(|_, seen| {
        let messages = seen.body["messages"].as_array().expect("messages").clone();
        let ours: usize =
            messages.iter().map(|m| m["content"].as_str().expect("a text").chars().count()).sum();
        let body = json!({"choices": [{"message": {"content": "Text."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": ours * 2, "completion_tokens": 10}});
        Reply::Whole(200, String::new(), body.to_string())
    });
    let spent = |jobs: &str| {
        let mut house = project(&server, "openai", "concurrency = 1\n");
        for at in 0..8 {
            house = house.task(&format!("t{at}"), "[model]\nmax_output_tokens = 10\n");
        }
        let said = house.meu(&["run", "-k", jobs, "--max-tokens", "8000", "--json"]);
        let sums: Value = serde_json::from_str(said.out.lines().last().expect("a line")).expect("JSON");
        sums["tokens_in"].as_u64().expect("tokens") + sums["tokens_out"].as_u64().expect("tokens")
    };
    for jobs in ["-j1", "-j4", "-j8"] {
        let spent = spent(jobs);
        assert!((1..=8000).contains(&spent), "{jobs}: {spent}");
    }
}

#[test]
fn a_key_that_a_program_prints_is_taken_out_though_nobody_is_asked() {
    let key = "sk-TEST/cd+ef9876543210ZZ";
    let mut house = House::new().task("a", "run = [\"sh\", \"-c\", \"echo k $OPENAI_API_KEY\"]\n").task(
        "b",
        "run = [\"sh\", \"-c\", \"printf %s $OPENAI_API_KEY | base64; printf %s $OPENAI_API_KEY | sed s/+/%2B/; exit 3\"]\n",
    );
    house.put("meu.toml", format!("{}\n[providers.s]\napi = \"openai\"\n", house.read("meu.toml")));
    house.env("OPENAI_API_KEY", key).env("MEU_TRUST", "1");
    let said = house.meu(&["run", "-k"]);
    assert_eq!(house.read("out/a.md"), "k [key]\n");
    let all: Vec<u8> = house.files().into_values().flatten().collect();
    let all = format!("{}{}{}", String::from_utf8_lossy(&all), said.out, said.err);
    for form in ["ef9876543210ZZ", "ZWY5ODc2NTQzMjEw"] {
        assert!(!all.contains(form), "{form}");
    }
}

#[test]
fn a_program_that_prints_a_key_runs_only_when_somebody_is_asked() {
    let server = Server::of(vec![whole("Text.")]);
    let mut house =
        project(&server, "openai", "key_command = [\"sh\", \"-c\", \"echo x >> count; echo a-key-12345\"]\n")
            .task("a", "")
            .task("t", "run = \"template\"\n");
    house.env("MEU_TRUST", "1");
    house.meu(&["run"]).ok();
    house.put("tasks/t.toml", "prompt = \"other\"\nrun = \"template\"\n");
    for arguments in [&["run"][..], &["run", "a"], &["run", "--max-tokens", "100000", "-k"]] {
        house.meu(arguments).ok();
    }
    assert_eq!(house.read("count"), "x\n");
    // What comes out of the cache needs no key, nor does one that would stand in.
    house.remove("out/a.md");
    let config = house.read("meu.toml").replace("echo a-key-12345", "exit 3");
    house.put("meu.toml", &config);
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), house.read("count").as_str()), ("Text.\n", "x\n"));
    let server = Server::of(vec![whole("Text.")]);
    let other = "[providers.q]\napi = \"openai\"\nkey_command = [\"sh\", \"-c\", \"exit 3\"]\n";
    let mut house = project(&server, "openai", "fallback = [\"q\"]\n").task("a", "");
    house.put("meu.toml", format!("{}{other}", house.read("meu.toml")));
    house.env("MEU_TRUST", "1");
    house.meu(&["run"]).ok();
}

#[test]
fn a_dry_run_counts_nothing_for_what_comes_back() {
    let server = Server::of(vec![whole("Text."), whole("Text.")]);
    let house = project(&server, "openai", "price = { input = 1.0, output = 1.0 }\n").task("a", "");
    house.meu(&["run"]).ok();
    house.put("out/a.md", "My own words.\n");
    house.meu(&["adopt", "a"]).ok();
    house.remove("out/a.md");
    house.remove(".meu/cache/answers");
    let would = house.meu(&["run", "-n", "--json"]).ok().json();
    assert_eq!((&would["tokens_in"], &would["cost_max"]), (&json!(0), &json!(0.0)));
    house.meu(&["run"]).ok();
    assert_eq!((house.read("out/a.md").as_str(), server.seen().len()), ("My own words.\n", 1));

    // Whether a program is content with a stored answer nobody knows before.
    let judged = "[expect]\ncommand = [\"grep\", \"-q\", \"Other\"]\nrepairs = 0\n";
    let mut house = project(&server, "openai", "price = { input = 1.0, output = 1.0 }\n").task("a", judged);
    house.env("MEU_TRUST", "1");
    house.meu(&["run"]);
    house.task_put("a", &judged.replace("Other", "Text"));
    let would = house.meu(&["run", "-n", "--json"]).ok().json();
    assert!(would["cost_max"].as_f64().expect("a cost") > 0.0, "{would}");
}
