//! The proxy that calls go through: chosen by the address's scheme, as curl does.

use crate::disk::variable;
use crate::model::{Cause, Refusal};
use crate::spec::{host, is_this_machine};

/// The proxy that calls go through, and how it is written; none for this machine's own servers.
pub(super) fn of(url: &str) -> Result<Option<(String, ureq::Proxy)>, Refusal> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            variable(name).filter(|value| !value.trim().is_empty()).map(|value| (*name, value))
        })
    };
    let scheme: &[&str] = match url.starts_with("https://") {
        true => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        false => &["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"],
    };
    let Some((name, value)) = first(scheme).filter(|_| !is_this_machine(host(url))) else { return Ok(None) };
    let excluded = first(&["NO_PROXY", "no_proxy"]).map(|(_, list)| list).unwrap_or_default();
    if is_excluded(host(url), &excluded) {
        return Ok(None);
    }
    let value = value.trim();
    let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    match ureq::Proxy::new(&url) {
        // What stands before an `@` may be a password.
        Ok(proxy) => Ok(Some((url.rsplit('@').next().unwrap_or(&url).to_owned(), proxy))),
        Err(_) => Err(Refusal::new(
            Cause::Wrong,
            format!("{name} holds no address of a proxy"),
            "write it as http://host:port, or unset it",
        )),
    }
}

/// Whether a list of hosts, as `NO_PROXY` has it, names a host: itself, a domain above it, or all.
fn is_excluded(host: &str, list: &str) -> bool {
    let mut names =
        list.split([',', ' ']).map(|name| name.trim().trim_start_matches("*.").trim_start_matches('.'));
    names.any(|name| {
        let name = name
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok())
            .map_or(name, |(name, _)| name);
        name == "*" || (!name.is_empty() && (host == name || host.ends_with(&format!(".{name}"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_excluded_as_curl_does() {
        for (list, expected) in [
            ("api.example.test", true),
            ("other.test, api.example.test", true),
            ("example.test", true),
            (".example.test", true),
            ("*.example.test", true),
            ("api.example.test:443", true),
            ("*", true),
            ("ample.test", false),
            ("", false),
        ] {
            assert_eq!(is_excluded("api.example.test", list), expected, "{list}");
        }
    }
}
