//! Ollama's own `/api/chat`: lines of JSON. (Ollama's `docs/api.md`.)

use serde_json::{Value, json};

use super::http::{Dialect, Draft, Finish};
use crate::request::Request;
use crate::spec::Provider;

pub(super) struct Ollama;

impl Dialect for Ollama {
    fn path(&self) -> &'static str {
        "api/chat"
    }

    fn head(&self, _: &Provider, key: Option<&str>) -> Vec<(&'static str, String)> {
        key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
    }

    fn body(&self, provider: &Provider, request: &Request) -> Value {
        let messages = request.messages.iter().map(|m| json!({"role": m.role, "content": m.content}));
        let mut options = json!({"num_ctx": window(request)});
        for (ours, theirs) in
            [("temperature", "temperature"), ("max_output_tokens", "num_predict"), ("seed", "seed")]
        {
            if let Some(value) = request.number(ours) {
                options[theirs] = value;
            }
        }
        json!({
            "model": request.model,
            "messages": messages.collect::<Vec<_>>(),
            "stream": provider.stream,
            "options": options,
        })
    }

    fn in_lines(&self) -> bool {
        true
    }

    fn event(&self, draft: &mut Draft, event: &Value) -> bool {
        draft.known |= event["message"].is_object() || event["done"].is_boolean();
        draft.text.push_str(event["message"]["content"].as_str().unwrap_or_default());
        if let Some(model) = event["model"].as_str() {
            draft.model = model.to_owned();
        }
        let done = event["done"] == true;
        if done {
            // Older servers give no reason.
            draft.finish = Some(event["done_reason"].as_str().unwrap_or("stop").to_owned());
            draft.tokens.input = event["prompt_eval_count"].as_u64();
            draft.tokens.output = event["eval_count"].as_u64();
        }
        !done
    }

    fn whole(&self, draft: &mut Draft, answer: &Value) {
        self.event(draft, answer);
    }

    fn finish(&self, word: &str) -> Finish {
        match word {
            "stop" => Finish::Whole,
            "length" => Finish::Cut,
            _ => Finish::Other,
        }
    }
}

/// A window that request and answer fit into. Without one Ollama takes a small one of its own and cuts
/// the beginning of what does not fit, silently. From the request alone, so that the same request
/// always has the same one: three bytes a token are more tokens than any text has that is worth reading.
fn window(request: &Request) -> u64 {
    let bytes: usize = request.messages.iter().map(|message| message.content.len()).sum();
    let answer = request.number("max_output_tokens").and_then(|value| value.as_u64()).unwrap_or_default();
    (bytes as u64 / 3 + answer + 64).next_power_of_two().max(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_make_an_answer() {
        let mut draft = Draft::default();
        assert!(
            Ollama.event(&mut draft, &json!({"model": "m", "message": {"content": "Hel"}, "done": false}))
        );
        assert!(
            Ollama.event(&mut draft, &json!({"model": "m", "message": {"content": "lo"}, "done": false}))
        );
        let last = json!({"model": "m", "message": {"content": ""}, "done": true, "done_reason": "stop",
            "prompt_eval_count": 26, "eval_count": 3});
        assert!(!Ollama.event(&mut draft, &last));
        assert_eq!((draft.text.as_str(), draft.finish.as_deref()), ("Hello", Some("stop")));
        assert_eq!((draft.tokens.input, draft.tokens.output), (Some(26), Some(3)));
    }
}
