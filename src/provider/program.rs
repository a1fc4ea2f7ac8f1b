//! Programs: a text on stdin, the answer on stdout, no shell.
//!
//! A program has a process group of its own: Ctrl-C reaches meu alone, which lets the answer in flight
//! come; and a program that takes too long is ended with all its children.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::pipes::{Heard, LONGEST, converse};
use crate::model::{Cause, Charge, Refusal};

/// The programs under way, by process id.
static UNDER_WAY: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Ends all programs under way, with their children: a person does not want to wait for them. The process is to end,
/// too: from now on none is started, and none is told to have failed.
pub fn end_programs() {
    let under_way = under_way();
    under_way.iter().for_each(|pid| end_group(*pid));
    // Whoever waits for one waits for this lock next.
    std::mem::forget(under_way);
}

fn end_group(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // A group that has ended by itself is as good.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

fn under_way() -> MutexGuard<'static, BTreeSet<u32>> {
    UNDER_WAY.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How a program ended.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ended {
    /// What it printed, if it ended well.
    fn printed(self, argv: &[String]) -> Result<String, Refusal> {
        let program = argv.first().map_or("", String::as_str);
        if !self.status.success() {
            let words = Some(self.last_words()).filter(|words| !words.is_empty());
            let words = words.map_or_else(String::new, |words| format!(": {words}"));
            let message = format!("the program `{program}` ended with {}{words}", self.status);
            return Err(Refusal { help: None, ..refusal(message, "") });
        }
        String::from_utf8(self.stdout).map_err(|_| {
            refusal(format!("the program `{program}` printed what is not UTF-8"), "mend the program")
        })
    }

    /// The last three lines of what it printed as its errors.
    fn last_words(&self) -> String {
        last_lines(&String::from_utf8_lossy(&self.stderr))
    }
}

/// The last three lines of a text, in one.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

/// Runs a program in the project's folder; gives what it printed.
///
/// `timeout` ends it; without one it may take as long as it likes. Its stderr is told if it fails.
pub fn run_program(
    argv: &[String],
    stdin: &str,
    environment: &[(&str, &str)],
    folder: &Path,
    timeout: Option<Duration>,
) -> Result<String, Refusal> {
    let limit = timeout.map(|time| (time, "raise the provider's `timeout`"));
    execute(argv, stdin, environment, folder, limit)?.printed(argv)
}

/// Runs a program without input; `heard` is told what it printed, however it ended.
pub(super) fn run_and_hear(
    argv: &[String],
    folder: &Path,
    timeout: Duration,
    heard: &dyn Fn(&str),
) -> Result<String, Refusal> {
    let limit = (timeout, "a program that prints a key may take no longer; unlock the safe first");
    let ended = execute(argv, "", &[], folder, Some(limit))?;
    heard(&String::from_utf8_lossy(&ended.stdout));
    ended.printed(argv)
}

/// Lets a program judge a text; what it says against it, or an error if it could not be asked.
pub fn judged_by(
    argv: &[String],
    text: &str,
    environment: &[(&str, &str)],
    folder: &Path,
) -> Result<Option<String>, Refusal> {
    const PATIENCE: Duration = Duration::from_secs(600);
    let limit = (PATIENCE, "a program that judges outputs may take no longer");
    let ended = execute(argv, text, environment, folder, Some(limit))?;
    Ok((!ended.status.success()).then(|| {
        let said = [ended.last_words(), last_lines(&String::from_utf8_lossy(&ended.stdout))];
        let words = said.into_iter().find(|words| !words.is_empty()).unwrap_or(ended.status.to_string());
        format!("the check `{}` says: {words}", argv.join(" "))
    }))
}

fn execute(
    argv: &[String],
    stdin: &str,
    environment: &[(&str, &str)],
    folder: &Path,
    limit: Option<(Duration, &str)>,
) -> Result<Ended, Refusal> {
    let nothing = |message: String, help: &str| refusal(message, help).charged(Charge::Nothing);
    let Some((program, arguments)) = argv.split_first() else {
        return Err(nothing("no program is named".into(), "write `[\"program\", \"argument\"]`"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut started = under_way();
    let mut child = command.spawn().map_err(|error| {
        nothing(
            format!("the program `{program}` cannot be started: {error}"),
            "programs are looked for on PATH, or below the project's folder with `./`",
        )
    })?;
    let pid = child.id();
    started.insert(pid);
    drop(started);
    let heard = converse(&mut child, stdin, limit.map(|(time, _)| time));
    // It went on for too long; or a child of it lives on, though what the program itself printed is here.
    let ended = heard.as_ref().is_ok_and(|heard| heard.status.is_some() && !heard.is_held);
    if !ended {
        end_group(pid);
        let _ = child.kill();
        let _ = child.wait();
    }
    under_way().remove(&pid);
    let Heard { status, stdout, stderr, .. } = heard
        .map_err(|error| refusal(format!("the program `{program}` was lost: {error}"), "run it again"))?;
    match status {
        Some(status) => Ok(Ended { status, stdout, stderr }),
        None if stdout.len().max(stderr.len()) > LONGEST => {
            Err(refusal(format!("the program `{program}` prints without end"), "mend the program"))
        }
        None => {
            let (limit, help) = limit.unwrap_or_default();
            let limit = limit.as_secs_f64();
            Err(refusal(format!("the program `{program}` took longer than {limit} s"), help))
        }
    }
}

/// A program that gives no answer is not asked again; what it may have cost nobody knows.
fn refusal(message: String, help: &str) -> Refusal {
    Refusal { last: true, ..Refusal::new(Cause::Down, message, help).charged(Charge::Unknown) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn within(timeout: Option<u64>, script: &str, stdin: &str) -> Result<String, String> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let timeout = timeout.map(Duration::from_secs);
        run_program(&argv, stdin, &[], Path::new("/"), timeout).map_err(|refusal| refusal.message)
    }

    /// The same with a timeout that is never reached, and without any.
    fn shell(script: &str, stdin: &str) -> Result<String, String> {
        let said = within(Some(600), script, stdin);
        assert!(said == within(None, script, stdin), "{script}");
        said
    }

    #[test]
    fn a_program_may_print_much_before_it_has_read_all() {
        let long = "a line of a long text\n".repeat(100_000);
        assert!(shell("cat", &long) == Ok(long.clone()));
        assert!(shell("cat; cat >&2", &long) == Ok(long.clone()));
        assert_eq!(shell("cat > /dev/null; echo done", &long), Ok("done\n".into()));
    }

    #[test]
    fn a_program_need_not_read_and_may_close_its_pipes_early() {
        let long = "x".repeat(1_000_000);
        assert_eq!(shell("exec <&-; echo done", &long), Ok("done\n".into()));
        assert_eq!(shell("echo done; exec >&- 2>&-; cat > /dev/null", &long), Ok("done\n".into()));
        let failed = shell("echo no >&2; exec <&- >&- 2>&-; sleep 0.1; exit 3", &long);
        assert_eq!(failed, Err("the program `sh` ended with exit status: 3: no".into()));
        assert_eq!(shell("exit 3", ""), Err("the program `sh` ended with exit status: 3".into()));
    }

    #[test]
    fn a_program_that_goes_on_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let fifo = folder.path().join("fifo");
        let made = within(None, &format!("mkfifo {}", fifo.display()), "");
        assert_eq!(made, Ok(String::new()));
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut held = std::fs::File::options()
            .read(true)
            .custom_flags(flags)
            .open(&fifo)
            .unwrap_or_else(|error| panic!("{error}"));
        let script = format!("sleep 600 > {} & wait", fifo.display());
        assert_eq!(within(Some(1), &script, ""), Err("the program `sh` took longer than 1 s".into()));
        // At its end once nobody holds it any more.
        let began = std::time::Instant::now();
        while !matches!(held.read(&mut [0]), Ok(0)) {
            assert!(began.elapsed() < Duration::from_secs(60), "a child lives on");
            std::thread::yield_now();
        }
        assert_eq!(shell("yes", ""), Err("the program `sh` prints without end".into()));
        assert_eq!(shell("yes >&2", ""), Err("the program `sh` prints without end".into()));
    }

    #[test]
    fn what_a_child_that_lives_on_prints_is_not_waited_for() {
        assert_eq!(shell("sleep 600 & echo done", ""), Ok("done\n".into()));
    }
}
