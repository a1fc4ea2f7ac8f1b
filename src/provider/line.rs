//! The way to a server: one agent with its time limits, its certificates and its proxy.

use std::time::Duration;

use serde_json::Value;
use ureq::tls::{RootCerts, TlsConfig};

use super::proxy;
use crate::model::Refusal;
use crate::spec::Provider;

/// The way to a server: made once, since reading the system's certificates takes its time.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) agent: ureq::Agent,
    /// The proxy that calls go through, as it is told.
    pub(super) proxy: Option<String>,
}

impl Line {
    pub(super) fn new(provider: &Provider) -> Result<Self, Refusal> {
        let silence = if provider.stream { provider.read_timeout } else { provider.timeout };
        Line::to(&provider.base_url, provider.timeout, provider.connect_timeout, silence)
    }

    /// The way to some address, with the longest that a call, its connection, and a silence in it may take.
    pub(super) fn to(
        url: &str,
        whole: Duration,
        connect: Duration,
        silence: Duration,
    ) -> Result<Self, Refusal> {
        let (told, proxy) = proxy::of(url)?.unzip();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(whole))
            .timeout_connect(Some(connect))
            .timeout_per_read(Some(silence))
            .max_redirects(0)
            .http_status_as_error(false)
            // A connection that a server closed while it was idle would look like a lost call.
            .max_idle_connections(0)
            .user_agent(concat!("meu/", env!("CARGO_PKG_VERSION")))
            // The proxy is chosen here, and not by the library: by the address's scheme, as curl does.
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
        Ok(Line { agent: ureq::Agent::new_with_config(config.build()), proxy: told })
    }

    /// Whether somebody answers at an address at all: with which status. No key goes there.
    pub(super) fn reaches(&self, url: &str) -> Result<u16, String> {
        self.agent
            .get(url)
            .call()
            .map(|response| response.status().as_u16())
            .map_err(|error| error.to_string())
    }

    /// Sends JSON, and returns what was said to it. The error says what came instead of success.
    pub(super) fn post(&self, url: &str, body: &Value) -> Result<String, String> {
        let sent = self.agent.post(url).header("content-type", "application/json").send(body.to_string());
        let mut response = sent.map_err(|error| error.to_string())?;
        let status = response.status();
        let said = response.body_mut().with_config().limit(2000).read_to_string().unwrap_or_default();
        if status.is_success() {
            return Ok(said);
        }
        let first = said.lines().next().unwrap_or_default();
        Err(format!("{status}: {first}").trim_end_matches(": ").to_owned())
    }
}
