//! A run as a trace: a span for the run, one for each task, one for each provider that was asked; sent to a
//! collector when the run is over.
//!
//! The form is OTLP/HTTP with JSON (opentelemetry-proto 1.3, `ExportTraceServiceRequest`); attributes are named
//! after OpenTelemetry's semantic conventions for generative AI (1.37) where those have a name. Requests and
//! answers go along only where `[telemetry] contents` says so.

use std::collections::HashMap;
#[cfg(feature = "http")]
use std::time::Duration;

use serde_json::{Map, Value, json};

#[cfg(feature = "http")]
use super::http::Line;
use crate::digest::Framer;
use crate::disk::{Cache, Store, now_in_nanoseconds};
use crate::event::{Event, Finished, Outcome, Sums, Tried};
use crate::spec::Telemetry;
use crate::text::Redactor;

/// A collector that takes longer than this gets nothing.
#[cfg(feature = "http")]
const PATIENCE: Duration = Duration::from_secs(10);

/// As many spans are sent at once.
#[cfg(feature = "http")]
const BATCH: usize = 500;

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

/// A trace that is being made.
pub struct Trace<'a> {
    /// Where it goes; nothing is gathered for nowhere.
    endpoint: Option<&'a str>,
    contents: bool,
    cache: Cache<'a>,
    redactor: &'a Redactor,
    run: String,
    began: i128,
    /// When each task was asked, and its span.
    open: HashMap<String, i128>,
    spans: Vec<Value>,
    /// Tries by their spans, for what they said.
    said: Vec<(usize, Tried)>,
}

impl<'a> Trace<'a> {
    /// A trace for whoever `[telemetry]` names, if that is `allowed`.
    pub fn new(telemetry: &'a Telemetry, store: &'a Store, redactor: &'a Redactor, allowed: bool) -> Self {
        Trace {
            endpoint: telemetry.otlp.as_deref().filter(|_| allowed),
            contents: telemetry.contents,
            cache: Cache(store),
            redactor,
            run: String::new(),
            began: now_in_nanoseconds(),
            open: HashMap::new(),
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
            Event::TaskTried(tried) => self.tried(tried, now),
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
        let attributes: Vec<Value> = span
            .attributes
            .into_iter()
            .filter_map(|(key, value)| Some(json!({"key": key, "value": any_value(value)?})))
            .collect();
        let mut told = json!({"name": span.name, "attributes": attributes, "status": {}});
        if let Some(error) = span.error {
            told["status"] = json!({"code": FAILED, "message": error});
        }
        self.redactor.clean_json(&mut told);
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

    fn tried(&mut self, tried: &Tried, now: i128) {
        let mut attributes = Map::new();
        if let Ok(Value::Object(fields)) = serde_json::to_value(tried) {
            attributes.extend(fields.into_iter().filter(|(key, _)| key.starts_with("gen_ai.")));
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
            from: now - i128::from(tried.ms) * 1_000_000,
            to: now,
            attributes,
            error: tried.error.as_deref(),
        };
        self.push(span);
    }

    /// What was sent and what came, as far as it is kept; answers are once their task has ended.
    fn contents(&self, tried: &Tried) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let part = |text: &Value| json!([{"type": "text", "content": text}]);
        if let Some(sent) = self.cache.sent(&tried.request.to_string()) {
            let messages = sent["request"]["messages"].as_array().cloned().unwrap_or_default();
            let messages: Vec<Value> = messages
                .iter()
                .map(|message| json!({"role": message["role"], "parts": part(&message["content"])}))
                .collect();
            found.push(("gen_ai.input.messages", json!(messages).to_string()));
        }
        let text = tried.text.clone().or_else(|| self.cache.answer(tried.request).map(|(_, text)| text));
        if let Some(text) = text {
            let reason = tried.finish_reasons.first().cloned().unwrap_or_default();
            let message =
                json!([{"role": "assistant", "parts": part(&text.into()), "finish_reason": reason}]);
            found.push(("gen_ai.output.messages", message.to_string()));
        }
        found
    }

    fn finished(&mut self, finished: &Finished, now: i128) {
        let mut attributes = Map::new();
        let fields = json!({
            "meu.task": finished.task, "meu.outcome": finished.status, "meu.reason": finished.reason,
            "meu.output": finished.output, "meu.request": finished.request, "meu.digest": finished.digest,
            "meu.cost": finished.cost,
            "gen_ai.usage.input_tokens": finished.tokens_in, "gen_ai.usage.output_tokens": finished.tokens_out,
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
        let mut attributes = Map::new();
        let fields = json!({
            "meu.run": self.run, "meu.status": status, "meu.built": sums.built, "meu.cached": sums.cached,
            "meu.fresh": sums.fresh, "meu.failed": sums.failed, "meu.blocked": sums.blocked,
            "meu.awaiting": sums.awaiting, "meu.cost": sums.cost,
            "gen_ai.usage.input_tokens": sums.tokens_in, "gen_ai.usage.output_tokens": sums.tokens_out,
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

    /// Sends the trace of a run in which something happened. The error says why it did not arrive.
    pub fn send(mut self) -> Result<(), String> {
        let Some(endpoint) = self.endpoint.filter(|_| self.spans.len() > 1) else { return Ok(()) };
        for (at, tried) in std::mem::take(&mut self.said) {
            for (key, text) in self.contents(&tried) {
                let text = self.redactor.clean(&text);
                let attribute = json!({"key": key, "value": {"stringValue": text}});
                if let Some(attributes) = self.spans[at]["attributes"].as_array_mut() {
                    attributes.push(attribute);
                }
            }
        }
        deliver(endpoint, &self.spans)
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
    for spans in spans.chunks(BATCH) {
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "meu"}},
                {"key": "service.version", "value": {"stringValue": env!("CARGO_PKG_VERSION")}},
            ]},
            "scopeSpans": [{"scope": {"name": "meu", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
        }]});
        line.post(&format!("{endpoint}/v1/traces"), &body)?;
    }
    Ok(())
}

/// A value as the protocol has it; none for what is not there.
fn any_value(value: Value) -> Option<Value> {
    Some(match value {
        Value::Null => return None,
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
