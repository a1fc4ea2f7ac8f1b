//! Chat completions and embeddings, as OpenAI and many servers speak them.
//! (OpenAI API reference, "Chat" and "Embeddings".)

use serde_json::{Value, json};

use super::http::{Dialect, Draft, Finish, Http};
use crate::model::{Cause, Charge, Refusal};
use crate::request::Request;
use crate::spec::Provider;

pub(super) struct OpenAi;

impl Dialect for OpenAi {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn head(&self, provider: &Provider, key: Option<&str>) -> Vec<(&'static str, String)> {
        // Azure's deployments have a version in the query and want the key in a line of its own.
        let azure = provider.base_url.contains("api-version=");
        let key = key.map(|key| match azure {
            true => ("api-key", key.to_owned()),
            false => ("authorization", format!("Bearer {key}")),
        });
        key.into_iter().collect()
    }

    fn body(&self, provider: &Provider, request: &Request) -> Value {
        let messages = request.messages.iter().map(|m| json!({"role": m.role, "content": m.content}));
        let mut body = json!({"model": request.model, "messages": messages.collect::<Vec<_>>()});
        // OpenAI's newer models refuse the old name; other servers do not know the new one.
        let host = provider.host();
        let limit = match provider.is_public() || host.ends_with(".azure.com") {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        for (ours, theirs) in [("temperature", "temperature"), ("max_output_tokens", limit), ("seed", "seed")]
        {
            if let Some(value) = request.number(ours) {
                body[theirs] = value;
            }
        }
        if provider.stream {
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    fn event(&self, draft: &mut Draft, event: &Value) -> bool {
        take(draft, event, "delta");
        true
    }

    fn whole(&self, draft: &mut Draft, answer: &Value) {
        take(draft, answer, "message");
    }

    fn finish(&self, word: &str) -> Finish {
        match word {
            "stop" | "" | "eos" | "end_turn" => Finish::Whole,
            "length" | "max_tokens" => Finish::Cut,
            "content_filter" => Finish::Filtered,
            _ => Finish::Other,
        }
    }
}

/// Takes in one chunk of a stream, or a whole answer; their forms differ in one word.
fn take(draft: &mut Draft, value: &Value, part: &str) {
    let choices = value["choices"].as_array().map_or(&[][..], Vec::as_slice);
    // Of several answers the first is meant, wherever its pieces stand.
    let first = choices.iter().find(|choice| choice["index"].as_u64().unwrap_or_default() == 0);
    draft.known |= value["choices"].is_array();
    let choice = first.unwrap_or(&Value::Null);
    match &choice[part]["content"] {
        Value::String(text) => draft.text.push_str(text),
        // Some servers give an answer in parts.
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).for_each(|text| draft.text.push_str(text));
        }
        _ => {}
    }
    if let Some(text) = choice[part]["refusal"].as_str() {
        draft.refusal.push_str(text);
    }
    if let Some(word) = choice["finish_reason"].as_str().filter(|word| !word.is_empty()) {
        draft.finish = Some(word.to_owned());
    }
    if let Some(model) = value["model"].as_str().filter(|model| !model.is_empty()) {
        draft.model = model.to_owned();
    }
    let usage = &value["usage"];
    if usage.is_object() {
        let count = |value: &Value| value.as_u64();
        draft.tokens.input = count(&usage["prompt_tokens"]).or(draft.tokens.input);
        draft.tokens.output = count(&usage["completion_tokens"]).or(draft.tokens.output);
        draft.tokens.cached =
            count(&usage["prompt_tokens_details"]["cached_tokens"]).unwrap_or(draft.tokens.cached);
        draft.tokens.reasoning =
            count(&usage["completion_tokens_details"]["reasoning_tokens"]).unwrap_or(draft.tokens.reasoning);
    }
}

/// The vectors of some texts, few enough for one call, in their order.
pub(super) fn embed(http: &Http<'_>, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
    let answer = http.post("embeddings", &json!({"model": model, "input": texts}))?;
    embeddings(&answer, texts.len())
}

/// Reads vectors: as many as were asked for, each at its place.
fn embeddings(value: &Value, wanted: usize) -> Result<Vec<Vec<f32>>, Refusal> {
    let wrong = |what: &str| {
        Refusal::new(Cause::Wrong, format!("the embeddings {what}"), "is `base_url` right?")
            .charged(Charge::Unknown)
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_an_answer() {
        let mut draft = Draft::default();
        for chunk in [
            json!({"model": "m-1", "choices": [{"delta": {"role": "assistant", "content": null}, "finish_reason": null}]}),
            json!({"choices": [{"delta": {"content": "Hel"}}]}),
            json!({"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 1}}}),
        ] {
            assert!(OpenAi.event(&mut draft, &chunk));
        }
        assert_eq!(
            (draft.text.as_str(), draft.model.as_str(), draft.finish.as_deref()),
            ("Hello", "m-1", Some("stop"))
        );
        let tokens = draft.tokens;
        assert_eq!((tokens.input, tokens.output, tokens.cached, tokens.reasoning), (Some(9), Some(2), 4, 1));
    }

    #[test]
    fn vectors_come_at_their_places_or_not_at_all() {
        let check = |value: Value, expected: Result<Vec<Vec<f32>>, &str>| {
            let found = embeddings(&value, 2);
            assert_eq!(
                found.as_ref().map_err(|refusal| refusal.message.as_str()),
                expected.as_ref().map_err(|e| *e)
            );
        };
        check(
            json!({"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2.5]}]}),
            Ok(vec![vec![1.0, 2.5], vec![3.0, 4.0]]),
        );
        check(json!({"data":[{"embedding":[1]}]}), Err("the embeddings are fewer than were asked for"));
        check(
            json!({"data":[{"index":7,"embedding":[1]}]}),
            Err("the embeddings are more than were asked for"),
        );
        check(json!({"data":[{"embedding":["x"]}]}), Err("the embeddings are no lists of numbers"));
        check(json!({}), Err("the embeddings have no `data`"));
    }
}
