//! Chat completions, as OpenAI and many servers speak it: one call, one JSON answer.

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
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .timeout_global(Some(self.0.timeout))
                .max_redirects(0)
                .http_status_as_error(false)
                .build(),
        );
        let body = body(request);
        let mut tries = 0;
        loop {
            match self.once(&agent, &body, began) {
                Ok(answer) => return Ok(answer),
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
}

impl OpenAi<'_> {
    fn once(&self, agent: &ureq::Agent, body: &Value, began: Instant) -> Result<Answer, Fault> {
        let url = format!("{}/chat/completions", self.0.base_url);
        let key = key(self.0);
        let mut call = agent.post(&url).header("accept", "application/json");
        if let Some(key) = &key {
            call = call.header("authorization", format!("Bearer {key}"));
        }
        let clean = |text: String| match &key {
            Some(key) => text.replace(key.as_str(), "[key]"),
            None => text,
        };
        let mut response = call.send_json(body).map_err(|error| {
            let message = clean(format!("{} did not answer: {error}", self.0.base_url));
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
                let message = clean(format!("the answer of {} broke off: {error}", self.0.base_url));
                Fault::Passing(Refusal::new(message, "run it again"), None)
            })?;
        if status != 200 {
            return Err(self.refused(status, after, &clean(text)));
        }
        answer(&text, began)
            .map_err(|refusal| Fault::Lasting(Refusal { message: clean(refusal.message), ..refusal }))
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
}
