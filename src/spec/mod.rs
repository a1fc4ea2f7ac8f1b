//! Text to [`Project`]: tasks, links, policy. The files as their authors wrote them, nothing resolved.
//!
//! Every value that can be wrong later keeps its place ([`At`]), so that the graph can point at it.

mod config;
mod edit;
mod expect;
mod keys;
mod provider;
mod redact;
mod schema;
mod task;
mod telemetry;
mod words;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub use config::{Config, Embed, ModelPatch, ModelSettings, Policy, PolicyPatch, Retrieve};
pub use config::{Ranking, RetrieveFrom, parse_config, reserved_place};
pub use edit::TaskText;
pub use expect::{Expect, OutputFormat};
pub use keys::{parse_table, toml_data};
pub use provider::{Price, Provider, ProviderApi, extra_text, host, is_this_machine};
pub use redact::{Pattern, Redact};
pub use schema::{CONFIG_SCHEMA, TASK_SCHEMA, config_schema, schema_line, task_schema, with_schema_line};
pub use task::{Runner, Task, parse_tasks, words_of_id};
pub use telemetry::Telemetry;
pub use words::{IndexPick, ItemRef, LinkKind, Order, Subject, Tier, TokenizerName, split_heading};

use crate::diag::{Place, Source};

/// Values of `[vars]`.
pub type Vars = BTreeMap<String, serde_json::Value>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// The file it stands in.
    pub source: Arc<Source>,
    /// The bytes of it.
    pub span: Range<usize>,
}

impl<T> At<T> {
    /// The place, for a diagnostic.
    pub fn place(&self) -> Place {
        self.source.place(self.span.clone())
    }
}

/// A project as it is written.
#[derive(Clone, Debug)]
pub struct Project {
    /// `meu.toml`.
    pub config: Config,
    /// All tasks, by id.
    pub tasks: Vec<Task>,
}
