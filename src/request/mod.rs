//! Bundle to [`Request`]: the bytes that decide an answer, their digest, and the parts that explain it.
//!
//! One walk ([`build`]) makes both the bytes and the parts, so that hash and explanation cannot
//! disagree. What is in the key, and what is not:
//!
//! | value | in the key | why |
//! | --- | --- | --- |
//! | rendered messages | yes | they are what the provider reads: items, prompt, title, revisions, templates |
//! | runner | yes | a template's output is not a model's |
//! | provider's api | yes | the same messages mean another request to another api |
//! | model's name, temperature, max_output_tokens, seed | yes | they change the answer |
//! | argv of `run = […]` | yes | it is the program that answers |
//! | the task's id | only for programs | they are told it by `MEU_TASK`; nobody else sees it |
//! | provider's name, base URL, `command` line | no | the same model behind another address is the same model |
//! | keys, timeout, retries, concurrency, limits, prices | no | they change how an answer is got, not which |
//! | file names of templates, machine paths, times | no | moving a project asks nobody |
//! | tiers, forms, references of items | through the messages | a template that does not show them does not depend on them |
//! | links, priority, tags | no | they order and select; what they bring in is in the messages |
//! | meu's version | no | a new meu that sends the same bytes asks nobody |

mod build;
mod join;
mod reason;
mod template;

use serde::{Deserialize, Serialize};

pub use build::{Assembled, Scene, build, parameters};
pub use reason::{Change, Kind, Reason, compare, in_one_line};
pub use template::Templates;

use crate::context::Form;
use crate::digest::{Digest, Framer};

/// A message of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system` or `user`.
    pub role: &'static str,
    /// The text.
    pub content: String,
}

/// What is sent: all that decides an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// The runner's word.
    pub runner: &'static str,
    /// The provider's api, where a provider is asked.
    pub api: Option<&'static str>,
    /// The model's name.
    pub model: String,
    /// The parameters, by name, each as it is sent.
    pub parameters: Vec<(&'static str, String)>,
    /// The messages.
    pub messages: Vec<Message>,
    /// The program that answers, with its arguments.
    pub argv: Vec<String>,
    /// The task's id, where the program is told it.
    pub task: Option<String>,
}

impl Request {
    /// The digest: BLAKE3 over a versioned encoding in which every field stands behind its length.
    pub fn digest(&self) -> Digest {
        let mut framer = Framer::new("meu request v1");
        framer.field(self.runner).maybe(self.api).field(&self.model);
        framer.count(self.parameters.len());
        for (name, value) in &self.parameters {
            framer.field(name).field(value);
        }
        framer.count(self.messages.len());
        for message in &self.messages {
            framer.field(message.role).field(&message.content);
        }
        framer.count(self.argv.len());
        for argument in &self.argv {
            framer.field(argument);
        }
        framer.maybe(self.task.as_ref());
        framer.finish()
    }

    /// All messages as one text, for programs and for people.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.messages.iter().map(|message| message.content.as_str()).collect();
        texts.join("\n\n")
    }

    /// A parameter's value, where it is a number.
    pub fn number(&self, name: &str) -> Option<serde_json::Value> {
        self.parameter(name).and_then(|text| serde_json::from_str(text).ok())
    }

    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The digests of a request's parts, as they are recorded to explain a later change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The prompt with its title and revisions, items in place by name only.
    pub prompt: Digest,
    /// Runner, api, model, parameters, argv.
    pub model: Digest,
    /// The templates around prompt and items.
    pub template: Digest,
    /// The items as they are sent, in order.
    pub items: Vec<PartItem>,
}

impl Parts {
    /// A digest of all of it.
    pub fn digest(&self) -> Digest {
        let mut framer = Framer::new("meu parts v1");
        framer.field(self.prompt.as_bytes()).field(self.model.as_bytes()).field(self.template.as_bytes());
        framer.count(self.items.len());
        for item in &self.items {
            framer.field(&item.item).field(&item.tier).field(item.form.word()).field(item.digest.as_bytes());
        }
        framer.finish()
    }
}

/// One item of [`Parts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartItem {
    /// The reference.
    #[serde(rename = "ref")]
    pub item: String,
    /// The tier's word.
    pub tier: String,
    /// The form.
    pub form: Form,
    /// The digest of the text as it is sent.
    pub digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            runner: "model",
            api: Some("openai"),
            model: "m".into(),
            parameters: vec![("temperature", "0".into())],
            messages: vec![Message { role: "user", content: "hello".into() }],
            argv: Vec::new(),
            task: None,
        }
    }

    fn changed(change: impl Fn(&mut Request)) -> bool {
        let mut other = request();
        change(&mut other);
        other.digest() != request().digest()
    }

    #[test]
    fn every_field_is_in_the_key() {
        assert!(changed(|r| r.runner = "template"));
        assert!(changed(|r| r.api = None));
        assert!(changed(|r| r.model = "n".into()));
        assert!(changed(|r| r.parameters[0].1 = "1".into()));
        assert!(changed(|r| r.parameters.clear()));
        assert!(changed(|r| r.messages[0].content.push(' ')));
        assert!(changed(|r| r.messages[0].role = "system"));
        assert!(changed(|r| r.argv.push("x".into())));
        assert!(changed(|r| r.task = Some(String::new())));
        assert!(!changed(|_| ()));
    }

    #[test]
    fn the_encoding_is_pinned() {
        // Each field behind its length in 8 bytes, little endian; written out here by hand.
        let mut bytes: Vec<u8> = Vec::new();
        let mut field = |text: &[u8]| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text);
        };
        let (none, one) = (0u64.to_le_bytes(), 1u64.to_le_bytes());
        field(b"meu request v1");
        field(b"model");
        field(&one);
        field(b"openai");
        field(b"m");
        field(&one);
        field(b"temperature");
        field(b"0");
        field(&one);
        field(b"user");
        field(b"hello");
        field(&none);
        field(&none);
        assert_eq!(request().digest(), Digest::of(&bytes));
    }
}
