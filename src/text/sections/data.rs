//! JSON and YAML by the keys of the top, or by a JSON pointer (RFC 6901).

use serde_json::value::RawValue;

/// The value at a pointer or a key of the top, as it stands in the text.
pub(super) fn json<'a>(text: &'a str, address: &str) -> Option<&'a str> {
    let mut value: &'a RawValue = serde_json::from_str(text).ok()?;
    for step in steps(address) {
        value = match value.get().trim_start().as_bytes().first()? {
            b'{' => {
                // Of two equal keys the last one counts, as for parsers.
                object(value.get())?.into_iter().rev().find(|(key, _)| *key == step)?.1
            }
            b'[' => {
                let items: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
                items.get(index(&step)?).copied()?
            }
            _ => return None,
        };
    }
    Some(value.get())
}

/// The keys of the top with their values as they stand in the text, in order.
pub(super) fn json_keys(text: &str) -> Vec<(String, String)> {
    let mut pairs = object(text).unwrap_or_default();
    let mut seen = std::collections::HashSet::new();
    pairs.reverse();
    pairs.retain(|(key, _)| seen.insert(key.clone()));
    pairs.reverse();
    pairs.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect()
}

/// The keys of an object in their order, values unread.
pub fn object(text: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    use serde::Deserializer;
    serde_json::Deserializer::from_str(text).deserialize_map(Pairs).ok()
}

/// The value at a pointer or a key of the top, written anew: comments are not data.
pub(super) fn yaml(text: &str, address: &str) -> Option<String> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    for step in steps(address) {
        value = match value {
            serde_yaml::Value::Mapping(mut map) => {
                let key = map.keys().find(|key| scalar(key).as_deref() == Some(&step))?.clone();
                map.remove(&key)?
            }
            serde_yaml::Value::Sequence(items) => items.into_iter().nth(index(&step)?)?,
            _ => return None,
        };
    }
    serde_yaml::to_string(&value).ok()
}

/// The keys of the top with their values written anew, in order.
pub(super) fn yaml_keys(text: &str) -> Vec<(String, String)> {
    let Ok(serde_yaml::Value::Mapping(map)) = serde_yaml::from_str(text) else { return Vec::new() };
    map.iter().filter_map(|(key, value)| Some((scalar(key)?, serde_yaml::to_string(value).ok()?))).collect()
}

fn scalar(value: &serde_yaml::Value) -> Option<String> {
    match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        serde_yaml::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A pointer's steps; what does not begin with `/` is one key of the top.
fn steps(address: &str) -> Vec<String> {
    match address.strip_prefix('/') {
        None => vec![address.to_owned()],
        Some(rest) => rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
    }
}

/// A place in a list, as RFC 6901 writes it.
fn index(step: &str) -> Option<usize> {
    let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    let plain = step == "0" || !step.starts_with('0');
    step.parse().ok().filter(|_| digits && plain)
}

/// The pointer to a key of the top.
pub(super) fn pointer_to(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_a_value_as_it_stands() {
        let text = "{\"paths\": {\"/login\": {\"post\":  1}}, \"list\": [\"a\", [2, 3]]}";
        assert_eq!(json(text, "/paths/~1login"), Some("{\"post\":  1}"));
        assert_eq!(json(text, "/list/1/0"), Some("2"));
        assert_eq!(json(text, "list"), Some("[\"a\", [2, 3]]"));
        assert_eq!(json(text, "/none"), None);
        assert_eq!(pointer_to("/login"), "/~1login");
    }

    #[test]
    fn yaml_is_found_without_its_comments() {
        let text = "server: # where\n  port: 80 # http\n1: one\n";
        assert_eq!(yaml(text, "server").as_deref(), Some("port: 80\n"));
        assert_eq!(yaml(text, "/server/port").as_deref(), Some("80\n"));
        assert_eq!(yaml(text, "/1").as_deref(), Some("one\n"));
        assert_eq!(yaml(text, "/none"), None);
    }
}
