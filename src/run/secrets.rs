//! Secrets in what is about to be sent: told by the item that they stand in, never by their text.

use crate::request::Assembled;
use crate::text::Redactor;

/// What in a request should perhaps not be sent, a line each: where, and what it looks like.
pub(super) fn secrets_in(assembled: &Assembled, redactor: &Redactor) -> Vec<String> {
    let mut lines = Vec::new();
    for message in &assembled.request.messages {
        for secret in redactor.secrets(&message.content) {
            let holder = assembled.bundle.items.iter().find(|item| item.text.contains(secret.text));
            let place = match (holder, message.role) {
                (Some(item), _) => item.item.to_string(),
                (None, "system") => "the system message".to_owned(),
                (None, _) => "the prompt".to_owned(),
            };
            let line = format!("{place} holds {}", secret.looks_like);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}
