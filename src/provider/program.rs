//! Programs: a text on stdin, the answer on stdout, no shell.
//!
//! A program has a process group of its own: Ctrl-C reaches meu alone, which lets the answer in flight
//! come; and a program that takes too long is ended with all its children.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
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
    /// What it printed; `None` if a child of it holds the pipe open.
    stdout: Option<Vec<u8>>,
    stderr: Vec<u8>,
}

impl Ended {
    /// The last three lines that it printed, errors first.
    fn last_words(&self) -> String {
        let said = [Some(&self.stderr), self.stdout.as_ref()].into_iter().flatten();
        let texts: Vec<_> = said.map(|bytes| String::from_utf8_lossy(bytes)).collect();
        let text = texts.iter().find(|text| !text.trim().is_empty()).map_or("", |text| text.as_ref());
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" / ")
    }
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
    let program = argv.first().map_or("", String::as_str);
    let ended = execute(argv, stdin, environment, folder, timeout)?;
    if !ended.status.success() {
        let message = format!("the program `{program}` ended with {}: {}", ended.status, ended.last_words());
        return Err(Refusal { help: None, ..refusal(message, "") });
    }
    let Some(stdout) = ended.stdout else {
        return Err(refusal(
            format!("the program `{program}` ended, but a child of it holds its output open"),
            "let it wait for its children, or give them an output of their own",
        ));
    };
    String::from_utf8(stdout).map_err(|_| {
        refusal(format!("the program `{program}` printed what is not UTF-8"), "mend the program")
    })
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
        let words = ended.last_words();
        let words = if words.is_empty() { ended.status.to_string() } else { words };
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
    let (stdout, stderr) = (child.stdout.take().map(collect), child.stderr.take().map(collect));
    let status = wait(&mut child, timeout);
    if !matches!(status, Ok(Some(_))) {
        end_group(pid);
        let _ = child.kill();
        let _ = child.wait();
    }
    under_way().remove(&pid);
    // While the program lived its pipes were read; what is left is on its way.
    let printed =
        |pipe: Option<mpsc::Receiver<Vec<u8>>>| pipe.and_then(|pipe| pipe.recv_timeout(LAST_WORDS).ok());
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
            let ended =
                Ended { status, stdout: printed(stdout), stderr: printed(stderr).unwrap_or_default() };
            if ended.stdout.is_none() {
                end_group(pid);
            }
            Ok(ended)
        }
    }
}

/// A program that gives no answer is not asked again; what it may have cost nobody knows.
fn refusal(message: String, help: &str) -> Refusal {
    Refusal { last: true, ..Refusal::new(Cause::Down, message, help).charged(Charge::Unknown) }
}

/// Reads a pipe to its end, beside all else.
fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        sender.send(bytes)
    });
    receiver
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
