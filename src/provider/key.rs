//! Keys: out of the environment, or printed by a program. They go nowhere but into a request's head.

use std::path::Path;
use std::time::Duration;

use super::program::run_and_hear;
use crate::disk::variable;
use crate::model::{Cause, Refusal};
use crate::spec::Provider;
use crate::text::Redactor;

/// The longest that a program may take to print a key: a person may have to unlock a safe.
const PATIENCE: Duration = Duration::from_secs(120);

/// The key of a provider. None is needed but by the APIs' public services.
pub(super) fn read(
    provider: &Provider,
    folder: &Path,
    redactor: &Redactor,
) -> Result<Option<String>, Refusal> {
    let key = if provider.key_command.is_empty() {
        variable(&provider.api_key_env).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty())
    } else {
        let failed = |refusal: Refusal| {
            let message = format!("no key for the provider `{}`: {}", provider.name, refusal.message);
            Refusal { message: redactor.clean(&message).into_owned(), cause: Cause::Key, ..refusal }
        };
        // Whatever it printed may be the key, also where it failed.
        let printed = run_and_hear(&provider.key_command, folder, PATIENCE, &|printed| {
            printed.lines().for_each(|line| redactor.learn_key(line.trim()));
        });
        let printed = printed.map_err(failed)?;
        let line = printed.lines().map(str::trim).find(|line| !line.is_empty());
        match line {
            Some(key) => Some(key.to_owned()),
            None => {
                return Err(Refusal::new(
                    Cause::Key,
                    format!("no key for the provider `{}`: its `key_command` prints nothing", provider.name),
                    "it must print the key in its first line",
                ));
            }
        }
    };
    let place = || match provider.key_command.first() {
        Some(program) => format!("what `{program}` prints"),
        None => provider.api_key_env.clone(),
    };
    match &key {
        None if provider.is_public() => Err(Refusal::new(
            Cause::Key,
            format!("no key for the provider `{}`: {} is not set", provider.name, provider.api_key_env),
            format!("set {} in the environment, or choose another provider", provider.api_key_env),
        )),
        Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => Err(Refusal::new(
            Cause::Key,
            format!("no key for the provider `{}`: {} holds what no key has", provider.name, place()),
            "a key has no spaces, line ends or letters beyond ASCII",
        )),
        _ => Ok(key),
    }
}
