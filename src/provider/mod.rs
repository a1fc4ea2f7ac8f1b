//! Whatever answers from outside: HTTP APIs and programs, each behind [`Model`].
//!
//! A door (◇). Keys are read here, from the environment, and go nowhere but into a request's head.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

#[cfg(feature = "http")]
mod openai;
mod program;

use std::collections::HashMap;
use std::sync::{Condvar, Mutex};

pub use program::run_program;

use crate::diag::Error;
use crate::model::{Answer, Model, Offline, Refusal};
use crate::request::Request;
use crate::spec::{Config, Price, Provider, ProviderApi};

/// The providers of a project.
pub struct Providers {
    known: HashMap<String, Gate>,
}

/// A provider, and how many calls it may have under way.
struct Gate {
    provider: Provider,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Providers {
    /// The providers that a configuration declares, and the built-in ones.
    pub fn new(config: &Config) -> Self {
        let gates = config.providers.values().map(|provider| {
            let gate = Gate {
                free: Mutex::new(provider.concurrency.max(1)),
                freed: Condvar::new(),
                provider: provider.clone(),
            };
            (provider.name.clone(), gate)
        });
        Providers { known: gates.collect() }
    }

    /// What is missing before a provider can be asked at all; found out before any call.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        let Some(gate) = self.known.get(name) else { return Ok(()) };
        match gate.provider.api {
            ProviderApi::Offline | ProviderApi::Command => Ok(()),
            #[cfg(feature = "http")]
            ProviderApi::OpenAi => openai::check(&gate.provider),
            #[cfg(not(feature = "http"))]
            ProviderApi::OpenAi => Err(Error::invalid(format!(
                "the provider `{name}` needs HTTP, which this meu is built without"
            ))
            .help("install meu with its default features")),
        }
    }

    /// The price of a provider, if it is known.
    pub fn price(&self, name: &str) -> Option<Price> {
        self.known.get(name).and_then(|gate| gate.provider.price)
    }

    /// The vectors that a model makes of some texts, one for each.
    pub fn embed(&self, name: &str, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        match self.known.get(name).map(|gate| &gate.provider) {
            #[cfg(feature = "http")]
            Some(provider) if provider.api == ProviderApi::OpenAi => {
                openai::OpenAi(provider).embed(model, texts)
            }
            _ => {
                let _ = (model, texts);
                Err(Refusal::new(
                    format!("the provider `{name}` gives no embeddings"),
                    "take one with `api = \"openai\"`, and a meu that is built with HTTP",
                ))
            }
        }
    }

    /// Asks a provider; waits while it has as many calls under way as it may have.
    pub fn ask(&self, name: &str, request: &Request, folder: &std::path::Path) -> Result<Answer, Refusal> {
        let Some(gate) = self.known.get(name) else {
            return Err(Refusal::new(format!("no provider `{name}`"), "declare it in meu.toml"));
        };
        let mut free = gate.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while *free == 0 {
            free = gate.freed.wait(free).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *free -= 1;
        drop(free);
        let answer = ask(&gate.provider, request, folder);
        *gate.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        gate.freed.notify_one();
        answer.and_then(|answer| {
            if answer.text.trim().is_empty() {
                return Err(Refusal::new("the answer is empty", "look at the prompt, or try another model"));
            }
            Ok(answer)
        })
    }
}

fn ask(provider: &Provider, request: &Request, folder: &std::path::Path) -> Result<Answer, Refusal> {
    match provider.api {
        ProviderApi::Offline => Offline.ask(request),
        ProviderApi::Command => {
            let text = request.text();
            run_program(&provider.command, &text, &[], folder, Some(provider.timeout))
                .map(|answer| Answer { model: provider.name.clone(), ..answer })
        }
        #[cfg(feature = "http")]
        ProviderApi::OpenAi => openai::OpenAi(provider).ask(request),
        #[cfg(not(feature = "http"))]
        ProviderApi::OpenAi => {
            Err(Refusal::new("this meu is built without HTTP", "install it with its default features"))
        }
    }
}
