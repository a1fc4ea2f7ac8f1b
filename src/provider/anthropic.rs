//! Messages, as Anthropic speaks them. (Anthropic API reference, "Messages", "Streaming", "Prompt
//! caching".)

use serde_json::{Value, json};

use super::http::{Dialect, Draft, Finish};
use crate::context::stable_prefix;
use crate::request::Request;
use crate::spec::Provider;

/// The version of the API that this file speaks.
const VERSION: &str = "2023-06-01";

pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn path(&self) -> &'static str {
        "messages"
    }

    fn head(&self, _: &Provider, key: Option<&str>) -> Vec<(&'static str, String)> {
        let mut head = vec![("anthropic-version", VERSION.to_owned())];
        head.extend(key.map(|key| ("x-api-key", key.to_owned())));
        head
    }

    fn body(&self, provider: &Provider, request: &Request) -> Value {
        let text = |text: &str| json!({"type": "text", "text": text});
        let kept = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
        let (system, messages): (Vec<_>, Vec<_>) =
            request.messages.iter().partition(|message| message.role == "system");
        let messages = messages.iter().map(|message| {
            // What every task of a project begins with is worth keeping on the other side.
            let content = match stable_prefix(&message.content) {
                0 => json!([text(&message.content)]),
                at => json!([kept(&message.content[..at]), text(&message.content[at..])]),
            };
            json!({"role": message.role, "content": content})
        });
        let mut body = json!({
            "model": request.model,
            "max_tokens": request.number("max_output_tokens").unwrap_or(2000.into()),
            "messages": messages.collect::<Vec<_>>(),
        });
        if !system.is_empty() {
            body["system"] = system.iter().map(|message| kept(&message.content)).collect();
        }
        if let Some(value) = request.number("temperature") {
            body["temperature"] = value;
        }
        if provider.stream {
            body["stream"] = true.into();
        }
        body
    }

    fn event(&self, draft: &mut Draft, event: &Value) -> bool {
        match event["type"].as_str() {
            Some("message_start") => take_head(draft, &event["message"]),
            Some("content_block_start") => {
                draft.text.push_str(event["content_block"]["text"].as_str().unwrap_or_default());
            }
            Some("content_block_delta") => {
                draft.text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
            }
            Some("message_delta") => {
                take_end(draft, &event["delta"]);
                take_usage(draft, &event["usage"]);
            }
            Some("message_stop") => return false,
            _ => {}
        }
        true
    }

    fn whole(&self, draft: &mut Draft, answer: &Value) {
        take_head(draft, answer);
        for block in answer["content"].as_array().into_iter().flatten() {
            draft.text.push_str(block["text"].as_str().unwrap_or_default());
        }
        take_end(draft, answer);
    }

    fn finish(&self, word: &str) -> Finish {
        match word {
            "end_turn" | "stop_sequence" | "" => Finish::Whole,
            "max_tokens" | "model_context_window_exceeded" => Finish::Cut,
            "refusal" => Finish::Refused,
            _ => Finish::Other,
        }
    }
}

fn take_head(draft: &mut Draft, message: &Value) {
    draft.known |= message["content"].is_array() || message["model"].is_string();
    draft.model = message["model"].as_str().unwrap_or_default().to_owned();
    take_usage(draft, &message["usage"]);
}

fn take_end(draft: &mut Draft, end: &Value) {
    if let Some(word) = end["stop_reason"].as_str().filter(|word| !word.is_empty()) {
        draft.finish = Some(word.to_owned());
    }
}

/// Counts are sums so far. `input_tokens` leaves out what came from or went into the cache.
fn take_usage(draft: &mut Draft, usage: &Value) {
    let count = |name: &str| usage[name].as_u64();
    let tokens = &mut draft.tokens;
    if let Some(input) = count("input_tokens") {
        tokens.cached = count("cache_read_input_tokens").unwrap_or(tokens.cached);
        tokens.written = count("cache_creation_input_tokens").unwrap_or(tokens.written);
        tokens.input = Some(input.saturating_add(tokens.cached).saturating_add(tokens.written));
    }
    tokens.output = count("output_tokens").or(tokens.output);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_make_an_answer() {
        let mut draft = Draft::default();
        let events = [
            json!({"type": "message_start", "message": {"model": "m-1", "content": [],
                "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hel"}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "lo"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}}),
        ];
        assert!(events.iter().all(|event| Anthropic.event(&mut draft, event)));
        assert!(!Anthropic.event(&mut draft, &json!({"type": "message_stop"})));
        assert_eq!(
            (draft.text.as_str(), draft.model.as_str(), draft.finish.as_deref()),
            ("Hello", "m-1", Some("end_turn"))
        );
        let tokens = draft.tokens;
        assert_eq!(
            (tokens.input, tokens.cached, tokens.written, tokens.output),
            (Some(125), 100, 20, Some(12))
        );
    }
}
