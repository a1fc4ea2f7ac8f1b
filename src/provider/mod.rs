//! Whatever answers from outside: HTTP APIs and programs, each behind [`Model`]. What they have in
//! common is here: keys, limits, retries, stand-ins, money.
//!
//! A door (◇). Keys are read here and go nowhere but into a request's head.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

#[cfg(feature = "http")]
mod anthropic;
mod gate;
#[cfg(feature = "http")]
mod http;
mod key;
#[cfg(feature = "http")]
mod line;
mod money;
#[cfg(feature = "http")]
mod ollama;
#[cfg(feature = "http")]
mod openai;
#[cfg(feature = "http")]
mod pause;
mod pipes;
mod program;
#[cfg(feature = "http")]
mod proxy;
#[cfg(feature = "http")]
mod stream;
mod telemetry;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use money::{Limits, Purse, Spent, cost, worst};
pub use program::{end_programs, judged_by, run_program};
pub use telemetry::{Parcel, Trace};

use crate::diag::Error;
use crate::disk::{Permits, interrupted, trust_everything};
use crate::model::{Answer, Cause, Charge, Model, Offline, Refusal, Tokens};
use crate::request::Request;
use crate::spec::{Config, Price, Provider, ProviderApi, TokenizerName};
use crate::text::{Redactor, count};
use gate::{Gate, Width};
use money::Worst;

/// The longest pause that a server may ask for; who wants a longer one is out for the run.
const PATIENCE: Duration = Duration::from_secs(600);

/// A wait that everybody is told of.
const LONG: Duration = Duration::from_secs(10);

/// Whether a provider's server answers at all: with which status, or why not. No key goes there.
pub fn reaches(provider: &Provider) -> Result<u16, String> {
    #[cfg(feature = "http")]
    return line::Line::to(&provider.base_url, SOON, SOON, SOON)
        .map_err(|refusal| refusal.message)?
        .reaches(&provider.base_url);
    #[cfg(not(feature = "http"))]
    return Err(format!("{}: this meu was built without HTTP", provider.base_url));
}

/// Who has not answered by then is not there.
#[cfg(feature = "http")]
const SOON: Duration = Duration::from_secs(10);

/// The providers of a project.
#[derive(Debug)]
pub struct Providers {
    known: HashMap<String, Member>,
    redactor: Redactor,
    folder: PathBuf,
    permits: OnceLock<Permits>,
}

/// A provider, its gate, and its key once somebody needed it.
#[derive(Debug)]
struct Member {
    provider: Provider,
    gate: Gate,
    key: OnceLock<Result<Option<String>, Refusal>>,
    /// The most that it counted in this run for one of our tokens.
    most: Arc<Mutex<f64>>,
    #[cfg(feature = "http")]
    line: OnceLock<Result<line::Line, Refusal>>,
}

/// What is asked of a provider, and what it may take.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request,
    /// Its tokens, as they are counted here.
    pub tokens: u64,
    /// How many times as many each provider has counted so far, where that is known.
    pub factors: &'a HashMap<String, f64>,
    /// By which tokens are counted, where a provider does not.
    pub tokenizer: TokenizerName,
    /// What the run may spend.
    pub purse: &'a Purse,
    /// Who is told how it goes.
    pub hear: &'a dyn Fn(Heard),
}

/// How a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// So many bytes of the answer are here.
    Bytes(usize),
    /// Something for those who want to know more.
    Detail(String),
    /// Something that everybody should know.
    Notice(String),
}

/// One provider that was asked for one request, with all retries.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The provider's name.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// With which parameters.
    pub parameters: Vec<(&'static str, String)>,
    /// What came of it.
    pub answer: Result<Answer, Refusal>,
    /// What it took, but for calls of unknown outcome.
    pub spent: Spent,
    /// How many of its calls have an unknown outcome.
    pub unknown: usize,
    /// What those took at their worst.
    pub at_worst: Spent,
    /// Calls after the first.
    pub retries: usize,
    /// Milliseconds, pauses included.
    pub ms: u64,
}

impl Providers {
    /// The providers that a configuration declares, and the built-in ones. Programs run in `folder`.
    pub fn new(config: &Config, redactor: Redactor, folder: &Path) -> Self {
        let members = config.providers.values().map(|provider| {
            let gate = Gate::new(Width {
                concurrency: provider.concurrency,
                requests: provider.requests_per_minute,
                tokens: provider.tokens_per_minute,
            });
            (
                provider.name.clone(),
                Member {
                    provider: provider.clone(),
                    gate,
                    key: OnceLock::new(),
                    most: Arc::default(),
                    #[cfg(feature = "http")]
                    line: OnceLock::new(),
                },
            )
        });
        Providers { known: members.collect(), redactor, folder: folder.to_owned(), permits: OnceLock::new() }
    }

    /// Lets programs run that a person said yes to.
    pub fn allow(&self, permits: Permits) {
        // Once a run: a second yes in it would be another run's.
        let _ = self.permits.set(permits);
    }

    /// Whether a program may run; nothing may that nobody allowed.
    pub fn permit(&self, argv: &[String]) -> Result<(), Refusal> {
        let refusal = |message: String| {
            let help = "look at it, then say `meu trust`; in CI set MEU_TRUST=1";
            Err(Refusal { last: true, ..Refusal::new(Cause::Wrong, message, help) })
        };
        match self.permits.get() {
            Some(permits) => permits.refuse(argv).map_or(Ok(()), refusal),
            None if trust_everything() => Ok(()),
            None => refusal(format!("nobody allowed {argv:?} to run")),
        }
    }

    /// A provider and those that stand in for it, in the order in which they are asked.
    fn members(&self, name: &str) -> impl Iterator<Item = &Member> {
        let first = self.known.get(name);
        let others = first.into_iter().flat_map(|member| &member.provider.fallback);
        first.into_iter().chain(others.filter_map(|other| self.known.get(&other.value)))
    }

    fn key<'m>(&self, member: &'m Member) -> Result<Option<&'m str>, Refusal> {
        let read = || {
            if !member.provider.key_command.is_empty() {
                self.permit(&member.provider.key_command)?;
            }
            let key = key::read(&member.provider, &self.folder, &self.redactor)?;
            if let Some(key) = &key {
                self.redactor.learn_key(key);
            }
            Ok(key)
        };
        member.key.get_or_init(read).as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// What is missing before a provider can be asked at all; found out before any call. A program that prints its key
    /// is run only if it `will` be asked, and those of providers that stand in only once they do.
    pub fn check(&self, name: &str, will: bool) -> Result<(), Error> {
        let is_looked_at = |(nth, member): &(usize, &Member)| {
            member.provider.api.is_http() && ((will && *nth == 0) || member.provider.key_command.is_empty())
        };
        for (_, member) in self.members(name).enumerate().filter(is_looked_at) {
            if cfg!(not(feature = "http")) {
                let message = format!("the provider `{name}` needs HTTP, which this meu is built without");
                return Err(Error::invalid(message).help("install meu with its default features"));
            }
            self.key(member).map_err(|refusal| Error::invalid(refusal.message).maybe_help(refusal.help))?;
        }
        Ok(())
    }

    /// The vectors that a model makes of some texts, one for each.
    pub fn embed(&self, name: &str, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        let member = self.known.get(name).filter(|member| member.provider.api == ProviderApi::OpenAi);
        let Some(member) = member else {
            let message = format!("the provider `{name}` gives no embeddings");
            return Err(Refusal::new(Cause::Wrong, message, "take one with `api = \"openai\"`"));
        };
        let tokens: u64 = texts.iter().map(|text| text.len() as u64 / 3).sum();
        let purse = Purse::new(Limits::default());
        let worst: Worst = Arc::new(move || Spent { input: tokens, ..Spent::nothing() });
        let mut log = Log::default();
        self.with_retries(member, &worst, &purse, &|_| (), &mut log, &mut || {
            self.vectors(member, model, texts).map(|vectors| (vectors, Charge::Nothing))
        })
    }

    #[cfg(feature = "http")]
    fn vectors(&self, member: &Member, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        openai::embed(&self.http(member, &openai::OpenAi)?, model, texts)
    }

    #[cfg(not(feature = "http"))]
    fn vectors(&self, _: &Member, _: &str, _: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        Err(without_http())
    }

    /// Asks a provider, and those that stand in for it while they are down or out of quota. One entry for
    /// each that was asked; the last one has what came of it.
    pub fn ask(&self, name: &str, call: &Call<'_>) -> Vec<Tried> {
        let mut all: Vec<Tried> = Vec::new();
        for (nth, member) in self.members(name).enumerate() {
            let last: Option<&Tried> = all.last();
            if let Some(Err(refusal)) = last.map(|tried| &tried.answer) {
                let message = format!("{}; {} is asked instead", refusal.message, member.provider.name);
                (call.hear)(Heard::Notice(message));
            }
            let stands_in = (nth > 0 && !member.provider.model.is_empty())
                .then(|| Request { model: member.provider.model.clone(), ..call.request.clone() });
            let tried = self.ask_one(member, stands_in.as_ref().unwrap_or(call.request), call);
            let goes_on = tried
                .answer
                .as_ref()
                .is_err_and(|refusal| matches!(refusal.cause, Cause::Down | Cause::Limited | Cause::Quota));
            all.push(tried);
            if !goes_on {
                break;
            }
        }
        for tried in &mut all {
            if let Ok(answer) = &mut tried.answer {
                answer.model = self.redactor.clean(&answer.model).into_owned();
            }
        }
        if all.is_empty() {
            let refusal =
                Refusal::new(Cause::Wrong, format!("no provider `{name}`"), "declare it in meu.toml");
            all.push(Tried::not_asked(name, refusal));
        }
        all
    }

    fn ask_one(&self, member: &Member, request: &Request, call: &Call<'_>) -> Tried {
        let began = Instant::now();
        let provider = &member.provider;
        let most = request.number("max_output_tokens").and_then(|value| value.as_u64()).unwrap_or_default();
        let known = call.factors.get(&provider.name).copied().unwrap_or(1.0);
        let (of, tokens, messages, counted) =
            (provider.clone(), call.tokens, request.messages.len(), member.most.clone());
        let worst: Worst = Arc::new(move || {
            let factor = known.max(*counted.lock().unwrap_or_else(PoisonError::into_inner));
            worst(&of, tokens, factor, messages, most)
        });
        let mut log = Log::default();
        let heard = |bytes: usize| (call.hear)(Heard::Bytes(bytes));
        let answer = self.with_retries(member, &worst, call.purse, call.hear, &mut log, &mut || {
            let answer = self.ask_once(member, request, &heard)?;
            if let Some(theirs) = answer.tokens.input.filter(|_| call.tokens > 0) {
                let mut most = member.most.lock().unwrap_or_else(PoisonError::into_inner);
                *most = most.max(theirs as f64 / call.tokens as f64);
            }
            let theirs = answer.tokens.input.is_some() && answer.tokens.output.is_some();
            let tokens = Tokens {
                input: Some(answer.tokens.input.unwrap_or(call.tokens)),
                output: Some(
                    answer.tokens.output.unwrap_or_else(|| count(call.tokenizer, &answer.text) as u64),
                ),
                ..answer.tokens
            };
            // Who does not say may have counted more than is here: reasoning is in no text.
            let here = !theirs && provider.api.is_http();
            Ok((answer, if here { Charge::Counted(tokens) } else { Charge::Known(tokens) }))
        });
        Tried {
            provider: provider.name.clone(),
            model: request.model.clone(),
            parameters: request.parameters.clone(),
            answer,
            spent: log.spent,
            unknown: log.unknown,
            at_worst: log.at_worst,
            retries: log.retries,
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Calls until there is an answer, or none is to be had: with room at the gate, and with the worst case
    /// of each call set aside before it.
    fn with_retries<T>(
        &self,
        member: &Member,
        worst: &Worst,
        purse: &Purse,
        hear: &dyn Fn(Heard),
        log: &mut Log,
        once: &mut dyn FnMut() -> Result<(T, Charge), Refusal>,
    ) -> Result<T, Refusal> {
        let Member { provider, gate, .. } = member;
        let name = &provider.name;
        let width = |change: Option<(usize, usize)>| {
            if let Some((before, after)) = change {
                hear(Heard::Detail(format!("{name}: {after} calls at once now, {before} before")));
            }
        };
        let mut last: Option<String> = None;
        loop {
            let reserved = match purse.reserve(worst) {
                Ok(reserved) => reserved,
                // Why another try is wanted at all is half of it.
                Err(short) => {
                    let message = match &last {
                        Some(before) => format!("{}; the last try: {}", short.message, before),
                        None => short.message,
                    };
                    return Err(Refusal { message, ..short });
                }
            };
            // The gate last: what it says holds at the moment of the call.
            let waits = |why| hear(Heard::Notice(format!("{name}: {why}")));
            let pass = match gate.enter(worst().tokens(), &waits) {
                Ok(pass) => pass,
                Err(refusal) => {
                    reserved.settle(Spent::nothing());
                    return Err(refusal);
                }
            };
            if !reserved.still_fits() {
                pass.give_back();
                reserved.settle(Spent::nothing());
                continue;
            }
            let number = pass.number();
            let answer = once();
            let charge = match &answer {
                Ok((_, charge)) => *charge,
                Err(refusal) => refusal.charge,
            };
            let spent = log.charge(charge, worst(), provider.price);
            // What is not known for sure counts at its worst.
            let settled = if matches!(charge, Charge::Counted(_)) { worst() } else { spent };
            // What this says of the provider holds before anybody else is let through.
            let refusal = match answer {
                Ok((answer, _)) => {
                    width(gate.went_well());
                    pass.used(spent.tokens());
                    reserved.settle(settled);
                    return Ok(answer);
                }
                Err(refusal) => refusal,
            };
            let passing = matches!(refusal.cause, Cause::Down | Cause::Limited) && !refusal.last;
            let too_long = refusal.pause.filter(|pause| passing && *pause > PATIENCE);
            let refusal = match too_long {
                Some(pause) => {
                    let message = format!("{}; it asks to wait for {} s", refusal.message, pause.as_secs());
                    Refusal { message, ..refusal }
                }
                None => refusal,
            };
            if matches!(refusal.cause, Cause::Quota | Cause::Key) || too_long.is_some() {
                gate.close(&refusal);
            } else if passing && let Some(pause) = refusal.pause {
                gate.not_before(pause);
            }
            if refusal.cause == Cause::Limited {
                width(gate.limited(number));
            }
            pass.used(spent.tokens());
            reserved.settle(settled);
            if !passing || too_long.is_some() {
                return Err(refusal);
            }
            // A server's word is kept, and no later try comes sooner than it would without one.
            let own = gate::backoff(log.retries.saturating_sub(usize::from(refusal.pause.is_some())));
            let pause = match refusal.pause {
                Some(pause) if log.retries == 0 => pause,
                Some(pause) => pause.max(own),
                None => own,
            };
            if log.retries >= provider.retries {
                let times = match log.retries {
                    0 => String::new(),
                    retries => format!(", {} times", retries + 1),
                };
                return Err(Refusal { message: format!("{}{times}", refusal.message), ..refusal });
            }
            log.retries += 1;
            let tell = if pause > LONG { Heard::Notice } else { Heard::Detail };
            hear(tell(format!(
                "{name}: {}; again in {:.1} s, try {} of {}",
                refusal.message,
                pause.as_secs_f64(),
                log.retries + 1,
                provider.retries + 1
            )));
            if !rest(pause) {
                return Err(Refusal { cause: Cause::Interrupted, ..refusal });
            }
            last = Some(refusal.message);
        }
    }

    fn ask_once(&self, member: &Member, request: &Request, heard: &dyn Fn(usize)) -> Result<Answer, Refusal> {
        let provider = &member.provider;
        match provider.api {
            ProviderApi::Offline => Offline.ask(request, heard),
            ProviderApi::Command => {
                self.permit(&provider.command)?;
                let timeout = Some(provider.timeout);
                let text = run_program(&provider.command, &request.text(), &[], &self.folder, timeout)?;
                if text.trim().is_empty() {
                    let help = "look at the prompt, or take another model";
                    let refusal = Refusal::new(Cause::Unusable, "the answer is empty", help);
                    return Err(refusal.charged(Charge::Unknown));
                }
                Ok(Answer { text, model: provider.name.clone(), ..Answer::default() })
            }
            #[cfg(feature = "http")]
            ProviderApi::OpenAi => self.http(member, &openai::OpenAi)?.ask(request, heard),
            #[cfg(feature = "http")]
            ProviderApi::Anthropic => self.http(member, &anthropic::Anthropic)?.ask(request, heard),
            #[cfg(feature = "http")]
            ProviderApi::Ollama => self.http(member, &ollama::Ollama)?.ask(request, heard),
            #[cfg(not(feature = "http"))]
            _ => Err(without_http()),
        }
    }

    #[cfg(feature = "http")]
    fn http<'a>(
        &'a self,
        member: &'a Member,
        dialect: &'a dyn http::Dialect,
    ) -> Result<http::Http<'a>, Refusal> {
        Ok(http::Http {
            provider: &member.provider,
            dialect,
            key: self.key(member)?,
            line: member
                .line
                .get_or_init(|| line::Line::new(&member.provider))
                .as_ref()
                .map_err(Clone::clone)?,
            gate: &member.gate,
            redactor: &self.redactor,
        })
    }
}

#[cfg(not(feature = "http"))]
fn without_http() -> Refusal {
    Refusal::new(Cause::Wrong, "this meu is built without HTTP", "install it with its default features")
}

impl Tried {
    /// A try that came to no call.
    pub fn not_asked(provider: &str, refusal: Refusal) -> Self {
        Tried {
            provider: provider.to_owned(),
            model: String::new(),
            parameters: Vec::new(),
            answer: Err(refusal),
            spent: Spent::nothing(),
            unknown: 0,
            at_worst: Spent::nothing(),
            retries: 0,
            ms: 0,
        }
    }
}

/// What the calls of one try came to.
struct Log {
    spent: Spent,
    unknown: usize,
    at_worst: Spent,
    retries: usize,
}

impl Log {
    /// Writes down what a call was charged for; what it spent, at its worst where nobody knows.
    fn charge(&mut self, charge: Charge, worst: Spent, price: Option<Price>) -> Spent {
        let spent = match charge {
            Charge::Nothing => Spent::nothing(),
            Charge::Unknown => worst,
            Charge::Known(tokens) | Charge::Counted(tokens) => Spent {
                input: tokens.input.unwrap_or_default(),
                cached: tokens.cached,
                output: tokens.output.unwrap_or_default(),
                reasoning: tokens.reasoning,
                cost: cost(price, tokens),
            },
        };
        if charge == Charge::Unknown {
            self.unknown += 1;
            self.at_worst = self.at_worst.and(spent);
        } else {
            self.spent = self.spent.and(spent);
        }
        spent
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { spent: Spent::nothing(), unknown: 0, at_worst: Spent::nothing(), retries: 0 }
    }
}

/// Waits; tells whether it was to the end, and not until a person ended the run.
fn rest(pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        if interrupted() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
