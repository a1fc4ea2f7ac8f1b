//! Trust: programs that a project wants to run, and keys that it wants to send, once allowed by the
//! person. What was allowed is kept outside the project, by content.

use std::fs;
use std::path::PathBuf;

use crate::diag::Error;
use crate::digest::{Digest, Framer};
use crate::graph::{Graph, Ix};
use crate::path::RelPath;
use crate::spec::{ProviderApi, Runner};

use super::Store;

/// What needs a yes, and whether it has one.
#[derive(Clone, Debug)]
pub struct Trust {
    /// In words, a line each.
    pub wants: Vec<String>,
    digest: Digest,
}

/// Whether the environment says that everything is trusted, as CI does.
pub fn trust_everything() -> bool {
    super::variable("MEU_TRUST").is_some_and(|value| value == "1")
}

impl Trust {
    /// What these tasks would run or send.
    pub fn wanted(graph: &Graph, tasks: impl IntoIterator<Item = Ix>, store: &Store) -> Self {
        let mut wants: Vec<(String, Digest)> = Vec::new();
        for ix in tasks {
            let node = graph.node(ix);
            match (&node.task.run, graph.provider(ix)) {
                (Runner::Program(argv), _) => {
                    wants.push((format!("task {} runs {}", node.id(), shown(argv)), content(argv, store)));
                }
                (Runner::Model, Some(provider)) if provider.api == ProviderApi::Command => {
                    let argv = &provider.command;
                    wants.push((
                        format!("provider {} runs {}", provider.name, shown(argv)),
                        content(argv, store),
                    ));
                }
                (Runner::Model, Some(provider))
                    if provider.api == ProviderApi::OpenAi
                        && !is_usual(&provider.base_url, &provider.api_key_env) =>
                {
                    let line = format!(
                        "provider {} sends requests, and the key in {} if it is set, to {}",
                        provider.name, provider.api_key_env, provider.base_url
                    );
                    let digest = Digest::of(&line);
                    wants.push((line, digest));
                }
                _ => {}
            }
        }
        wants.sort();
        wants.dedup();
        let mut framer = Framer::new("meu trust v1");
        for (line, digest) in &wants {
            framer.field(line).field(digest.as_bytes());
        }
        Trust { digest: framer.finish(), wants: wants.into_iter().map(|(line, _)| line).collect() }
    }

    /// Whether the person said yes to all of it, as it is now.
    pub fn is_given(&self) -> bool {
        self.wants.is_empty()
            || trust_everything()
            || fs::read_to_string(file().unwrap_or_default()).is_ok_and(|text| {
                text.lines().any(|line| line.split(' ').next() == Some(&self.digest.to_string()))
            })
    }

    /// Keeps the yes.
    pub fn give(&self, store: &Store) -> Result<PathBuf, Error> {
        let path =
            file().ok_or_else(|| Error::failed("neither XDG_CONFIG_HOME nor HOME says where to keep it"))?;
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            use std::io::Write;
            let mut file = fs::File::options().append(true).create(true).open(&path)?;
            writeln!(file, "{} {}", self.digest, store.root().display())
        };
        write().map_err(|error| Error::failed(format!("{} cannot be written: {error}", path.display())))?;
        Ok(path)
    }

    /// The refusal.
    pub fn refused(&self) -> Error {
        let mut error = Error::invalid("this project wants what you have not allowed yet");
        for want in &self.wants {
            error.diagnostics.push(crate::diag::Diagnostic::error(want.clone()));
        }
        if let Some(last) = error.diagnostics.last_mut() {
            last.help = Some("look at it, then say `meu trust`; in CI set MEU_TRUST=1".into());
        }
        error
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
