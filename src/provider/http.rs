//! One call over HTTP: its head with the key, its body, its answer as it comes, its errors sorted into
//! what may pass and what will not. What each API says in which words is in the files of its name.

use std::time::Duration;

use serde_json::Value;

use super::gate::Gate;
use super::line::Line;
use super::pause::{rate_pause, retry_words};
use super::stream::{self, Broken, Piece};
use crate::model::{Answer, Cause, Charge, Model, Refusal, Tokens};
use crate::request::Request;
use crate::spec::{Provider, Vars};
use crate::text::Redactor;

/// Counts beyond this are no counts.
const MOST_TOKENS: u64 = 1_000_000_000;

/// What one API says in its own words.
pub(super) trait Dialect: Sync {
    /// Where calls go, below the base URL.
    fn path(&self) -> &'static str;
    /// The head's lines, the key among them.
    fn head(&self, provider: &Provider, key: Option<&str>) -> Vec<(&'static str, String)>;
    /// The body, but for `extra`.
    fn body(&self, provider: &Provider, request: &Request) -> Value;
    /// Whether a stream is lines of JSON, not server-sent events.
    fn in_lines(&self) -> bool {
        false
    }
    /// Takes in an event of a stream; tells whether more is to come.
    fn event(&self, draft: &mut Draft, event: &Value) -> bool;
    /// Takes in a whole answer.
    fn whole(&self, draft: &mut Draft, answer: &Value);
    /// What a finish reason means.
    fn finish(&self, word: &str) -> Finish;
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// It is whole.
    Whole,
    /// It met the length limit.
    Cut,
    /// A filter held it back.
    Filtered,
    /// The model would not.
    Refused,
    /// Something that is no answer: a call of a tool, a pause.
    Other,
}

/// An answer that is coming.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) refusal: String,
    pub(super) tokens: Tokens,
    pub(super) model: String,
    pub(super) finish: Option<String>,
    /// An error that came in place of the rest: type and words.
    pub(super) error: Option<(String, String)>,
    /// Whether anything came that this API says.
    pub(super) known: bool,
}

/// A provider that is asked over HTTP.
pub(super) struct Http<'a> {
    pub(super) provider: &'a Provider,
    pub(super) dialect: &'a dyn Dialect,
    pub(super) key: Option<&'a str>,
    pub(super) line: &'a Line,
    pub(super) gate: &'a Gate,
    pub(super) redactor: &'a Redactor,
}

impl Model for Http<'_> {
    fn ask(&self, request: &Request, heard: &dyn Fn(usize)) -> Result<Answer, Refusal> {
        let mut body = self.dialect.body(self.provider, request);
        merge(&mut body, &self.provider.extra);
        let mut response = self.send(self.dialect.path(), &body)?;
        let mut draft = Draft::default();
        let read =
            stream::read::<Broken>(response.body_mut().as_reader(), self.dialect.in_lines(), &mut |piece| {
                match piece {
                    Piece::Event(event) => {
                        // What is whole is whole, whatever comes after it.
                        let error = error_in(&event).filter(|_| draft.finish.is_none());
                        if let Some(error) = error {
                            draft.error = Some(error);
                            return Ok(false);
                        }
                        let more = self.dialect.event(&mut draft, &event);
                        heard(draft.text.len());
                        Ok(more)
                    }
                    Piece::Whole(answer) => {
                        draft.error = error_in(&answer);
                        self.dialect.whole(&mut draft, &answer);
                        // A whole document without a word on its end is whole.
                        draft.finish.get_or_insert_default();
                        Ok(false)
                    }
                }
            });
        self.judge(draft, read)
    }
}

impl Http<'_> {
    /// Sends a body; an answer is one with status 200.
    fn send(&self, path: &str, body: &Value) -> Result<ureq::http::Response<ureq::Body>, Refusal> {
        let (base, query) = match self.provider.base_url.split_once('?') {
            Some((base, query)) => (base.trim_end_matches('/'), Some(query)),
            None => (self.provider.base_url.as_str(), None),
        };
        let url = match query {
            Some(query) => format!("{base}/{path}?{query}"),
            None => format!("{base}/{path}"),
        };
        let mut call = self.line.agent.post(&url);
        for (name, value) in self.dialect.head(self.provider, self.key) {
            call = call.header(name, value);
        }
        let mut response = call.send_json(body).map_err(|error| self.unreached(&error))?;
        if let Some(pause) = rate_pause(response.headers()) {
            self.gate.not_before(pause);
        }
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let (pause, last) = retry_words(response.headers());
        let leads =
            response.headers().get("location").and_then(|place| place.to_str().ok()).map(str::to_owned);
        let text = response.body_mut().with_config().limit(1024 * 1024).read_to_string().unwrap_or_default();
        Err(Refusal { pause, last, ..self.refused(status, leads, pause, &text) })
    }

    /// Where calls go, as it is told: without its query.
    fn place(&self) -> &str {
        self.provider.base_url.split('?').next().unwrap_or_default()
    }

    /// A server's words without the key, in one line and not too long.
    fn clean(&self, text: &str) -> String {
        let mut text = self.redactor.clean(text).into_owned();
        // In a server's own words even a short key is one.
        if let Some(key) = self.key.filter(|key| key.len() >= 4) {
            text = text.replace(key, "[key]");
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(500) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    }

    /// How a text begins; cut only once it is clean, so that no half of a key is left.
    fn beginning(&self, text: &str) -> String {
        self.clean(text).chars().take(120).collect()
    }

    /// No answer came at all.
    fn unreached(&self, error: &ureq::Error) -> Refusal {
        use std::io::ErrorKind as Io;
        use ureq::{Error, Timeout};
        let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
        let (what, help, charge, last) = match error {
            error if is_unknown_host(error) => (
                format!("the host {} is not known", self.provider.host()),
                "is `base_url` right?",
                Charge::Nothing,
                false,
            ),
            Error::Io(error) if error.kind() == Io::ConnectionRefused => (
                "nothing listens there".into(),
                "is the server up, and `base_url` right?",
                Charge::Nothing,
                false,
            ),
            Error::Io(error) if matches!(error.kind(), Io::HostUnreachable | Io::NetworkUnreachable) => {
                (error.to_string(), "is this machine online?", Charge::Nothing, false)
            }
            Error::ConnectionFailed | Error::ConnectProxyFailed(_) | Error::Timeout(Timeout::Resolve) => {
                (error.to_string(), "are network, proxy and `base_url` right?", Charge::Nothing, false)
            }
            Error::Timeout(Timeout::Connect) => (
                format!("no connection within {}", seconds(self.provider.connect_timeout)),
                "is the server up? `connect_timeout` is how long meu waits",
                Charge::Nothing,
                false,
            ),
            Error::Rustls(_) | Error::Tls(_) | Error::Pem(_) => (
                format!("TLS: {error}"),
                "is it an https server with a certificate that this system trusts?",
                Charge::Nothing,
                true,
            ),
            Error::Io(error)
                if error.to_string().contains("certificate") || error.kind() == Io::InvalidData =>
            {
                (
                    format!("TLS: {error}"),
                    "is it an https server with a certificate that this system trusts?",
                    Charge::Nothing,
                    true,
                )
            }
            Error::BadUri(_) | Error::Http(_) | Error::InvalidProxyUrl => {
                (error.to_string(), "are `base_url` and the proxy variables right?", Charge::Nothing, true)
            }
            Error::Timeout(Timeout::Global) => (
                format!("no answer within {}", seconds(self.provider.timeout)),
                "raise the provider's `timeout`, or ask for less",
                Charge::Unknown,
                false,
            ),
            Error::Timeout(_) => (
                format!("silence for {}", seconds(self.provider.read_timeout)),
                "raise the provider's `read_timeout`",
                Charge::Unknown,
                false,
            ),
            other => (format!("the connection broke: {other}"), "run it again", Charge::Unknown, false),
        };
        let through = self.line.proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}"));
        let through = through.unwrap_or_default();
        let message = self.clean(&format!("{} did not answer{through}: {what}", self.place()));
        Refusal { last, charge, ..Refusal::new(Cause::Down, message, help) }
    }

    /// An answer that says no.
    fn refused(&self, status: u16, leads: Option<String>, pause: Option<Duration>, text: &str) -> Refusal {
        let error = serde_json::from_str::<Value>(text).ok().as_ref().and_then(error_in);
        let (kind, words) = error.unwrap_or_else(|| (String::new(), text.to_owned()));
        let (cause, help) = self.classify(status, &kind, &words, pause);
        let help = match (status, leads) {
            (300..=399, Some(place)) => {
                format!("redirects are not followed; `base_url` should perhaps be {}", self.clean(&place))
            }
            _ => help,
        };
        let said = self.clean(if words.is_empty() { &kind } else { &words });
        let colon = if said.is_empty() { "" } else { ": " };
        // A gateway that gave up says nothing of what happened behind it.
        let charge = match status {
            408 | 500 | 502 | 504 | 520..=524 => Charge::Unknown,
            _ => Charge::Nothing,
        };
        Refusal::new(cause, format!("{} answered {status}{colon}{said}", self.place()), help).charged(charge)
    }

    /// What an error means, by its status, its code or type, and its words; and the way out. Who says when to
    /// come back has not closed the account.
    fn classify(&self, status: u16, kind: &str, words: &str, pause: Option<Duration>) -> (Cause, String) {
        let (kind, words) = (kind.to_lowercase(), words.to_lowercase());
        let of_kind = |kinds: &[&str]| kinds.iter().any(|known| kind.contains(known));
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        // Errors in a stream have no status of their own, but for those that give it as their code.
        let status = match (status, kind.parse()) {
            (200..300, Ok(code @ 300..600)) => code,
            (200..300, _) => match kind.as_str() {
                "invalid_request_error" | "invalid_request" | "bad_request" => 400,
                "authentication_error" | "invalid_api_key" => 401,
                kind if kind.contains("context_length") || kind.contains("context_size") => 400,
                kind if kind.starts_with("insufficient_") || kind.contains("billing") => 402,
                "permission_error" => 403,
                "not_found_error" | "model_not_found" => 404,
                "rate_limit_error" | "rate_limit_exceeded" => 429,
                _ => 503,
            },
            (status, _) => status,
        };
        let key = match self.provider.key_command.first() {
            Some(program) => format!("check the key that `{program}` prints"),
            None => format!("check the key in {}", self.provider.api_key_env),
        };
        let quota = status == 402
            || of_kind(&["insufficient_quota", "billing", "insufficient_credit", "insufficient_balance"])
            || (!of_kind(&["rate_limit"])
                && pause.is_none()
                && has(&[
                    "credit balance",
                    "exceeded your current quota",
                    "out of credits",
                    "insufficient credits",
                    "insufficient balance",
                ]));
        let too_long = status == 413
            || of_kind(&["context_length", "exceed_context_size"])
            || has(&[
                "prompt is too long",
                "maximum context length",
                "context size",
                "exceeds the context window",
            ]);
        match status {
            300..=399 => (Cause::Wrong, "redirects are not followed; check `base_url`".into()),
            200..=299 | 400.. if quota => (
                Cause::Quota,
                "the account has nothing left; look at its billing, or choose another provider".into(),
            ),
            401 => (Cause::Key, key),
            403 => (Cause::Wrong, format!("{key}, and whether it may use this model")),
            404 | 405 => (Cause::Wrong, "check `base_url`, and the model's `name`".into()),
            408 | 409 => (Cause::Down, "run it again".into()),
            429 => (Cause::Limited, "lower `concurrency` or `requests_per_minute`, or wait".into()),
            400..=499 if too_long => {
                (Cause::Wrong, "lower the context's `budget`, or take a model with a larger context".into())
            }
            400 | 422
                if has(&["max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict"]) =>
            {
                (Cause::Wrong, "lower `max_output_tokens`; the model has a limit of its own".into())
            }
            400 | 422 if has(&["temperature"]) => {
                (Cause::Wrong, "set `temperature` in `[model]` to what the model takes, often 1.0".into())
            }
            400..=499 => {
                (Cause::Wrong, "the same call will be refused again; change what the server names".into())
            }
            500.. => (Cause::Down, "run it again, or choose another provider".into()),
            _ => (Cause::Wrong, "check `base_url`".into()),
        }
    }

    /// Whether what came is an answer.
    fn judge(&self, mut draft: Draft, read: Result<(), Broken>) -> Result<Answer, Refusal> {
        let place = self.place();
        draft.model = self.clean(&draft.model);
        draft.finish = draft.finish.map(|word| self.clean(&word));
        if let Some((kind, words)) = &draft.error {
            let (cause, help) = self.classify(200, kind, words, None);
            let words = if words.is_empty() { kind } else { words };
            let message = format!("{place} broke off with an error: {}", self.clean(words));
            // A refusal before the first word was no answer that anybody pays for.
            let free = draft.text.is_empty() && cause != Cause::Down;
            let charge = if free { Charge::Nothing } else { Charge::Unknown };
            return Err(Refusal::new(cause, message, help).charged(charge));
        }
        // Some servers say 0 where they do not count.
        let plausible = |count: &u64| *count <= MOST_TOKENS;
        draft.tokens.input = draft.tokens.input.filter(plausible).filter(|count| *count > 0);
        draft.tokens.output = draft.tokens.output.filter(plausible);
        draft.tokens.output = draft.tokens.output.filter(|count| *count > 0 || draft.text.is_empty());
        let charge = match draft.tokens.input.is_some() && draft.tokens.output.is_some() {
            true => Charge::Known(draft.tokens),
            false => Charge::Unknown,
        };
        let finish = draft.finish.as_deref().map(|word| (word, self.dialect.finish(word)));
        match (read, finish) {
            // What is whole is whole, whatever became of the connection after it.
            (_, Some(_)) => {}
            (Err(Broken::Garbage(text)), None) => {
                let message = format!("{place} answered with what is no JSON: {}", self.beginning(&text));
                return Err(Refusal {
                    last: true,
                    charge: Charge::Unknown,
                    ..Refusal::new(Cause::Down, message, "is `base_url` that of the API?")
                });
            }
            (Err(Broken::BadEvent(text)), None) => {
                let message = format!("the answer of {place} is broken at: {}", self.beginning(&text));
                return Err(Refusal::new(Cause::Down, message, "run it again").charged(Charge::Unknown));
            }
            (Err(Broken::TooLong), None) => {
                let message = format!("the answer of {place} does not end");
                let refusal = Refusal::new(Cause::Wrong, message, "is `base_url` that of the API?");
                return Err(refusal.charged(Charge::Unknown));
            }
            (Err(Broken::Io(error)), None) => {
                let timeout = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
                let refusal = match timeout {
                    Some(error @ ureq::Error::Timeout(_)) => self.unreached(error),
                    _ => {
                        let message = self.clean(&format!("the answer of {place} broke off: {error}"));
                        Refusal::new(Cause::Down, message, "run it again")
                    }
                };
                return Err(refusal.charged(Charge::Unknown));
            }
            (Ok(()), None) => {
                let message = format!("the answer of {place} ended before it was whole");
                return Err(Refusal::new(Cause::Down, message, "run it again").charged(Charge::Unknown));
            }
        }
        let unusable = |message: String, help: &str| {
            Err(Refusal {
                text: Some(draft.text.clone()).filter(|text| !text.is_empty()),
                finish: draft.finish.clone(),
                ..Refusal::new(Cause::Unusable, message, help).charged(charge)
            })
        };
        if !draft.refusal.is_empty() {
            return unusable(
                format!("the model refused: {}", self.clean(&draft.refusal)),
                "change the prompt, or take another model",
            );
        }
        match finish {
            Some((_, Finish::Cut)) => {
                return unusable(
                    "the answer was cut at the length limit".into(),
                    "raise `max_output_tokens`, or ask for less",
                );
            }
            Some((_, Finish::Filtered)) => {
                return unusable("a content filter held the answer back".into(), "change the prompt");
            }
            Some((_, Finish::Refused)) => {
                return unusable("the model refused".into(), "change the prompt, or take another model");
            }
            Some((word, Finish::Other)) => {
                return unusable(
                    format!("the answer ended with `{}`, not with a text", self.clean(word)),
                    "take `tools` and the like out of `extra`",
                );
            }
            Some((_, Finish::Whole)) | None => {}
        }
        if draft.text.trim().is_empty() && !draft.known {
            return unusable(
                format!("what {place} answered is no answer of this API"),
                "are `base_url` and `api` right?",
            );
        }
        if draft.text.trim().is_empty() {
            return unusable("the answer is empty".into(), "look at the prompt, or take another model");
        }
        Ok(Answer {
            text: draft.text,
            tokens: draft.tokens,
            model: draft.model,
            finish: draft.finish.filter(|word| !word.is_empty()),
        })
    }

    /// Sends a body that is not for a dialect's own path, and reads one JSON document.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        let mut response = self.send(path, body)?;
        let mut found = None;
        let read = stream::read::<Broken>(response.body_mut().as_reader(), false, &mut |piece| {
            if let Piece::Whole(value) = piece {
                found = Some(value);
            }
            Ok(false)
        });
        let draft = Draft { error: found.as_ref().and_then(error_in), ..Draft::default() };
        match found.filter(|_| read.is_ok() && draft.error.is_none()) {
            Some(value) => Ok(value),
            None => self.judge(draft, read).map(|_| Value::Null),
        }
    }
}

/// Whether a host has no address. The system's own words for it differ; the library's are the same.
fn is_unknown_host(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound => true,
        ureq::Error::Io(error) => error.to_string().contains("failed to lookup address"),
        _ => false,
    }
}

/// Lays `extra` over a body: tables into tables, all else in place of what is there.
fn merge(body: &mut Value, extra: &Vars) {
    fn lay(under: &mut Value, over: &Value) {
        match (under, over) {
            (Value::Object(under), Value::Object(over)) => {
                for (key, value) in over {
                    lay(under.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (under, over) => *under = over.clone(),
        }
    }
    let extra = Value::Object(extra.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
    lay(body, &extra);
}

/// What answers have and errors have not.
const ANSWERS: [&str; 3] = ["choices", "content", "message"];

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The error that a JSON document is, if it is one: its type or code, and its words.
fn error_in(value: &Value) -> Option<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match &value["error"] {
        // Some answers have a place for an error, with nothing in it.
        error if is_nothing(error) => match &value["detail"] {
            Value::String(words) if !ANSWERS.iter().any(|key| value.get(key).is_some()) => {
                Some((String::new(), words.clone()))
            }
            _ => None,
        },
        Value::String(words) => Some((String::new(), words.clone())),
        error => {
            let code = |value: &Value| value.as_u64().map_or_else(|| text(value), |code| code.to_string());
            let kind = ["code", "type"].iter().map(|key| code(&error[*key])).find(|kind| !kind.is_empty());
            Some((kind.unwrap_or_default(), text(&error["message"])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_are_found_in_every_servers_form() {
        let found = |value: Value| error_in(&value);
        let both = |kind: &str, words: &str| Some((kind.to_owned(), words.to_owned()));
        assert_eq!(found(json!({"error": {"code": "c", "type": "t", "message": "m"}})), both("c", "m"));
        assert_eq!(
            found(json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}})),
            both("overloaded_error", "m")
        );
        assert_eq!(found(json!({"error": "model not found"})), both("", "model not found"));
        assert_eq!(found(json!({"detail": "Not Found"})), both("", "Not Found"));
        assert_eq!(found(json!({"error": null, "choices": []})), None);
    }

    #[test]
    fn extra_is_laid_over_the_body() {
        let mut body = json!({"model": "m", "options": {"seed": 1, "num_ctx": 4096}});
        let extra: Vars =
            serde_json::from_value(json!({"options": {"num_ctx": 8192}, "top_p": 0.5})).expect("vars");
        merge(&mut body, &extra);
        assert_eq!(body, json!({"model": "m", "options": {"seed": 1, "num_ctx": 8192}, "top_p": 0.5}));
    }
}
