//! The clock, for run records and for how long things took. No digest and no decision depends on it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Store;
use super::stamp::Stat;

/// A moment, to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Moment(Instant);

/// Now, in nanoseconds since 1970.
pub fn now_in_nanoseconds() -> i128 {
    super::stamp::nanos(SystemTime::now())
}

/// When something began.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    /// In nanoseconds since 1970.
    at: i128,
    moment: Moment,
    /// So many nanoseconds after that moment.
    after: i128,
}

impl Began {
    /// Now.
    pub fn now() -> Self {
        Began { at: now_in_nanoseconds(), moment: Moment::now(), after: 0 }
    }

    /// As if it had begun so much later.
    pub fn put_off(&mut self, by: Duration) {
        let by = by.as_nanos() as i128;
        self.at += by;
        self.after += by;
    }

    /// In nanoseconds since 1970 as the files of a project tell the time: theirs may be another machine's, or this
    /// machine's clock may have been set back since. A file that is written now tells.
    pub fn by_files_of(self, store: &Store) -> i128 {
        let clock = store.scratch("clock");
        // Nothing is made in a project that has no `.meu/`.
        let written = store.meu().is_dir().then(|| clock.write(""));
        let now = written.and_then(Result::ok).and_then(|()| Stat::at(clock.path()));
        let by_files = now.map(|now| i128::from(now.modified) - self.moment.0.elapsed().as_nanos() as i128);
        let by_files = by_files.map(|moment| moment + self.after);
        by_files.map_or(self.at, |by_files| by_files.min(self.at))
    }
}

impl Default for Began {
    fn default() -> Self {
        Began::now()
    }
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Moment(Instant::now())
    }

    /// Milliseconds since then.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Now, in UTC, as RFC 3339 writes it, to the second.
pub fn now() -> String {
    ago(0)
}

/// So many seconds ago, in the same form.
pub fn ago(seconds: u64) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    at(since.saturating_sub(seconds))
}

/// So many seconds after 1970 began, in the same form.
pub fn at(since: u64) -> String {
    let (y, m, d, seconds) = utc(since);
    format!("{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A name for a run: its start in UTC to the millisecond and the process, so that names sort by time.
pub fn run_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    name_of(since, std::process::id())
}

fn name_of(since: Duration, process: u32) -> String {
    let (y, m, d, seconds) = utc(since.as_secs());
    let clock = format!("{:02}{:02}{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{y:04}{m:02}{d:02}-{clock}{:03}-{process}", since.subsec_millis())
}

fn utc(since: u64) -> (i64, u64, u64, u64) {
    let (y, m, d) = civil(i64::try_from(since / 86400).unwrap_or_default());
    (y, m, d, since % 86400)
}

/// Days since 1970-01-01 to year, month, day (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, u64, u64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month.unsigned_abs(), day.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29)); // `date -u -d @951782400`
        assert_eq!(civil(20_779), (2026, 11, 22));
    }

    #[test]
    fn names_of_runs_sort_by_time_whatever_the_processes() {
        let names =
            [(5, 9999), (6, 10_000), (1000, 7)].map(|(ms, id)| name_of(Duration::from_millis(ms), id));
        assert_eq!(names, ["19700101-000000005-9999", "19700101-000000006-10000", "19700101-000001000-7"]);
        assert!(names.is_sorted());
    }

    #[test]
    fn what_began_is_dated_by_the_clock_of_the_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path()).expect("a store");
        let mut began = Began::now();
        let behind = 10_000_000_000;
        // As where this machine is ahead of the one that has the files.
        began.at += behind;
        assert_eq!(began.by_files_of(&store), began.at, "nothing is made");
        assert!(!store.meu().exists());
        store.make_meu().expect("made");
        let by_files = began.by_files_of(&store);
        assert!(by_files <= began.at - behind && by_files > began.at - 2 * behind, "{by_files} {}", began.at);
        // And never later than it was here.
        began.at -= 2 * behind;
        assert_eq!(began.by_files_of(&store), began.at);
    }
}
