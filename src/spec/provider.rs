//! `[providers.*]`: who answers, where, how much of it at once, and what it costs.

use std::time::Duration;

use serde_json::Value as Json;

use super::keys::Keys;
use super::{At, Vars};
use crate::diag::{Diagnostic, Sink};

/// The protocol that a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderApi {
    /// Chat completions, as OpenAI and many servers speak it.
    OpenAi,
    /// Messages, as Anthropic speaks it.
    Anthropic,
    /// Ollama's own `/api/chat`.
    Ollama,
    /// A program: the request on stdin, the answer on stdout.
    Command,
    /// The built-in drafter.
    Offline,
}

impl ProviderApi {
    /// All of them.
    pub const ALL: [ProviderApi; 5] = [
        ProviderApi::OpenAi,
        ProviderApi::Anthropic,
        ProviderApi::Ollama,
        ProviderApi::Command,
        ProviderApi::Offline,
    ];

    /// The api as it is written.
    pub fn word(self) -> &'static str {
        match self {
            ProviderApi::OpenAi => "openai",
            ProviderApi::Anthropic => "anthropic",
            ProviderApi::Ollama => "ollama",
            ProviderApi::Command => "command",
            ProviderApi::Offline => "offline",
        }
    }

    /// Whether requests go over HTTP.
    pub fn is_http(self) -> bool {
        matches!(self, ProviderApi::OpenAi | ProviderApi::Anthropic | ProviderApi::Ollama)
    }

    /// Whether the api has a seed to set.
    pub fn has_seed(self) -> bool {
        self != ProviderApi::Anthropic
    }

    /// Where the api is unless a project says otherwise.
    fn usual_url(self) -> &'static str {
        match self {
            ProviderApi::OpenAi => "https://api.openai.com/v1",
            ProviderApi::Anthropic => "https://api.anthropic.com/v1",
            ProviderApi::Ollama => "http://127.0.0.1:11434",
            ProviderApi::Command | ProviderApi::Offline => "",
        }
    }

    /// The host of the api's public service.
    fn public_host(self) -> &'static str {
        match self {
            ProviderApi::OpenAi => "api.openai.com",
            ProviderApi::Anthropic => "api.anthropic.com",
            ProviderApi::Ollama => "ollama.com",
            ProviderApi::Command | ProviderApi::Offline => "",
        }
    }

    /// The variable that usually holds the api's key.
    pub fn usual_key(self) -> &'static str {
        match self {
            ProviderApi::OpenAi => "OPENAI_API_KEY",
            ProviderApi::Anthropic => "ANTHROPIC_API_KEY",
            ProviderApi::Ollama => "OLLAMA_API_KEY",
            ProviderApi::Command | ProviderApi::Offline => "",
        }
    }
}

/// What a million tokens cost, in the currency of the bill.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// A million tokens of requests.
    pub input: f64,
    /// A million tokens of answers.
    pub output: f64,
    /// A million tokens of requests that the provider found in its cache.
    pub cached_input: f64,
    /// A million tokens of requests that the provider put into its cache.
    pub cache_write: f64,
}

/// One `[providers.NAME]` table, with defaults.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Where it is declared; built-in ones have no place.
    pub declared: Option<At<String>>,
    /// The protocol.
    pub api: ProviderApi,
    /// Where the HTTP API is, without a slash at its end.
    pub base_url: String,
    /// The environment variable that holds the key.
    pub api_key_env: String,
    /// A program that prints the key, in place of the variable.
    pub key_command: Vec<String>,
    /// The program, for `api = "command"`.
    pub command: Vec<String>,
    /// The model for tasks that name none, and where this provider stands in for another.
    pub model: String,
    /// What is merged into the body of every call.
    pub extra: Vars,
    /// Providers that are asked when this one is down or out of quota, in order.
    pub fallback: Vec<At<String>>,
    /// Whether answers are asked for piece by piece.
    pub stream: bool,
    /// Calls under way at once.
    pub concurrency: usize,
    /// Requests a minute, if limited.
    pub requests_per_minute: Option<usize>,
    /// Tokens a minute, if limited.
    pub tokens_per_minute: Option<usize>,
    /// The longest that connecting may take.
    pub connect_timeout: Duration,
    /// The longest that a server may be silent.
    pub read_timeout: Duration,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// How often a call is tried again.
    pub retries: usize,
    /// The price, if it is known.
    pub price: Option<Price>,
}

impl Provider {
    /// The built-in provider of an api.
    pub fn built_in(api: ProviderApi) -> Self {
        Provider {
            name: api.word().to_owned(),
            declared: None,
            api,
            base_url: api.usual_url().to_owned(),
            api_key_env: api.usual_key().to_owned(),
            key_command: Vec::new(),
            command: Vec::new(),
            model: String::new(),
            extra: Vars::new(),
            fallback: Vec::new(),
            stream: true,
            concurrency: 8,
            requests_per_minute: None,
            tokens_per_minute: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(120),
            timeout: Duration::from_secs(600),
            retries: 4,
            price: (api == ProviderApi::Offline).then(Price::default),
        }
    }

    /// The model that is asked where a task names `wanted`.
    pub fn model_for<'a>(&'a self, wanted: &'a str) -> &'a str {
        if wanted.is_empty() { &self.model } else { wanted }
    }

    /// The host that requests go to.
    pub fn host(&self) -> &str {
        host(&self.base_url)
    }

    /// Whether requests go to the api's public service.
    pub fn is_public(&self) -> bool {
        self.base_url.starts_with("https://") && self.host() == self.api.public_host()
    }

    /// Whether requests stay on this machine.
    pub fn is_loopback(&self) -> bool {
        is_this_machine(self.host())
    }

    /// Whether a key goes where its name says: to the api's public service, or nowhere else.
    pub fn is_usual(&self) -> bool {
        (self.is_public() || self.is_loopback())
            && self.api_key_env == self.api.usual_key()
            && self.key_command.is_empty()
    }
}

/// Whether a host is this machine itself.
pub fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// The host of a URL, without port and user.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    }
}

/// Reads one `[providers.NAME]` table.
pub(super) fn read_provider(name: At<String>, mut keys: Keys<'_>) -> Provider {
    let sink = keys.sink();
    let api = keys.string("api").and_then(|text| {
        let apis = ProviderApi::ALL.map(|api| (api.word(), api));
        keys.choose(&text, &apis)
    });
    // A table that bears an api's name is of that api.
    let of_name = || ProviderApi::ALL.into_iter().find(|api| api.word() == name.value);
    let base = Provider::built_in(api.or_else(of_name).unwrap_or(ProviderApi::OpenAi));
    let mut argv = |key| -> Vec<String> {
        let texts = keys.strings(key).unwrap_or_default();
        texts.into_iter().map(|at| at.value).collect()
    };
    let (command, key_command) = (argv("command"), argv("key_command"));
    let mut time = |key, usual| keys.string(key).and_then(|text| read_duration(&text, sink)).unwrap_or(usual);
    let (connect_timeout, read_timeout) =
        (time("connect_timeout", base.connect_timeout), time("read_timeout", base.read_timeout));
    let timeout = time("timeout", base.timeout);
    let provider = Provider {
        name: name.value.clone(),
        api: base.api,
        base_url: keys
            .string("base_url")
            .and_then(|text| read_url("base_url", &text, sink))
            .unwrap_or(base.base_url),
        api_key_env: keys.string("api_key_env").map_or(base.api_key_env, |at| at.value),
        key_command,
        command,
        model: keys.string("model").map_or(base.model, |at| at.value),
        extra: read_extra(&mut keys),
        fallback: keys.strings("fallback").unwrap_or_default(),
        stream: keys.bool("stream").unwrap_or(base.stream),
        concurrency: keys.integer("concurrency", 1..=1000).map_or(base.concurrency, |at| at.value as usize),
        requests_per_minute: keys.integer("requests_per_minute", 1..=10_000_000).map(|at| at.value as usize),
        tokens_per_minute: keys.integer("tokens_per_minute", 1..=10_000_000_000).map(|at| at.value as usize),
        connect_timeout,
        read_timeout,
        timeout,
        retries: keys.integer("retries", 0..=100).map_or(base.retries, |at| at.value as usize),
        price: read_price(&mut keys, base.api).or(base.price),
        declared: Some(name.clone()),
    };
    if provider.api == ProviderApi::Command && provider.command.is_empty() {
        sink.push(
            Diagnostic::error(format!("the provider `{}` needs a command", name.value))
                .at(name.place())
                .help("add `command = [\"program\", \"argument\"]`"),
        );
    }
    keys.finish();
    provider
}

/// Keys of a body that meu itself decides by, and what sets them: a cap, a prompt or an answer would not be
/// what it seems if `extra` could.
const OURS: [(&str, &str); 11] = [
    ("model", "name the model with `model`, or with `name` in `[model]`"),
    ("messages", "messages come from prompt, context and templates"),
    ("system", "the system message comes from `templates/system.txt`"),
    ("stream", "write `stream = false` in the provider's own table"),
    ("stream_options", "usage is always asked for"),
    ("max_tokens", "set `max_output_tokens` in `[model]`"),
    ("max_completion_tokens", "set `max_output_tokens` in `[model]`"),
    ("max_output_tokens", "set it in `[model]`"),
    ("num_predict", "set `max_output_tokens` in `[model]`"),
    ("n", "one answer is asked for"),
    ("best_of", "one answer is asked for"),
];

fn read_extra(keys: &mut Keys<'_>) -> Vars {
    let extra = keys.vars("extra");
    let options = extra.get("options").and_then(Json::as_object);
    for (key, help) in OURS {
        let there = extra.contains_key(key) || options.is_some_and(|options| options.contains_key(key));
        if there {
            keys.sink().push(
                Diagnostic::error(format!("`{key}` in `extra` would overrule what meu sends"))
                    .at(keys.place_of("extra"))
                    .help(help),
            );
        }
    }
    extra
}

fn read_price(keys: &mut Keys<'_>, api: ProviderApi) -> Option<Price> {
    let mut price = keys.table("price")?;
    let (input, output) = (price.number("input"), price.number("output"));
    let (cached, write) = (price.number("cached_input"), price.number("cache_write"));
    let incomplete = !price.has("input") || !price.has("output");
    if incomplete {
        keys.sink().push(
            Diagnostic::error("a price needs both `input` and `output`")
                .at(keys.source().place(price.span.clone()))
                .help("write `price = { input = 0.15, output = 0.60 }`, for a million tokens each"),
        );
    }
    price.finish();
    let (input, output) = (input?, output?);
    // Anthropic takes a quarter more for what it puts into its cache.
    let usual_write = if api == ProviderApi::Anthropic { input * 1.25 } else { input };
    Some(Price {
        input,
        output,
        cached_input: cached.unwrap_or(input),
        cache_write: write.unwrap_or(usual_write),
    })
}

/// Reads the address of a server under some key: `http` or `https`, a host, no user in it.
pub(super) fn read_url(key: &str, text: &At<String>, sink: &Sink) -> Option<String> {
    let url = text.value.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.map_or("", |rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(_, port)| port);
    let wrong = if rest.is_none() || host(url).is_empty() {
        Some("is no URL")
    } else if authority.contains('@') {
        Some("has a user in it")
    } else if url.contains(|c: char| c.is_whitespace() || c.is_control() || "\"<>\\^`{|}#".contains(c))
        || port.is_some_and(|port| port.parse::<u16>().is_err())
    {
        Some("is no URL")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        // What stands before an `@` may be a password.
        let mut place = text.place();
        if let Some((user, _)) = authority.rsplit_once('@') {
            place.source_line = place.source_line.replace(user, "…");
            place.width = 1;
        }
        let shown =
            authority.rsplit_once('@').map_or_else(|| url.to_owned(), |(user, _)| url.replace(user, "…"));
        sink.push(Diagnostic::error(format!("the {key} `{shown}` {wrong}")).at(place).help(match key {
            "base_url" => "write it as \"https://host/v1\"; keys come from `api_key_env` or `key_command`",
            _ => "write it as \"https://host:4318\"",
        }));
        return None;
    }
    Some(url.to_owned())
}

/// Reads `500ms`, `120s`, `2m` or `1h`.
fn read_duration(text: &At<String>, sink: &Sink) -> Option<Duration> {
    let digits = text.value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text.value[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis = unit
        .zip(digits.parse::<u64>().ok())
        .and_then(|(unit, count)| count.checked_mul(unit))
        .filter(|millis| (1..=86_400_000).contains(millis));
    if millis.is_none() {
        sink.push(
            Diagnostic::error(format!("`{}` is no length of time", text.value))
                .at(text.place())
                .help("write it as \"120s\", \"500ms\", \"2m\" or \"1h\", up to a day"),
        );
    }
    millis.map(Duration::from_millis)
}

/// The `extra` table as it is hashed: its JSON, keys in order. Empty for none.
pub fn extra_text(extra: &Vars) -> Option<String> {
    fn sorted(value: &Json) -> Json {
        match value {
            Json::Object(map) => {
                let mut pairs: Vec<_> = map.iter().collect();
                pairs.sort_by_key(|(key, _)| key.as_str());
                Json::Object(pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
            }
            Json::Array(list) => Json::Array(list.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    let object = extra.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
    (!extra.is_empty()).then(|| Json::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str, key: &str) -> Provider {
        Provider { base_url: url.into(), api_key_env: key.into(), ..Provider::built_in(ProviderApi::OpenAi) }
    }

    #[test]
    fn only_the_usual_addresses_get_keys_unasked() {
        assert!(at("https://api.openai.com/v1", "OPENAI_API_KEY").is_usual());
        assert!(at("http://127.0.0.1:8080/v1", "OPENAI_API_KEY").is_usual());
        assert!(at("http://[::1]:8080/v1", "OPENAI_API_KEY").is_usual());
        assert!(!at("http://127.0.0.1:8080/v1", "AWS_SECRET").is_usual());
        assert!(!at("https://api.openai.com/v1", "AWS_SECRET").is_usual());
        assert!(!at("http://api.openai.com/v1", "OPENAI_API_KEY").is_usual());
        assert!(!at("https://api.openai.com.evil.example/v1", "OPENAI_API_KEY").is_usual());
        assert!(!at("http://localhost@evil.example/v1", "OPENAI_API_KEY").is_usual());
        assert!(!at("http://evil.example\\@localhost/v1", "OPENAI_API_KEY").is_usual());
        assert!(!at("http://127.0.0.1.evil.example", "OPENAI_API_KEY").is_usual());
        assert!(!at("https://api.anthropic.com/v1", "OPENAI_API_KEY").is_usual());
        for api in [ProviderApi::OpenAi, ProviderApi::Anthropic, ProviderApi::Ollama] {
            assert!(Provider::built_in(api).is_usual());
        }
    }

    #[test]
    fn the_order_of_extra_keys_is_no_difference() {
        let read = |text: &str| extra_text(&serde_json::from_str::<Vars>(text).unwrap_or_default());
        let one = read(r#"{"b": {"y": 1, "x": 2}, "a": []}"#);
        assert_eq!(one.as_deref(), Some(r#"{"a":[],"b":{"x":2,"y":1}}"#));
        assert_eq!(one, read(r#"{"a": [], "b": {"x": 2, "y": 1}}"#));
        assert_eq!(read("{}"), None);
    }
}
