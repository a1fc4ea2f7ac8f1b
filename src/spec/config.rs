//! `meu.toml`: the project, its model, its context policy, its providers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keys::{Keys, parse_table};
use super::provider::read_provider;
use super::{At, IndexPick, Provider, ProviderApi, Redact, Telemetry, Tier, TokenizerName, Vars};
use crate::diag::{Diagnostic, Sink, Source, did_you_mean};
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
    /// What is never stored or shown.
    pub redact: Redact,
    /// Where traces of runs are sent.
    pub telemetry: Telemetry,
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

/// Reads `meu.toml`. Problems go to the sink; what is wrong gets its default.
pub fn parse_config(source: &Arc<Source>, sink: &Sink) -> Config {
    let table = parse_table(source, sink);
    read_config(Keys::new(source, table.get_ref(), 0..0, "", sink))
}

/// Reads the keys of `meu.toml`.
pub(super) fn read_config(mut keys: Keys<'_>) -> Config {
    let sink = keys.sink();
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
        redact: Redact::default(),
        telemetry: Telemetry::default(),
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
    let built_in = [ProviderApi::Offline, ProviderApi::OpenAi, ProviderApi::Anthropic, ProviderApi::Ollama];
    for api in built_in {
        config.providers.entry(api.word().to_owned()).or_insert_with(|| Provider::built_in(api));
    }
    check_fallbacks(&config, sink);
    config.redact = keys.table("redact").map(Redact::read).unwrap_or_default();
    config.telemetry = keys.table("telemetry").map(Telemetry::read).unwrap_or_default();
    keys.finish();
    config
}

/// Providers that stand in for others must be there, and be others.
fn check_fallbacks(config: &Config, sink: &Sink) {
    for provider in config.providers.values() {
        for other in &provider.fallback {
            let known = config.providers.keys().map(String::as_str);
            let wrong = if other.value == provider.name {
                Some(Diagnostic::error(format!("the provider `{}` cannot stand in for itself", other.value)))
            } else if !config.providers.contains_key(&other.value) {
                Some(
                    Diagnostic::error(format!("no provider `{}`", other.value)).maybe_help(
                        did_you_mean(&other.value, known)
                            .or(Some(format!("declare it as `[providers.{}]`", other.value))),
                    ),
                )
            } else {
                None
            };
            if let Some(wrong) = wrong {
                sink.push(wrong.at(other.place()));
            }
        }
    }
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

impl Config {
    /// Why no request may hold a file, if so.
    pub fn refused(&self, path: &RelPath) -> Option<&'static str> {
        if *path == self.index {
            Some("INDEX.md is in every context by itself; its generated part must never be")
        } else if path.as_str() == "meu.lock" {
            Some("it is written by every run")
        } else if path.as_str().split('/').any(|part| part.starts_with('.')) {
            Some("hidden files are never documents")
        } else {
            None
        }
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
