//! Chat completions and embeddings, as OpenAI and many servers speak them: one call, one JSON answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::diag::Error;
use crate::model::{Answer, Model, Refusal};
use crate::request::Request;
use crate::spec::Provider;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct OpenAi<'a>(pub &'a Provider);

/// The key, where a server wants one. Servers on this machine often do not.
fn key(provider: &Provider) -> Option<String> {
    std::env::var(&provider.api_key_env).ok().filter(|key| !key.is_empty())
}

pub(super) fn check(provider: &Provider) -> Result<(), Error> {
    if !provider.base_url.starts_with("http://") && !provider.base_url.starts_with("https://") {
        return Err(Error::invalid(format!(
            "the base_url `{}` of the provider `{}` is no URL",
            provider.base_url, provider.name
        ))
        .help("write it as \"https://host/v1\""));
    }
    if provider.base_url.starts_with("https://api.openai.com/") && key(provider).is_none() {
        return Err(Error::invalid(format!(
            "no key for the provider `{}`: {} is not set",
            provider.name, provider.api_key_env
        ))
        .help(format!("set {} in the environment, or choose another provider", provider.api_key_env)));
    }
    Ok(())
}

/// The body as it is sent.
fn body(request: &Request) -> Value {
    let number =
        |name: &str| request.parameter(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut body = json!({
        "model": request.model,
        "messages": request.messages.iter().map(|m| json!({"role": m.role, "content": m.content})).collect::<Vec<_>>(),
    });
    for (ours, theirs) in
        [("temperature", "temperature"), ("max_output_tokens", "max_tokens"), ("seed", "seed")]
    {
        if let Some(value) = number(ours) {
            body[theirs] = value;
        }
    }
    body
}

enum Fault {
    /// It may go better next time, after this pause if the server named one.
    Passing(Refusal, Option<Duration>),
    Lasting(Refusal),
}

impl Model for OpenAi<'_> {
    fn ask(&self, request: &Request) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let text = self.post("chat/completions", &body(request))?;
        answer(&text, began).map_err(|refusal| Refusal { message: self.clean(refusal.message), ..refusal })
    }
}

impl OpenAi<'_> {
    /// The vectors of some texts, few enough for one call, in their order.
    pub(super) fn embed(&self, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        let text = self.post("embeddings", &json!({"model": model, "input": texts}))?;
        embeddings(&text, texts.len())
    }

    /// Sends a body and gives the answer's text; what may pass is tried again.
    fn post(&self, path: &str, body: &Value) -> Result<String, Refusal> {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .timeout_global(Some(self.0.timeout))
                .max_redirects(0)
                .http_status_as_error(false)
                .build(),
        );
        let mut tries = 0;
        loop {
            match self.once(&agent, path, body) {
                Ok(text) => return Ok(text),
                Err(Fault::Lasting(refusal)) => return Err(refusal),
                Err(Fault::Passing(refusal, _)) if tries >= self.0.retries => {
                    let message = format!("{}, {} times", refusal.message, tries + 1);
                    return Err(Refusal { message, ..refusal });
                }
                Err(Fault::Passing(_, pause)) => {
                    let backoff = Duration::from_millis(500 << tries.min(7));
                    std::thread::sleep(pause.unwrap_or(backoff).min(LONGEST_PAUSE));
                    tries += 1;
                }
            }
        }
    }

    /// A text without the key, should a server send it back.
    fn clean(&self, text: String) -> String {
        match key(self.0) {
            Some(key) => text.replace(key.as_str(), "[key]"),
            None => text,
        }
    }

    fn once(&self, agent: &ureq::Agent, path: &str, body: &Value) -> Result<String, Fault> {
        let url = format!("{}/{path}", self.0.base_url);
        let mut call = agent.post(&url).header("accept", "application/json");
        if let Some(key) = key(self.0) {
            call = call.header("authorization", format!("Bearer {key}"));
        }
        let mut response = call.send_json(body).map_err(|error| {
            let message = self.clean(format!("{} did not answer: {error}", self.0.base_url));
            Fault::Passing(Refusal::new(message, "is the server up, and `base_url` right?"), None)
        })?;
        let status = response.status().as_u16();
        let after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<f64>().ok());
        let text =
            response.body_mut().with_config().limit(64 * 1024 * 1024).read_to_string().map_err(|error| {
                let message = self.clean(format!("the answer of {} broke off: {error}", self.0.base_url));
                Fault::Passing(Refusal::new(message, "run it again"), None)
            })?;
        if status != 200 {
            return Err(self.refused(status, after, &self.clean(text)));
        }
        Ok(text)
    }

    fn refused(&self, status: u16, after: Option<f64>, text: &str) -> Fault {
        let said = serde_json::from_str::<Value>(text)
            .ok()
            .and_then(|value| value["error"]["message"].as_str().map(str::to_owned))
            .unwrap_or_else(|| text.chars().take(300).collect());
        let message = format!("{} answered {status}: {said}", self.0.base_url);
        let out_of_quota = text.contains("insufficient_quota") || text.contains("billing");
        let help = match status {
            401 | 403 => format!("check the key in {}", self.0.api_key_env),
            404 => "check `base_url` and the model's `name`".into(),
            413 => "lower the context's `budget`".into(),
            429 if out_of_quota => "the quota is used up; look at the account".into(),
            429 => "lower `concurrency`, or wait".into(),
            _ => "run it again, or choose another provider".into(),
        };
        let refusal = Refusal::new(message, help);
        if (matches!(status, 408 | 409 | 429) && !out_of_quota) || status >= 500 {
            let pause = after.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            Fault::Passing(refusal, pause.map(|seconds| Duration::from_secs_f64(seconds.min(3600.0))))
        } else {
            Fault::Lasting(refusal)
        }
    }
}

/// Reads vectors: as many as were asked for, each at its place.
fn embeddings(text: &str, wanted: usize) -> Result<Vec<Vec<f32>>, Refusal> {
    let wrong = |what: &str| Refusal::new(format!("the embeddings {what}"), "is `base_url` right?");
    let value: Value = serde_json::from_str(text).map_err(|_| wrong("are no JSON"))?;
    let data = value["data"].as_array().ok_or_else(|| wrong("have no `data`"))?;
    let mut vectors = vec![Vec::new(); wanted];
    for (at, entry) in data.iter().enumerate() {
        let place = entry["index"].as_u64().map_or(at, |index| index as usize);
        let numbers = entry["embedding"].as_array().ok_or_else(|| wrong("are no lists of numbers"))?;
        let vector: Option<Vec<f32>> = numbers
            .iter()
            .map(|number| number.as_f64().map(|number| number as f32).filter(|number| number.is_finite()))
            .collect();
        *vectors.get_mut(place).ok_or_else(|| wrong("are more than were asked for"))? =
            vector.ok_or_else(|| wrong("are no lists of numbers"))?;
    }
    if vectors.iter().any(Vec::is_empty) {
        return Err(wrong("are fewer than were asked for"));
    }
    Ok(vectors)
}

/// Reads an answer; one that was cut, refused or filtered is none.
fn answer(text: &str, began: Instant) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Refusal::new(format!("the answer is no JSON: {error}"), "is `base_url` right?"))?;
    let choice = &value["choices"][0];
    if let Some(refusal) = choice["message"]["refusal"].as_str().filter(|text| !text.is_empty()) {
        return Err(Refusal::new(format!("the model refused: {refusal}"), "change the prompt"));
    }
    match choice["finish_reason"].as_str() {
        Some("length") => {
            return Err(Refusal::new(
                "the answer was cut at the length limit",
                "raise `max_output_tokens`, or ask for less",
            ));
        }
        Some("content_filter") => {
            return Err(Refusal::new("a content filter held the answer back", "change the prompt"));
        }
        _ => {}
    }
    let Some(content) = choice["message"]["content"].as_str() else {
        return Err(Refusal::new("the answer has no text", "is `base_url` that of a chat completions API?"));
    };
    Ok(Answer {
        text: content.to_owned(),
        tokens_in: value["usage"]["prompt_tokens"].as_u64(),
        tokens_out: value["usage"]["completion_tokens"].as_u64(),
        model: value["model"].as_str().unwrap_or_default().to_owned(),
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = answer(text, Instant::now());
        let found =
            found.as_ref().map(|answer| answer.text.as_str()).map_err(|refusal| refusal.message.as_str());
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_whole_answer_is_an_answer() {
        check(r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#, Ok("hi"));
        check(
            r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"length"}]}"#,
            Err("the answer was cut at the length limit"),
        );
        check(
            r#"{"choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}"#,
            Err("the model refused: no"),
        );
        check(r#"{"choices":[]}"#, Err("the answer has no text"));
    }

    #[test]
    fn vectors_come_at_their_places_or_not_at_all() {
        let check = |text: &str, expected: Result<Vec<Vec<f32>>, &str>| {
            let found = embeddings(text, 2);
            assert_eq!(
                found.as_ref().map_err(|refusal| refusal.message.as_str()),
                expected.as_ref().map_err(|e| *e)
            );
        };
        check(
            r#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2.5]}]}"#,
            Ok(vec![vec![1.0, 2.5], vec![3.0, 4.0]]),
        );
        check(r#"{"data":[{"embedding":[1]}]}"#, Err("the embeddings are fewer than were asked for"));
        check(
            r#"{"data":[{"index":7,"embedding":[1]}]}"#,
            Err("the embeddings are more than were asked for"),
        );
        check(r#"{"data":[{"embedding":["x"]}]}"#, Err("the embeddings are no lists of numbers"));
        check("<html>", Err("the embeddings are no JSON"));
    }
}
