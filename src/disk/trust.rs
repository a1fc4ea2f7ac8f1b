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
            let mut runs = |verb: &str, argv: &[String]| {
                wants.push((format!("task {} {verb} {}", node.id(), shown(argv)), content(argv, store)));
            };
            if let Runner::Program(argv) = &node.task.run {
                runs("runs", argv);
            }
            if let Some(expect) = node.task.expect.as_ref().filter(|expect| !expect.command.is_empty()) {
                runs("has its output judged by", &expect.command);
            }
            let asked = (node.task.run == Runner::Model).then(|| graph.providers(ix)).into_iter().flatten();
            for provider in asked.chain(graph.embedder(ix)) {
                wants.extend(of_provider(provider, store));
            }
        }
        Trust::of(wants)
    }

    /// What the whole project would run or send: all its programs, all its providers.
    pub fn whole(graph: &Graph, store: &Store) -> Self {
        let mut trust = Trust::wanted(graph, graph.nodes().map(|(ix, _)| ix), store);
        trust.wants.extend(graph.config.providers.values().flat_map(|provider| of_provider(provider, store)));
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

/// What asking a provider would run and send, as far as that needs a yes.
fn of_provider(provider: &Provider, store: &Store) -> Vec<(String, Digest)> {
    let mut wants = Vec::new();
    if provider.api == ProviderApi::Command {
        let argv = &provider.command;
        wants.push((format!("provider {} runs {}", provider.name, shown(argv)), content(argv, store)));
    }
    if !provider.api.is_http() {
        return wants;
    }
    let argv = &provider.key_command;
    let key = if argv.is_empty() {
        format!("the key in {} if it is set", provider.api_key_env)
    } else {
        wants.push((
            format!("provider {} takes its key from {}", provider.name, shown(argv)),
            content(argv, store),
        ));
        format!("the key that {} prints", shown(argv))
    };
    if !provider.is_usual() {
        let line = format!("provider {} sends requests, and {key}, to {}", provider.name, provider.base_url);
        let digest = Digest::of(&line);
        wants.push((line, digest));
    }
    wants
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
