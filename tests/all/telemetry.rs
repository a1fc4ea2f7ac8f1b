//! Runs as traces, sent to a collector on loopback that decodes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::house::House;
use crate::server::{Reply, Server, whole};

/// The spans of a body, by name, with their attributes as a map.
fn spans(body: &Value) -> BTreeMap<String, (Value, BTreeMap<String, Value>)> {
    let resource = &body["resourceSpans"][0];
    assert_eq!(
        resource["resource"]["attributes"][0],
        json!({"key": "service.name", "value": {"stringValue": "meu"}})
    );
    let spans = resource["scopeSpans"][0]["spans"].as_array().expect("spans");
    let of = |span: &Value| {
        let attributes = span["attributes"].as_array().expect("attributes").iter();
        attributes.map(|a| (a["key"].as_str().expect("a key").to_owned(), a["value"].clone())).collect()
    };
    spans
        .iter()
        .map(|span| (span["name"].as_str().expect("a name").to_owned(), (span.clone(), of(span))))
        .collect()
}

fn house(server: &Server, collector: &str, more: &str) -> House {
    let mut house = House::empty();
    house.env("OPENAI_API_KEY", "sk-test-0123456789");
    house
        .file(
            "meu.toml",
            format!(
                "[model]\nprovider = \"http\"\nname = \"m\"\nmax_output_tokens = 50\n[context]\ntokenizer = \"chars\"\n[providers.http]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\nretries = 0\nprice = {{ input = 1.0, output = 2.0 }}\n[telemetry]\notlp = \"{collector}\"\n{more}",
                server.address
            ),
        )
        .task("a", "")
        .task("b", "requires = [\"a\"]")
}

fn collector(status: u16) -> (Server, String) {
    let server = Server::new(move |_, _| Reply::Whole(status, String::new(), "{}".into()));
    let url = format!("http://{}", server.address);
    (server, url)
}

#[test]
fn a_run_is_a_trace_of_tasks_and_calls() {
    let model = Server::of(vec![whole("the a"), whole("the b")]);
    let (collected, url) = collector(200);
    let house = house(&model, &url, "");
    house.meu(&["run"]).ok();
    let seen = collected.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].head.starts_with("POST /v1/traces HTTP/1.1"), "{}", seen[0].head);
    let spans = spans(&seen[0].body);
    // Both calls have one name.
    assert_eq!(spans.keys().collect::<Vec<_>>(), ["chat m", "meu run", "task a", "task b"]);
    let (run, attributes) = &spans["meu run"];
    assert_eq!(run["traceId"].as_str().expect("an id").len(), 32);
    assert!(run.get("parentSpanId").is_none());
    assert_eq!(attributes["meu.built"], json!({"intValue": "2"}));
    assert_eq!(attributes["meu.status"], json!({"stringValue": "done"}));
    // 2 x 11 tokens in at 1.0, 2 x 7 out at 2.0, per million.
    assert_eq!(attributes["meu.cost"], json!({"doubleValue": 0.00005}));
    let (task, attributes) = &spans["task b"];
    assert_eq!(task["parentSpanId"], run["spanId"]);
    assert_eq!(attributes["meu.outcome"], json!({"stringValue": "built"}));
    let (call, attributes) = &spans["chat m"];
    assert_eq!(call["parentSpanId"], task["spanId"]);
    assert_eq!(call["kind"], 3, "a client's");
    assert_eq!(attributes["gen_ai.operation.name"], json!({"stringValue": "chat"}));
    assert_eq!(attributes["gen_ai.request.model"], json!({"stringValue": "m"}));
    assert_eq!(attributes["gen_ai.response.model"], json!({"stringValue": "m-2026"}));
    assert_eq!(attributes["gen_ai.usage.input_tokens"], json!({"intValue": "11"}));
    assert_eq!(
        attributes["gen_ai.response.finish_reasons"],
        json!({"arrayValue": {"values": [{"stringValue": "stop"}]}})
    );
    let time =
        |span: &Value, key: &str| span[key].as_str().expect("a time").parse::<u128>().expect("nanoseconds");
    for (span, _) in spans.values() {
        assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"));
        assert!(time(run, "startTimeUnixNano") <= time(span, "startTimeUnixNano"));
        assert_eq!(span["traceId"], run["traceId"]);
    }
    let all = seen[0].body.to_string();
    assert!(!all.contains("answer of a") && !all.contains("the a"), "contents stay here");
    assert!(!all.contains("sk-test"), "and keys in any case");
    // Nothing happened: nothing to tell.
    house.meu(&["run"]).ok();
    assert_eq!(collected.seen().len(), 1);
}

#[test]
fn contents_go_along_only_where_they_are_wanted_and_redacted() {
    let model = Server::of(vec![whole("token one\nthe a: password: hunter2"), whole("the b")]);
    let (collected, url) = collector(200);
    let house = house(
        &model,
        &url,
        "contents = true\n[redact]\npatterns = ['hunter2$', '(?m)^token .*$', '[0-9]{2}']\n",
    );
    house.meu(&["run", "a"]).ok();
    let spans = spans(&collected.seen()[0].body);
    let attributes = &spans["chat m"].1;
    let text = |key: &str| attributes[key]["stringValue"].as_str().expect("a text").to_owned();
    let sent: Value = serde_json::from_str(&text("gen_ai.input.messages")).expect("JSON");
    let last = sent.as_array().expect("messages").last().expect("one").clone();
    assert_eq!(last["role"], "user");
    assert!(last["parts"][0]["content"].as_str().expect("a text").contains("answer of a"));
    let came: Value = serde_json::from_str(&text("gen_ai.output.messages")).expect("JSON");
    assert_eq!(came[0]["parts"][0]["content"], "[redacted]\nthe a: password: [redacted]\n");
    let all = collected.seen()[0].body.to_string();
    assert!(!all.contains("hunter2") && !all.contains("token one"), "{all}");
    // Numbers and digests are nobody's words.
    assert_eq!(attributes["gen_ai.usage.input_tokens"], json!({"intValue": "11"}));
    assert_eq!(attributes["meu.request"]["stringValue"].as_str().map(str::len), Some(64));
}

#[test]
fn a_collector_that_fails_fails_no_run() {
    let model = Server::of(vec![whole("the a"), whole("the b")]);
    let (_collected, url) = collector(503);
    let house = house(&model, &url, "");
    let said = house.meu(&["run"]).ok();
    assert!(said.err.contains("warning: the trace of this run did not arrive: 503"), "{}", said.err);
    assert_eq!(house.read("out/a.md"), "the a\n");
}

#[test]
fn a_trace_of_a_failed_task_says_so() {
    let model = Server::of(vec![crate::server::error(400, "", "bad", "no such model")]);
    let (collected, url) = collector(200);
    let house = house(&model, &url, "");
    assert_eq!(house.meu(&["run"]).code, 1);
    let spans = spans(&collected.seen()[0].body);
    for name in ["meu run", "task a", "chat m"] {
        assert_eq!(spans[name].0["status"]["code"], 2, "{name}");
    }
    assert!(spans["task a"].0["status"]["message"].as_str().expect("why").contains("no such model"));
}

#[test]
fn a_collector_elsewhere_needs_a_yes() {
    let model = Server::of(vec![whole("the a"), whole("the b")]);
    let mut house = house(&model, "https://collector.example.test", "");
    house.without_env("MEU_TRUST");
    let said = house.meu(&["run"]).ok();
    let line = "telemetry sends traces of runs to https://collector.example.test";
    assert!(
        said.err.contains(&format!("warning: the trace of this run did not arrive: not allowed yet: {line}")),
        "{}",
        said.err
    );
    assert!(house.meu(&["trust", "--show"]).out.contains(line));
    let wrong = house.file("meu.toml", "[telemetry]\notlp = \"collector\"\n").meu(&["check"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("the otlp `collector` is no URL"), "{}", wrong.err);
}

/// The first fails and another stands in: two calls, one after the other, and the answer is the second's.
#[test]
fn a_stand_in_has_a_span_of_its_own() {
    let bad = Server::new(|_, _| crate::server::error(500, "", "bad", "down"));
    let good = Server::of(vec![whole("the a")]);
    let (collected, url) = collector(200);
    let mut house = House::empty();
    house.env("OPENAI_API_KEY", "sk-test-0123456789");
    let provider = |name: &str, server: &Server, more: &str| {
        format!(
            "[providers.{name}]\napi = \"openai\"\nbase_url = \"http://{}/v1\"\nmodel = \"of-{name}\"\nretries = 0\n{more}",
            server.address
        )
    };
    let house = house_with(
        house,
        &[
            provider("one", &bad, "fallback = [\"two\"]\n"),
            provider("two", &good, ""),
            format!("[telemetry]\notlp = \"{url}/v1/traces\"\ncontents = true\n"),
        ],
    );
    house.meu(&["run"]).ok();
    let seen = collected.seen();
    assert!(seen[0].head.starts_with("POST /v1/traces HTTP/1.1"), "{}", seen[0].head);
    let spans = spans(&seen[0].body);
    let (first, second) = (&spans["chat of-one"], &spans["chat of-two"]);
    let time =
        |span: &Value, key: &str| span[key].as_str().expect("a time").parse::<u128>().expect("nanoseconds");
    assert!(time(&first.0, "endTimeUnixNano") <= time(&second.0, "startTimeUnixNano"));
    assert_eq!(first.0["status"]["code"], 2);
    assert!(!first.1.contains_key("gen_ai.output.messages"), "it said nothing");
    assert!(second.1["gen_ai.output.messages"].to_string().contains("the a"));
}

fn house_with(house: House, tables: &[String]) -> House {
    let head = "[model]\nprovider = \"one\"\nmax_output_tokens = 50\n[context]\ntokenizer = \"chars\"\n";
    house.file("meu.toml", format!("{head}{}", tables.concat())).task("a", "")
}
