//! A run as a trace: a span for the run, one for each task, one for each provider that was asked; sent to a
//! collector when the run is over.
//!
//! The form is OTLP/HTTP with JSON (opentelemetry-proto 1.3, `ExportTraceServiceRequest`); attributes are named
//! after OpenTelemetry's semantic conventions for generative AI (1.37) where those have a name. Requests and
//! answers go along only where `[telemetry] contents` says so.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Map, Value, json};

#[cfg(feature = "http")]
use super::line::Line;
use crate::digest::Framer;
use crate::disk::{Cache, Moment, Store, interrupted, now_in_nanoseconds};
use crate::event::{Event, Finished, Outcome, Sums, Tried};
use crate::spec::Telemetry;
use crate::text::Redactor;

/// A collector that takes longer than this gets nothing.
#[cfg(feature = "http")]
const PATIENCE: Duration = Duration::from_secs(10);

/// As many spans are sent at once.
#[cfg(feature = "http")]
const BATCH: usize = 200;

/// Kinds and status codes of the protocol.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
const FAILED: u8 = 2;

/// Something that took time.
struct Span<'a> {
    name: String,
    id: String,
    parent: Option<String>,
    kind: u8,
    /// When it began and ended, in nanoseconds since 1970.
    from: i128,
    to: i128,
    attributes: Map<String, Value>,
    error: Option<&'a str>,
}

/// A trace that is ready to be sent.
#[derive(Debug)]
pub struct Parcel {
    endpoint: String,
    /// Why it may not be sent, if so.
    refused: Option<String>,
    spans: Vec<Value>,
}

/// A trace that is being made.
pub struct Trace<'a> {
    /// Where it goes; nothing is gathered for nowhere.
    endpoint: Option<&'a str>,
    refused: Option<String>,
    contents: bool,
    cache: Cache<'a>,
    redactor: &'a Redactor,
    run: String,
    began: i128,
    /// When each task was asked that has not ended.
    open: HashMap<String, i128>,
    /// The tries of each such task, with the moment at which they were told.
    tries: HashMap<String, Vec<(Tried, i128)>>,
    spans: Vec<Value>,
    /// Tries by their spans, for what they said.
    said: Vec<(usize, Tried)>,
}

impl<'a> Trace<'a> {
    /// A trace for whoever `[telemetry]` names. `refused` says why it may not be sent there, if so.
    pub fn new(
        telemetry: &'a Telemetry,
        store: &'a Store,
        redactor: &'a Redactor,
        refused: Option<String>,
    ) -> Self {
        Trace {
            endpoint: telemetry.otlp.as_deref(),
            refused,
            contents: telemetry.contents,
            cache: Cache(store),
            redactor,
            run: String::new(),
            began: now_in_nanoseconds(),
            open: HashMap::new(),
            tries: HashMap::new(),
            spans: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Takes in what happened, now.
    pub fn event(&mut self, event: &Event) {
        if self.endpoint.is_none() {
            return;
        }
        let now = now_in_nanoseconds();
        match event {
            Event::RunStarted { run, .. } => {
                self.run = run.clone();
                self.began = now;
            }
            Event::TaskStarted { task, .. } => drop(self.open.insert(task.clone(), now)),
            Event::TaskTried(tried) => {
                self.tries.entry(tried.task.clone()).or_default().push((Tried::clone(tried), now));
            }
            Event::TaskFinished(finished) => self.finished(finished, now),
            Event::RunFinished { status, sums, .. } => self.run_finished(status, sums, now),
            _ => {}
        }
    }

    /// The id of a span of this run: 8 bytes in hexadecimal digits.
    fn id(&self, of: &str) -> String {
        self.digest(of)[..16].to_owned()
    }

    fn digest(&self, of: &str) -> String {
        Framer::new("meu span v1")
            .field(&self.run)
            .field(self.began.to_le_bytes())
            .field(of)
            .finish()
            .to_string()
    }

    fn push(&mut self, span: Span<'_>) {
        // Digests are meu's own: nobody's words are in them.
        let ours = ["meu.request", "meu.digest"];
        let attributes: Vec<Value> = span
            .attributes
            .into_iter()
            .filter_map(|(key, mut value)| {
                if !ours.contains(&key.as_str()) {
                    self.redactor.clean_json(&mut value);
                }
                Some(json!({"key": key, "value": any_value(value)?}))
            })
            .collect();
        let name = self.redactor.clean(&span.name);
        let mut told = json!({"name": name, "attributes": attributes, "status": {}});
        if let Some(error) = span.error {
            told["status"] = json!({"code": FAILED, "message": self.redactor.clean(error)});
        }
        told["traceId"] = self.digest("trace")[..32].into();
        told["spanId"] = span.id.into();
        told["kind"] = span.kind.into();
        told["startTimeUnixNano"] = span.from.to_string().into();
        told["endTimeUnixNano"] = span.to.to_string().into();
        if let Some(parent) = span.parent {
            told["parentSpanId"] = parent.into();
        }
        self.spans.push(told);
    }

    /// The tries of a task, one after the other: they are told together, when the last of them is over.
    fn tried_in_turn(&mut self, task: &str) {
        let mut next = i128::MAX;
        let mut spans = Vec::new();
        for (tried, told) in self.tries.remove(task).unwrap_or_default().into_iter().rev() {
            let to = told.min(next);
            next = to - i128::from(tried.ms) * 1_000_000;
            spans.push((tried, next, to));
        }
        for (tried, from, to) in spans.into_iter().rev() {
            self.tried(&tried, from, to);
        }
    }

    fn tried(&mut self, tried: &Tried, from: i128, to: i128) {
        let mut attributes = Map::new();
        if let Ok(Value::Object(fields)) = serde_json::to_value(tried) {
            attributes.extend(fields.into_iter().filter(|(key, _)| key.starts_with("gen_ai.")));
        }
        if let Some(temperature) = attributes.get("gen_ai.request.temperature").and_then(Value::as_f64) {
            attributes.insert("gen_ai.request.temperature".into(), temperature.into());
        }
        attributes.insert("gen_ai.operation.name".into(), "chat".into());
        attributes.insert("meu.provider".into(), tried.provider.clone().into());
        attributes.insert("meu.request".into(), tried.request.to_string().into());
        attributes.insert("meu.retries".into(), tried.retries.into());
        attributes.insert("meu.cost".into(), json!(tried.cost));
        if tried.error.is_some() {
            attributes.insert("error.type".into(), "_OTHER".into());
        }
        if self.contents {
            self.said.push((self.spans.len(), tried.clone()));
        }
        let span = Span {
            name: format!("chat {}", tried.model).trim_end().to_owned(),
            id: self.id(&format!("try {} {}", tried.task, self.spans.len())),
            parent: Some(self.id(&format!("task {}", tried.task))),
            kind: CLIENT,
            from,
            to,
            attributes,
            error: tried.error.as_deref(),
        };
        self.push(span);
    }

    /// What was sent and what came, as far as it is kept; answers are once their task has ended.
    fn contents(&self, tried: &Tried) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        // Before they are encoded: a pattern may speak of line ends and quotes.
        let part = |text: &str| json!([{"type": "text", "content": self.redactor.clean(text)}]);
        if let Some(sent) = self.cache.sent(&tried.request.to_string()) {
            let messages = sent["request"]["messages"].as_array().cloned().unwrap_or_default();
            let messages: Vec<Value> = messages
                .iter()
                .map(|message| json!({"role": message["role"], "parts": part(message["content"].as_str().unwrap_or_default())}))
                .collect();
            found.push(("gen_ai.input.messages", json!(messages).to_string()));
        }
        let kept = || self.cache.answer(tried.request).map(|(_, text)| text);
        let text = tried.text.clone().or_else(|| tried.error.is_none().then(kept)?);
        if let Some(text) = text {
            let reason = tried.finish_reasons.first().cloned().unwrap_or_default();
            let message = json!([{"role": "assistant", "parts": part(&text), "finish_reason": reason}]);
            found.push(("gen_ai.output.messages", message.to_string()));
        }
        found
    }

    fn finished(&mut self, finished: &Finished, now: i128) {
        self.tried_in_turn(&finished.task);
        let mut attributes = Map::new();
        let fields = json!({
            "meu.task": finished.task, "meu.outcome": finished.status, "meu.reason": finished.reason,
            "meu.output": finished.output, "meu.request": finished.request, "meu.digest": finished.digest,
            "meu.cost": finished.cost,
            "meu.tokens_in": finished.tokens_in, "meu.tokens_out": finished.tokens_out,
        });
        if let Value::Object(fields) = fields {
            attributes.extend(fields);
        }
        let span = Span {
            name: format!("task {}", finished.task),
            id: self.id(&format!("task {}", finished.task)),
            parent: Some(self.id("run")),
            kind: INTERNAL,
            from: self.open.remove(&finished.task).unwrap_or(now),
            to: now,
            attributes,
            error: (finished.status == Outcome::Failed).then_some(finished.reason.as_str()),
        };
        self.push(span);
    }

    fn run_finished(&mut self, status: &str, sums: &Sums, now: i128) {
        // What was asked and never ended, for a person ended the run.
        let mut open: Vec<String> = self.open.keys().chain(self.tries.keys()).cloned().collect();
        open.sort();
        open.dedup();
        for task in open {
            self.tried_in_turn(&task);
            let span = Span {
                name: format!("task {task}"),
                id: self.id(&format!("task {task}")),
                parent: Some(self.id("run")),
                kind: INTERNAL,
                from: self.open.get(&task).copied().unwrap_or(now),
                to: now,
                attributes: Map::from_iter([("meu.task".to_owned(), task.into())]),
                error: Some(status),
            };
            self.push(span);
        }
        let mut attributes = Map::new();
        let fields = json!({
            "meu.run": self.run, "meu.status": status, "meu.built": sums.built, "meu.cached": sums.cached,
            "meu.fresh": sums.fresh, "meu.failed": sums.failed, "meu.blocked": sums.blocked,
            "meu.awaiting": sums.awaiting, "meu.cost": sums.cost,
            "meu.tokens_in": sums.tokens_in, "meu.tokens_out": sums.tokens_out,
        });
        if let Value::Object(fields) = fields {
            attributes.extend(fields);
        }
        let span = Span {
            name: "meu run".into(),
            id: self.id("run"),
            parent: None,
            kind: INTERNAL,
            from: self.began,
            to: now,
            attributes,
            error: (status != "done").then_some(status),
        };
        self.push(span);
    }

    /// The trace of a run in which something happened.
    pub fn parcel(mut self) -> Option<Parcel> {
        let endpoint = self.endpoint.filter(|_| self.spans.len() > 1)?.to_owned();
        for (at, tried) in std::mem::take(&mut self.said) {
            for (key, text) in self.contents(&tried) {
                let attribute = json!({"key": key, "value": {"stringValue": text}});
                if let Some(attributes) = self.spans[at]["attributes"].as_array_mut() {
                    attributes.push(attribute);
                }
            }
        }
        Some(Parcel { endpoint, refused: self.refused, spans: self.spans })
    }
}

impl Parcel {
    /// Sends it. The error says why it did not arrive; a person who ends the program ends this, too.
    pub fn send(self) -> Result<(), String> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let (done, arrived) = mpsc::channel();
        std::thread::spawn(move || {
            // Nobody listens any more once a person has ended it.
            let _ = done.send(deliver(&self.endpoint, &self.spans));
        });
        // Of a run that a person ended there is something to tell, too, if that is soon done.
        let (began, ended) = (Moment::now(), interrupted());
        loop {
            match arrived.recv_timeout(Duration::from_millis(50)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if !interrupted() || (ended && began.ms() < 2000) => {}
                Err(_) => return Err("interrupted".into()),
            }
        }
    }
}

#[cfg(not(feature = "http"))]
fn deliver(_: &str, _: &[Value]) -> Result<(), String> {
    Err("this meu was built without HTTP".into())
}

/// Sends spans to a collector.
#[cfg(feature = "http")]
fn deliver(endpoint: &str, spans: &[Value]) -> Result<(), String> {
    let line = Line::to(endpoint, PATIENCE, PATIENCE, PATIENCE).map_err(|refusal| refusal.message)?;
    let url = format!("{}/v1/traces", endpoint.trim_end_matches("/v1/traces"));
    let began = Moment::now();
    for spans in spans.chunks(BATCH) {
        if began.ms() > PATIENCE.as_millis() as u64 {
            return Err("the collector is too slow for all of it".into());
        }
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "meu"}},
                {"key": "service.version", "value": {"stringValue": env!("CARGO_PKG_VERSION")}},
            ]},
            "scopeSpans": [{"scope": {"name": "meu", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
        }]});
        let said: Value = serde_json::from_str(&line.post(&url, &body)?).unwrap_or_default();
        let partial = &said["partialSuccess"];
        // 64 bits come as text, or as a number.
        let rejected = &partial["rejectedSpans"];
        if rejected.as_str().map_or(rejected.as_u64().unwrap_or(0), |count| count.parse().unwrap_or(0)) > 0 {
            let why = partial["errorMessage"].as_str().unwrap_or("it does not say why");
            return Err(format!("the collector rejected some of its spans: {why}"));
        }
    }
    Ok(())
}

/// A value as the protocol has it; none for what is not there.
fn any_value(value: Value) -> Option<Value> {
    Some(match value {
        // What is not known is not told as something empty.
        Value::Null => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::Array(list) if list.is_empty() => return None,
        Value::Bool(value) => json!({"boolValue": value}),
        // 64 bits do not fit into JSON's numbers: the protocol has them as text.
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            json!({"intValue": number.to_string()})
        }
        Value::Number(number) => json!({"doubleValue": number}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(list) => {
            json!({"arrayValue": {"values": list.into_iter().filter_map(any_value).collect::<Vec<_>>()}})
        }
        Value::Object(_) => json!({"stringValue": value.to_string()}),
    })
}
