//! Programs: a text on stdin, the answer on stdout, no shell.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::model::{Answer, Refusal};

/// Runs a program in the project's folder.
///
/// `timeout` ends it; without one it may take as long as it likes. Its stderr is told if it fails.
pub fn run_program(
    argv: &[String],
    stdin: &str,
    environment: &[(&str, &str)],
    folder: &Path,
    timeout: Option<Duration>,
) -> Result<Answer, Refusal> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Refusal::new("no program is named", "write `[\"program\", \"argument\"]`"));
    };
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Refusal::new(
                format!("the program `{program}` cannot be started: {error}"),
                "programs are looked for on PATH, or below the project's folder with `./`",
            )
        })?;
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // All three at once: a program may answer before it has read everything.
    let (stdout, stderr, status) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            if let Some(mut pipe) = input {
                // A program that does not read its input closes the pipe early; that is its right.
                let _ = pipe.write_all(stdin.as_bytes());
            }
        });
        let reader = |pipe: Option<Box<dyn Read + Send>>| {
            scope.spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut pipe) = pipe {
                    let _ = pipe.read_to_end(&mut bytes);
                }
                bytes
            })
        };
        let stdout = reader(output.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let stderr = reader(errors.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let status = loop {
            match timeout {
                None => break child.wait().map(Some),
                Some(limit) if began.elapsed() > limit => {
                    let _ = child.kill();
                    break child.wait().map(|_| None);
                }
                Some(_) => match child.try_wait() {
                    Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                    Ok(Some(status)) => break Ok(Some(status)),
                    Err(error) => break Err(error),
                },
            }
        };
        let _ = writer.join();
        (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default(), status)
    });
    let last_words = || {
        let text = String::from_utf8_lossy(&stderr);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(3);
        lines[from..].join(" / ")
    };
    match status {
        Err(error) => Err(Refusal::new(format!("the program `{program}` was lost: {error}"), "run it again")),
        Ok(None) => Err(Refusal::new(
            format!(
                "the program `{program}` took longer than {} s",
                timeout.unwrap_or_default().as_secs_f64()
            ),
            "raise the provider's `timeout`",
        )),
        Ok(Some(status)) if !status.success() => Err(Refusal {
            message: format!("the program `{program}` ended with {status}: {}", last_words()),
            help: None,
        }),
        Ok(Some(_)) => match String::from_utf8(stdout) {
            Ok(text) => Ok(Answer {
                text,
                tokens_in: None,
                tokens_out: None,
                model: String::new(),
                ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            }),
            Err(_) => Err(Refusal::new(
                format!("the program `{program}` printed what is not UTF-8"),
                "mend the program",
            )),
        },
    }
}
