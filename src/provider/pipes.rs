//! The pipes of a program: what it is told and what it prints, by the one thread that waits for it. No pipe is
//! waited for alone: a program may print much before it reads, and a child of it may keep a pipe open for ever.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How long what a program printed is waited for once it has ended: a child of it may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often it is asked whether it has ended: while nothing comes, and once it has closed its pipes, when it is
/// about to.
const NOTHING_COMES: Duration = Duration::from_millis(100);
const ALL_IS_SAID: Duration = Duration::from_millis(5);

/// The most bytes that are taken from a program.
pub(super) const LONGEST: usize = 64 * 1024 * 1024;

/// A pipe from a program, and what came through it.
struct Collected<R> {
    /// Until it is at its end.
    pipe: Option<R>,
    bytes: Vec<u8>,
}

impl<R: Read + AsFd> Collected<R> {
    fn new(pipe: Option<R>) -> Self {
        Collected { pipe: pipe.filter(never_waits), bytes: Vec::new() }
    }

    /// Takes what is there.
    fn read(&mut self) {
        let mut piece = [0; 16 * 1024];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut piece) {
                Ok(count @ 1..) => self.bytes.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => self.pipe = None,
            }
            if self.bytes.len() > LONGEST {
                return;
            }
        }
    }
}

/// Makes a pipe one that says so when there is nothing to read, or no room. `false` if that is not to be had.
fn never_waits(pipe: &impl AsFd) -> bool {
    fcntl_getfl(pipe).and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK)).is_ok()
}

/// What a program printed, and how it ended.
pub(super) struct Heard {
    /// `None` if it took too long, or printed too much: it still runs.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Whether somebody still holds its pipes, who is not itself.
    pub(super) is_held: bool,
}

/// Tells a program something and hears what it prints, until it has ended or `timeout` is over.
pub(super) fn converse(child: &mut Child, text: &str, timeout: Option<Duration>) -> std::io::Result<Heard> {
    let mut stdout = Collected::new(child.stdout.take());
    let mut stderr = Collected::new(child.stderr.take());
    let mut stdin = child.stdin.take().filter(never_waits);
    let mut left = text.as_bytes();
    let began = Instant::now();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        stdout.read();
        stderr.read();
        if let Some(pipe) = &mut stdin {
            match pipe.write(left) {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A program that does not read its input closes the pipe early; that is its right.
                Err(_) => left = &[],
            }
            if left.is_empty() {
                stdin = None;
            }
        }
        let hears = stdout.pipe.is_some() || stderr.pipe.is_some();
        let talks = hears || stdin.is_some();
        if ended.is_none() {
            let status = if talks || timeout.is_some() { child.try_wait()? } else { Some(child.wait()?) };
            ended = status.map(|status| (status, Instant::now()));
        }
        let too_much = stdout.bytes.len().max(stderr.bytes.len()) > LONGEST;
        let too_long = ended.is_none() && timeout.is_some_and(|timeout| began.elapsed() > timeout);
        let is_over = ended.is_some_and(|(_, when)| !hears || when.elapsed() > LAST_WORDS);
        if too_much || too_long || is_over {
            return Ok(Heard {
                status: ended.map(|(status, _)| status).filter(|_| !too_much),
                stdout: stdout.bytes,
                stderr: stderr.bytes,
                is_held: hears,
            });
        }
        let waits_for = |pipe, flags| PollFd::from_borrowed_fd(pipe, flags);
        let mut pipes = Vec::with_capacity(3);
        pipes.extend(stdout.pipe.as_ref().map(|pipe| waits_for(pipe.as_fd(), PollFlags::IN)));
        pipes.extend(stderr.pipe.as_ref().map(|pipe| waits_for(pipe.as_fd(), PollFlags::IN)));
        pipes.extend(stdin.as_ref().map(|pipe| waits_for(pipe.as_fd(), PollFlags::OUT)));
        let patience = if talks { NOTHING_COMES } else { ALL_IS_SAID };
        match poll(&mut pipes, Timespec::try_from(patience).ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
