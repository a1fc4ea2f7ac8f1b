//! Programs: a text on stdin, the answer on stdout, no shell.
//!
//! A program has a process group of its own: Ctrl-C reaches meu alone, which lets the answer in flight
//! come; and a program that takes too long is ended with all its children.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::model::{Cause, Charge, Refusal};

/// The programs under way, by process id.
static UNDER_WAY: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// How long what a program printed is waited for once it has ended: a child of it may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Ends all programs under way, with their children: a person does not want to wait for them.
pub fn end_programs() {
    let under_way = UNDER_WAY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    under_way.iter().for_each(|pid| end_group(*pid));
}

#[cfg(unix)]
fn end_group(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // A group that has ended by itself is as good.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn end_group(_: u32) {}

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
            let message =
                format!("the program `{program}` ended with {}: {}", self.status, self.last_words());
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
    execute(argv, stdin, environment, folder, timeout)?.printed(argv)
}

/// Runs a program without input; `heard` is told what it printed, however it ended.
pub(super) fn run_and_hear(
    argv: &[String],
    folder: &Path,
    timeout: Duration,
    heard: &dyn Fn(&str),
) -> Result<String, Refusal> {
    let ended = execute(argv, "", &[], folder, Some(timeout))?;
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
    let ended = execute(argv, text, environment, folder, Some(PATIENCE))?;
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
    timeout: Option<Duration>,
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
        .stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| {
        nothing(
            format!("the program `{program}` cannot be started: {error}"),
            "programs are looked for on PATH, or below the project's folder with `./`",
        )
    })?;
    let pid = child.id();
    let under_way = || UNDER_WAY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    under_way().insert(pid);
    if let Some(mut pipe) = child.stdin.take() {
        let text = stdin.to_owned();
        // A program that does not read its input closes the pipe early; that is its right.
        std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    }
    // Threads of their own, which nobody waits for: a child of the program may keep a pipe open.
    let stdout = child.stdout.take().map(|pipe| Collected::new(pipe, pid));
    let stderr = child.stderr.take().map(|pipe| Collected::new(pipe, pid));
    let status = wait(&mut child, timeout);
    if !matches!(status, Ok(Some(_))) {
        end_group(pid);
        let _ = child.kill();
        let _ = child.wait();
    }
    under_way().remove(&pid);
    let printed = |pipe: Option<Collected>| pipe.map_or_else(Default::default, Collected::take);
    match status {
        Err(error) => Err(refusal(format!("the program `{program}` was lost: {error}"), "run it again")),
        Ok(None) => Err(refusal(
            format!(
                "the program `{program}` took longer than {} s",
                timeout.unwrap_or_default().as_secs_f64()
            ),
            "raise the provider's `timeout`",
        )),
        Ok(Some(status)) => {
            let ((stdout, whole), (stderr, _)) = (printed(stdout), printed(stderr));
            if !whole {
                // A child of it that lives on holds the pipe; what the program itself printed is here.
                end_group(pid);
            }
            if stdout.len() as u64 > LONGEST {
                return Err(refusal(
                    format!("the program `{program}` prints without end"),
                    "mend the program",
                ));
            }
            Ok(Ended { status, stdout, stderr })
        }
    }
}

/// A program that gives no answer is not asked again; what it may have cost nobody knows.
fn refusal(message: String, help: &str) -> Refusal {
    Refusal { last: true, ..Refusal::new(Cause::Down, message, help).charged(Charge::Unknown) }
}

/// The most bytes that are taken from a program.
const LONGEST: u64 = 64 * 1024 * 1024;

/// A pipe that is read to its end, beside all else.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: mpsc::Receiver<()>,
}

impl Collected {
    fn new(pipe: impl Read + Send + 'static, pid: u32) -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (sender, end) = mpsc::channel();
        let kept = bytes.clone();
        std::thread::spawn(move || {
            let mut pipe = pipe.take(LONGEST + 1);
            let mut piece = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                kept.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .extend_from_slice(&piece[..count]);
            }
            if pipe.limit() == 0 {
                end_group(pid);
            }
            sender.send(())
        });
        Collected { bytes, end }
    }

    /// What came, and whether that is all. While the program lived its pipes were read; what is left is on
    /// its way.
    fn take(self) -> (Vec<u8>, bool) {
        let whole = self.end.recv_timeout(LAST_WORDS).is_ok();
        let bytes =
            std::mem::take(&mut *self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        (bytes, whole)
    }
}

/// Waits for a program's end; `None` if it took too long.
fn wait(child: &mut Child, timeout: Option<Duration>) -> std::io::Result<Option<ExitStatus>> {
    let Some(limit) = timeout else { return child.wait().map(Some) };
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > limit {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
