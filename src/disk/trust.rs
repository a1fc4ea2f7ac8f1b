//! Trust: programs that a project wants to run, and keys that it wants to send, once allowed by the
//! person. What was allowed is kept outside the project, by content.

use std::fs;
use std::path::PathBuf;

use crate::diag::Error;
use crate::digest::{Digest, Framer};
use crate::graph::{Graph, Ix};
use crate::path::RelPath;
use crate::spec::{Provider, ProviderApi, Runner};

use super::Store;

/// What needs a yes.
#[derive(Clone, Debug)]
pub struct Trust {
    /// In words, with the digest of what is meant.
    wants: Vec<(String, Digest)>,
}

/// Whether the environment says that everything is trusted, as CI does.
pub fn trust_everything() -> bool {
    super::variable("MEU_TRUST").is_some_and(|value| value == "1")
}

impl Trust {
    /// What these tasks would run or send.
    pub fn wanted(graph: &Graph, tasks: impl IntoIterator<Item = Ix>, store: &Store) -> Self {
        let mut wants = Vec::new();
        for ix in tasks {
            let node = graph.node(ix);
            if let Some(provider) = graph.embedder(ix) {
                wants.extend(of_provider(provider, store));
            }
            match (&node.task.run, graph.provider(ix)) {
                (Runner::Program(argv), _) => {
                    let line = format!("task {} runs {}", node.id(), shown(argv));
                    wants.push((line, content(argv, store)));
                }
                (Runner::Model, Some(provider)) => wants.extend(of_provider(provider, store)),
                _ => {}
            }
        }
        Trust::of(wants)
    }

    /// What the whole project would run or send: all its programs, all its providers.
    pub fn whole(graph: &Graph, store: &Store) -> Self {
        let mut trust = Trust::wanted(graph, graph.nodes().map(|(ix, _)| ix), store);
        trust
            .wants
            .extend(graph.config.providers.values().filter_map(|provider| of_provider(provider, store)));
        Trust::of(trust.wants)
    }

    fn of(mut wants: Vec<(String, Digest)>) -> Self {
        wants.sort();
        wants.dedup();
        Trust { wants }
    }

    /// What is wanted, a line each.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.wants.iter().map(|(line, _)| line.as_str())
    }

    /// What the person has not said yes to as it is now.
    pub fn missing(&self) -> Trust {
        if self.wants.is_empty() || trust_everything() {
            return Trust { wants: Vec::new() };
        }
        let text = file().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let given: std::collections::HashSet<&str> =
            text.lines().filter_map(|line| line.split(' ').next()).collect();
        let missing = self.wants.iter().filter(|want| !given.contains(key(want).to_string().as_str()));
        Trust { wants: missing.cloned().collect() }
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// Keeps the yes to all of it.
    pub fn give(&self, store: &Store) -> Result<PathBuf, Error> {
        let path =
            file().ok_or_else(|| Error::failed("neither XDG_CONFIG_HOME nor HOME says where to keep it"))?;
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            use std::io::Write;
            let mut file = fs::File::options().append(true).create(true).open(&path)?;
            let folder = store.root().display().to_string().replace(char::is_control, " ");
            for want in &self.wants {
                writeln!(file, "{} {folder}", key(want))?;
            }
            Ok(())
        };
        write().map_err(|error| Error::failed(format!("{} cannot be written: {error}", path.display())))?;
        Ok(path)
    }

    /// The refusal.
    pub fn refused(&self) -> Error {
        let mut error = Error::invalid("this project wants what you have not allowed yet");
        for want in self.lines() {
            error.diagnostics.push(crate::diag::Diagnostic::error(want));
        }
        if let Some(last) = error.diagnostics.last_mut() {
            last.help = Some("look at it, then say `meu trust`; in CI set MEU_TRUST=1".into());
        }
        error
    }
}

/// What a yes to one line is kept as.
fn key((line, content): &(String, Digest)) -> Digest {
    Framer::new("meu trust v1").field(line).field(content.as_bytes()).finish()
}

/// What asking a provider would run or send, if that needs a yes.
fn of_provider(provider: &Provider, store: &Store) -> Option<(String, Digest)> {
    match provider.api {
        ProviderApi::Command => {
            let argv = &provider.command;
            Some((format!("provider {} runs {}", provider.name, shown(argv)), content(argv, store)))
        }
        ProviderApi::OpenAi if !is_usual(&provider.base_url, &provider.api_key_env) => {
            let line = format!(
                "provider {} sends requests, and the key in {} if it is set, to {}",
                provider.name, provider.api_key_env, provider.base_url
            );
            let digest = Digest::of(&line);
            Some((line, digest))
        }
        _ => None,
    }
}

fn file() -> Option<PathBuf> {
    let config = super::variable("XDG_CONFIG_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || super::variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    Some(config.or_else(home)?.join("meu").join("trust"))
}

fn shown(argv: &[String]) -> String {
    format!("{argv:?}")
}

/// A command line with the contents of the project's files that it names.
fn content(argv: &[String], store: &Store) -> Digest {
    let mut framer = Framer::new("meu argv v1");
    for argument in argv {
        framer.field(argument);
        let file = RelPath::parse(argument).ok().and_then(|path| fs::read(store.full(&path)).ok());
        framer.maybe(file);
    }
    framer.finish()
}

/// Whether a key goes where its name says: the api's public address, or this machine.
fn is_usual(base_url: &str, key: &str) -> bool {
    let host = base_url.split("://").nth(1).unwrap_or(base_url).split(['/', '?', '#']).next().unwrap_or("");
    let host = host.rsplit('@').next().unwrap_or(host);
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let loopback = matches!(name, "localhost" | "127.0.0.1" | "::1");
    loopback || (base_url.starts_with("https://api.openai.com/") && key == "OPENAI_API_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_addresses_get_keys_unasked() {
        assert!(is_usual("https://api.openai.com/v1", "OPENAI_API_KEY"));
        assert!(is_usual("http://127.0.0.1:8080/v1", "X"));
        assert!(is_usual("http://[::1]:8080/v1", "X"));
        assert!(!is_usual("https://api.openai.com/v1", "AWS_SECRET"));
        assert!(!is_usual("https://api.openai.com.evil.example/v1", "OPENAI_API_KEY"));
        assert!(!is_usual("http://localhost@evil.example/v1", "X"));
        assert!(!is_usual("http://127.0.0.1.evil.example", "X"));
    }
}
