//! When a server wants to be asked again, read from the head of its answer.

use std::time::Duration;

use ureq::http::HeaderMap;

/// The pause that a server asks for, and whether it says that another try is of no use.
pub(super) fn retry_words(head: &HeaderMap) -> (Option<Duration>, bool) {
    let word = |name: &str| head.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let after_ms = word("retry-after-ms").and_then(number).map(|ms| ms / 1000.0);
    let after = word("retry-after").and_then(|text| {
        number(text).or_else(|| {
            let at = httpdate::parse_http_date(text).ok()?;
            Some(at.duration_since(std::time::SystemTime::now()).unwrap_or_default().as_secs_f64())
        })
    });
    let pause = after_ms.or(after).map(|seconds| Duration::from_secs_f64(seconds.min(1e6)));
    (pause, word("x-should-retry") == Some("false"))
}

/// How long a server has no room, by its `x-ratelimit-remaining-*` and `-reset-*`.
pub(super) fn rate_pause(head: &HeaderMap) -> Option<Duration> {
    let word = |name: String| head.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let pauses = ["requests", "tokens"].into_iter().filter_map(|of| {
        let left = word(format!("x-ratelimit-remaining-{of}"))?.parse::<f64>().ok()?;
        let reset = length(word(format!("x-ratelimit-reset-{of}"))?)?;
        (left < 1.0).then_some(reset)
    });
    // Longer than some minutes it is a quota for the day: the server will say so itself.
    pauses.max().filter(|pause| *pause <= Duration::from_secs(300))
}

/// Reads a length of time as `x-ratelimit-reset-*` has it: `1s`, `6m0s`, `120ms`, or seconds.
fn length(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (0.0..1e6).contains(&seconds).then(|| Duration::from_secs_f64(seconds));
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        sum += number
            * match &tail[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &tail[end..];
    }
    (0.0..1e6).contains(&sum).then(|| Duration::from_secs_f64(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut head = HeaderMap::new();
        for (name, value) in lines {
            head.insert(*name, value.parse().expect("a value"));
        }
        head
    }

    #[test]
    fn servers_say_in_many_ways_when_to_come_back() {
        let after = |lines| retry_words(&head(lines)).0.map(|pause| pause.as_millis());
        assert_eq!(after(&[("retry-after", "2")]), Some(2000));
        assert_eq!(after(&[("retry-after", "0.5")]), Some(500));
        assert_eq!(after(&[("retry-after-ms", "30"), ("retry-after", "1")]), Some(30));
        assert_eq!(after(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(0));
        assert!(after(&[("retry-after", "Sat, 06 Nov 2094 08:49:37 GMT")]).is_some_and(|ms| ms > 1_000_000));
        assert_eq!(after(&[("retry-after", "soon")]), None);
        assert_eq!(after(&[("retry-after", "-1")]), None);
        assert_eq!(retry_words(&head(&[("x-should-retry", "false")])), (None, true));
    }

    #[test]
    fn an_empty_rate_limit_is_waited_for() {
        let pause = |left, reset| {
            rate_pause(&head(&[
                ("x-ratelimit-remaining-requests", left),
                ("x-ratelimit-reset-requests", reset),
            ]))
            .map(|pause| pause.as_millis())
        };
        assert_eq!(pause("0", "1s"), Some(1000));
        assert_eq!(pause("0", "1m2.5s"), Some(62_500));
        assert_eq!(pause("0", "120ms"), Some(120));
        assert_eq!(pause("0", "7"), Some(7000));
        assert_eq!(pause("3", "1s"), None);
        assert_eq!(pause("0", "never"), None);
        assert_eq!(pause("0", "20h"), None);
    }
}
