//! `[telemetry]`: where traces of runs are sent.

use super::keys::Keys;
use super::provider::{host, is_this_machine, read_url};
use crate::diag::Diagnostic;

/// The `[telemetry]` table.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// Where an OpenTelemetry collector listens for OTLP over HTTP, without `/v1/traces`; `None` is nowhere.
    pub otlp: Option<String>,
    /// Whether requests and answers go along.
    pub contents: bool,
}

impl Telemetry {
    pub(super) fn read(mut keys: Keys<'_>) -> Self {
        let sink = keys.sink();
        let telemetry = Telemetry {
            otlp: keys.string("otlp").and_then(|text| {
                let url = read_url("otlp", &text, sink)?;
                if url.contains('?') {
                    sink.push(Diagnostic::error(format!("the otlp `{url}` has a query")).at(text.place()));
                }
                Some(url)
            }),
            contents: keys.bool("contents").unwrap_or(false),
        };
        keys.finish();
        telemetry
    }

    /// Where traces leave this machine for, if they do: a person must allow it.
    pub fn leaves_for(&self) -> Option<&str> {
        self.otlp.as_deref().filter(|url| !is_this_machine(host(url)))
    }
}
