//! Secrets in what is about to be sent: told by the item that they stand in, never by their text.

use crate::request::Request;
use crate::text::Redactor;

/// What in a request should perhaps not be sent, a line each: where, and what it looks like. `texts` are
/// the items by their references.
pub(super) fn secrets_in(request: &Request, texts: &[(String, String)], redactor: &Redactor) -> Vec<String> {
    let mut lines = Vec::new();
    let extra = request.parameter("extra").map(|extra| ("extra", extra));
    let messages = request.messages.iter().map(|message| (message.role, message.content.as_str()));
    for (role, text) in messages.chain(extra) {
        for secret in redactor.secrets(text) {
            let holder = texts.iter().find(|(_, text)| text.contains(secret.text));
            let place = match (holder, role) {
                (_, "extra") => "the provider's `extra`",
                (Some((item, _)), _) => item,
                (None, "system") => "the system message",
                (None, "assistant") => "the answer that is sent back",
                (None, _) => "the prompt",
            };
            let line = format!("{place} holds {}", secret.looks_like);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}
