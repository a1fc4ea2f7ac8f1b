//! `meu.toml`: the project, its model, its context policy, its providers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::keys::{Keys, parse_table};
use super::{At, IndexPick, Tier, TokenizerName, Vars};
use crate::diag::{Diagnostic, Sink, Source};
use crate::path::RelPath;

/// `meu.toml` with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The project's name.
    pub name: String,
    /// The folder of the tasks.
    pub tasks: RelPath,
    /// The folder of outputs without a place of their own.
    pub outputs: RelPath,
    /// The index document.
    pub index: RelPath,
    /// Values for prompts.
    pub vars: Vars,
    /// The model that tasks ask unless they say otherwise.
    pub model: ModelSettings,
    /// Where `model.provider` stands, if it is written.
    pub provider_place: Option<At<String>>,
    /// How contexts are put together unless a task says otherwise.
    pub policy: Policy,
    /// Where its `retrieve` stands, if it is written.
    pub retrieve_at: Option<At<()>>,
    /// `[providers.*]`.
    pub providers: BTreeMap<String, Provider>,
    /// Patterns of what is never stored or shown.
    pub redact: Vec<String>,
}

/// What a task asks, and with which parameters. All of it is part of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// A name of `[providers.*]`, or a built-in one.
    pub provider: String,
    /// The model's name, as the provider knows it.
    pub name: String,
    /// Sampling temperature.
    pub temperature: f64,
    /// The most tokens of an answer.
    pub max_output_tokens: usize,
    /// A seed, where the API has one.
    pub seed: Option<i64>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        ModelSettings {
            provider: "offline".into(),
            name: String::new(),
            temperature: 0.0,
            max_output_tokens: 2000,
            seed: None,
        }
    }
}

/// The keys of a `[model]` table that are written.
#[derive(Clone, Debug, Default)]
pub struct ModelPatch {
    /// See [`ModelSettings::provider`].
    pub provider: Option<At<String>>,
    /// See [`ModelSettings::name`].
    pub name: Option<String>,
    /// See [`ModelSettings::temperature`].
    pub temperature: Option<f64>,
    /// See [`ModelSettings::max_output_tokens`].
    pub max_output_tokens: Option<usize>,
    /// See [`ModelSettings::seed`].
    pub seed: Option<i64>,
}

impl ModelPatch {
    pub(super) fn read(mut keys: Keys<'_>) -> Self {
        let patch = ModelPatch {
            provider: keys.string("provider"),
            name: keys.string("name").map(|at| at.value),
            temperature: keys.number("temperature"),
            max_output_tokens: keys.integer("max_output_tokens", 1..=10_000_000).map(|at| at.value as usize),
            seed: keys.integer("seed", i64::MIN..=i64::MAX).map(|at| at.value),
        };
        keys.finish();
        patch
    }

    /// The settings with the written keys laid over them.
    pub fn over(&self, base: &ModelSettings) -> ModelSettings {
        ModelSettings {
            provider: self.provider.as_ref().map_or_else(|| base.provider.clone(), |at| at.value.clone()),
            name: self.name.clone().unwrap_or_else(|| base.name.clone()),
            temperature: self.temperature.unwrap_or(base.temperature),
            max_output_tokens: self.max_output_tokens.unwrap_or(base.max_output_tokens),
            seed: self.seed.or(base.seed),
        }
    }
}

/// How a context is put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Tokens of the whole bundle.
    pub budget: usize,
    /// Tokens of one item before it is shortened.
    pub item_max: usize,
    /// How tokens are counted.
    pub tokenizer: TokenizerName,
    /// The tiers that take part, in the order in which they are filled.
    pub tiers: Vec<Tier>,
    /// The part of INDEX.md that is always in.
    pub index: IndexPick,
    /// How many big tasks above give their cards.
    pub above: usize,
    /// How many siblings give their cards.
    pub siblings: usize,
    /// What is looked for in other texts.
    pub retrieve: Retrieve,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            budget: 8000,
            item_max: 2000,
            tokenizer: TokenizerName::O200k,
            tiers: Tier::ALL.to_vec(),
            index: IndexPick::All,
            above: 3,
            siblings: 0,
            retrieve: Retrieve::default(),
        }
    }
}

/// The `retrieve` table of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieve {
    /// How many sections.
    pub k: usize,
    /// Out of which tasks' outputs.
    pub from: RetrieveFrom,
    /// Out of which documents, as globs.
    pub documents: Vec<String>,
    /// The least score, relative to the best hit.
    pub min_score: f64,
    /// By which formula.
    pub ranking: Ranking,
    /// Whose embeddings take part in the ranking, if any.
    pub embed: Option<Embed>,
}

/// The `embed` table of `retrieve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embed {
    /// The provider that makes vectors of texts.
    pub provider: String,
    /// The model's name, as the provider knows it.
    pub model: String,
}

/// How passages are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranking {
    /// BM25, with the query expanded from its best hits.
    #[default]
    Bm25,
    /// TF-IDF weights, cosine.
    TfIdf,
}

impl Default for Retrieve {
    fn default() -> Self {
        Retrieve {
            k: 0,
            from: RetrieveFrom::Upstream,
            documents: vec!["docs/**/*.md".into()],
            min_score: 0.0,
            ranking: Ranking::default(),
            embed: None,
        }
    }
}

/// Whose outputs the retriever may look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetrieveFrom {
    /// All tasks reachable by requires and refers.
    Upstream,
    /// All tasks of a lower level.
    Earlier,
    /// No outputs.
    Documents,
}

/// The keys of a `[context]` table that are written.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the same keys as in Policy and Retrieve
pub struct PolicyPatch {
    pub budget: Option<usize>,
    pub item_max: Option<usize>,
    pub tokenizer: Option<TokenizerName>,
    pub tiers: Option<Vec<Tier>>,
    pub index: Option<IndexPick>,
    pub above: Option<usize>,
    pub siblings: Option<usize>,
    pub k: Option<usize>,
    pub from: Option<RetrieveFrom>,
    pub documents: Option<Vec<String>>,
    pub min_score: Option<f64>,
    pub ranking: Option<Ranking>,
    pub embed: Option<Embed>,
    /// Where the `retrieve` table stands.
    pub retrieve_at: Option<At<()>>,
}

impl PolicyPatch {
    /// Reads the keys that `meu.toml` and a task share; the caller finishes the table.
    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        let mut patch = PolicyPatch {
            budget: keys.count("budget"),
            item_max: keys.count("item_max"),
            above: keys.count("above"),
            siblings: keys.count("siblings"),
            ..PolicyPatch::default()
        };
        if let Some(text) = keys.string("tokenizer") {
            let words: Vec<_> = TokenizerName::ALL.into_iter().map(|name| (name.word(), name)).collect();
            patch.tokenizer = keys.choose(&text, &words);
        }
        if let Some(texts) = keys.strings("tiers") {
            patch.tiers = Some(read_tiers(keys, &texts));
        }
        patch.index = match keys.string_or_strings("index") {
            Some(Ok(text)) => keys.choose(&text, &[("all", IndexPick::All), ("none", IndexPick::None)]),
            Some(Err(headings)) => Some(IndexPick::Headings(headings.value)),
            None => None,
        };
        if let Some(mut retrieve) = keys.table("retrieve") {
            patch.k = retrieve.count("k");
            if let Some(text) = retrieve.string("from") {
                let words = [
                    ("upstream", RetrieveFrom::Upstream),
                    ("earlier", RetrieveFrom::Earlier),
                    ("documents", RetrieveFrom::Documents),
                ];
                patch.from = retrieve.choose(&text, &words);
            }
            patch.documents =
                retrieve.strings("documents").map(|texts| texts.into_iter().map(|at| at.value).collect());
            patch.min_score = retrieve.number("min_score");
            if let Some(text) = retrieve.string("ranking") {
                patch.ranking = retrieve.choose(&text, &[("bm25", Ranking::Bm25), ("tfidf", Ranking::TfIdf)]);
            }
            patch.embed = retrieve.table("embed").and_then(|mut embed| {
                let (provider, model) = (embed.string("provider"), embed.string("model"));
                if provider.is_none() || model.is_none() {
                    keys.sink().push(
                        Diagnostic::error("`embed` needs a provider and a model")
                            .at(keys.source().place(embed.span.clone()))
                            .help("write `embed = { provider = \"openai\", model = \"text-embedding-3-small\" }`"),
                    );
                }
                embed.finish();
                Some(Embed { provider: provider?.value, model: model?.value })
            });
            if patch.min_score.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
                keys.sink().push(
                    Diagnostic::error("`min_score` is a part of the best hit's score: from 0 to 1")
                        .at(keys.source().place(retrieve.span.clone())),
                );
            }
            patch.retrieve_at =
                Some(At { value: (), source: keys.source().clone(), span: retrieve.span.clone() });
            retrieve.finish();
        }
        patch
    }

    /// The policy with the written keys laid over it.
    pub fn over(&self, base: &Policy) -> Policy {
        Policy {
            budget: self.budget.unwrap_or(base.budget),
            item_max: self.item_max.unwrap_or(base.item_max),
            tokenizer: self.tokenizer.unwrap_or(base.tokenizer),
            tiers: self.tiers.clone().unwrap_or_else(|| base.tiers.clone()),
            index: self.index.clone().unwrap_or_else(|| base.index.clone()),
            above: self.above.unwrap_or(base.above),
            siblings: self.siblings.unwrap_or(base.siblings),
            retrieve: Retrieve {
                k: self.k.unwrap_or(base.retrieve.k),
                from: self.from.unwrap_or(base.retrieve.from),
                documents: self.documents.clone().unwrap_or_else(|| base.retrieve.documents.clone()),
                min_score: self.min_score.unwrap_or(base.retrieve.min_score),
                ranking: self.ranking.unwrap_or(base.retrieve.ranking),
                embed: self.embed.clone().or_else(|| base.retrieve.embed.clone()),
            },
        }
    }
}

fn read_tiers(keys: &Keys<'_>, texts: &[At<String>]) -> Vec<Tier> {
    let words: Vec<_> = Tier::ALL.into_iter().map(|tier| (tier.word(), tier)).collect();
    let mut tiers = Vec::new();
    for text in texts {
        match keys.choose(text, &words) {
            Some(tier) if tiers.contains(&tier) => {
                keys.sink().push(
                    Diagnostic::error(format!("the tier `{}` is named twice", text.value))
                        .at(text.place())
                        .help("leave one of them out"),
                );
            }
            Some(tier) => tiers.push(tier),
            None => {}
        }
    }
    tiers
}

/// The protocol that a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderApi {
    /// Chat completions, as OpenAI and many servers speak it.
    OpenAi,
    /// A program: the request on stdin, the answer on stdout.
    Command,
    /// The built-in drafter.
    Offline,
}

impl ProviderApi {
    /// The api as it is written.
    pub fn word(self) -> &'static str {
        match self {
            ProviderApi::OpenAi => "openai",
            ProviderApi::Command => "command",
            ProviderApi::Offline => "offline",
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
    /// Where the HTTP API is.
    pub base_url: String,
    /// The environment variable that holds the key.
    pub api_key_env: String,
    /// The program, for `api = "command"`.
    pub command: Vec<String>,
    /// Calls under way at once.
    pub concurrency: usize,
    /// Requests a minute, if limited.
    pub requests_per_minute: Option<usize>,
    /// Tokens a minute, if limited.
    pub tokens_per_minute: Option<usize>,
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
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key_env: "OPENAI_API_KEY".to_owned(),
            command: Vec::new(),
            concurrency: 8,
            requests_per_minute: None,
            tokens_per_minute: None,
            timeout: Duration::from_secs(120),
            retries: 4,
            price: (api == ProviderApi::Offline).then(Price::default),
        }
    }
}

/// Reads `meu.toml`. Problems go to the sink; what is wrong gets its default.
pub fn parse_config(source: &Arc<Source>, sink: &Sink) -> Config {
    let table = parse_table(source, sink);
    let mut keys = Keys::new(source, table.get_ref(), 0..0, "", sink);
    let mut config = Config {
        name: String::new(),
        tasks: folder("tasks"),
        outputs: folder("out"),
        index: folder("INDEX.md"),
        vars: Vars::new(),
        model: ModelSettings::default(),
        provider_place: None,
        policy: Policy::default(),
        retrieve_at: None,
        providers: BTreeMap::new(),
        redact: Vec::new(),
    };
    if let Some(mut project) = keys.table("project") {
        if let Some(name) = project.string("name") {
            config.name = name.value;
        }
        for (key, place) in [("tasks", &mut config.tasks), ("outputs", &mut config.outputs)] {
            if let Some(text) = project.string(key) {
                read_path(&text, place, sink);
            }
        }
        if let Some(text) = project.string("index") {
            let mut index = config.index.clone();
            read_path(&text, &mut index, sink);
            match reserved_place(&index, &config.tasks) {
                Some(why) => sink.push(
                    Diagnostic::error(format!("the index `{index}` is {why}"))
                        .at(text.place())
                        .help("choose another file, for instance `INDEX.md` or `docs/index.md`"),
                ),
                None => config.index = index,
            }
        }
        project.finish();
    }
    config.vars = keys.vars("vars");
    if let Some(model) = keys.table("model") {
        let patch = ModelPatch::read(model);
        config.model = patch.over(&config.model);
        config.provider_place = patch.provider;
    }
    if let Some(mut context) = keys.table("context") {
        let patch = PolicyPatch::read(&mut context);
        config.policy = patch.over(&config.policy);
        config.retrieve_at = patch.retrieve_at;
        context.finish();
    }
    for (name, provider) in keys.tables("providers") {
        let provider = read_provider(name, provider);
        config.providers.insert(provider.name.clone(), provider);
    }
    for api in [ProviderApi::Offline, ProviderApi::OpenAi] {
        config.providers.entry(api.word().to_owned()).or_insert_with(|| Provider::built_in(api));
    }
    if let Some(mut redact) = keys.table("redact") {
        sink.push(
            Diagnostic::warning(
                "`[redact]` is read but not applied yet: requests and answers are kept as they are",
            )
            .at(source.place(redact.span.clone())),
        );
        config.redact = redact
            .strings("patterns")
            .map(|texts| texts.into_iter().map(|at| at.value).collect())
            .unwrap_or_default();
        redact.finish();
    }
    keys.finish();
    config
}

/// A path that is known to be good.
fn folder(text: &str) -> RelPath {
    RelPath::parse(text).unwrap_or_else(|problem| unreachable!("{text}: {}", problem.message()))
}

fn read_path(text: &At<String>, place: &mut RelPath, sink: &Sink) {
    match RelPath::parse_writable(&text.value) {
        Ok(path) if is_private(&path) => sink.push(
            Diagnostic::error(format!("`{path}` is not meu's to use"))
                .at(text.place())
                .help("choose a folder outside `.git` and `.meu`"),
        ),
        Ok(path) => *place = path,
        Err(problem) => sink.push(Diagnostic::error(problem.message()).at(text.place())),
    }
}

/// Why meu may not write a text to a place that is the project's own, if so.
pub fn reserved_place(path: &RelPath, tasks: &RelPath) -> Option<&'static str> {
    let folded = path.folded();
    let top = folded.split('/').next().unwrap_or("");
    if folded == tasks.folded() || folded.starts_with(&format!("{}/", tasks.folded())) {
        Some("in the folder of the tasks")
    } else if top == "templates" {
        Some("in the folder of the templates")
    } else if path.folder().is_empty() && folded.starts_with("meu.") {
        Some("one of meu's own files")
    } else if folded.split('/').any(|part| part.starts_with('.')) {
        Some("a hidden file")
    } else {
        None
    }
}

/// Whether a path lies in `.git` or `.meu`.
pub(super) fn is_private(path: &RelPath) -> bool {
    path.as_str()
        .split('/')
        .any(|part| part.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case(".meu"))
}

fn read_provider(name: At<String>, mut keys: Keys<'_>) -> Provider {
    let sink = keys.sink();
    let api = keys.string("api").and_then(|text| {
        let apis = [ProviderApi::OpenAi, ProviderApi::Command, ProviderApi::Offline];
        keys.choose(&text, &apis.map(|api| (api.word(), api)))
    });
    let base = Provider::built_in(api.unwrap_or(ProviderApi::OpenAi));
    let provider = Provider {
        name: name.value.clone(),
        api: base.api,
        base_url: keys
            .string("base_url")
            .map_or(base.base_url, |at| at.value.trim_end_matches('/').to_owned()),
        api_key_env: keys.string("api_key_env").map_or(base.api_key_env, |at| at.value),
        command: keys
            .strings("command")
            .map(|texts| texts.into_iter().map(|at| at.value).collect())
            .unwrap_or_default(),
        concurrency: keys.integer("concurrency", 1..=1000).map_or(base.concurrency, |at| at.value as usize),
        requests_per_minute: keys.integer("requests_per_minute", 1..=10_000_000).map(|at| at.value as usize),
        tokens_per_minute: keys.integer("tokens_per_minute", 1..=10_000_000_000).map(|at| at.value as usize),
        timeout: keys.string("timeout").and_then(|text| read_duration(&text, sink)).unwrap_or(base.timeout),
        retries: keys.integer("retries", 0..=100).map_or(base.retries, |at| at.value as usize),
        price: keys
            .table("price")
            .map(|mut price| {
                let read = Price {
                    input: price.number("input").unwrap_or_default(),
                    output: price.number("output").unwrap_or_default(),
                };
                price.finish();
                read
            })
            .or(base.price),
        declared: Some(name.clone()),
    };
    if provider.requests_per_minute.is_some() || provider.tokens_per_minute.is_some() {
        sink.push(
            Diagnostic::warning("limits per minute are read but not kept yet; use `concurrency`")
                .at(name.place()),
        );
    }
    if api == Some(ProviderApi::Command) && provider.command.is_empty() {
        sink.push(
            Diagnostic::error(format!("the provider `{}` needs a command", name.value))
                .at(name.place())
                .help("add `command = [\"program\", \"argument\"]`"),
        );
    }
    keys.finish();
    provider
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
