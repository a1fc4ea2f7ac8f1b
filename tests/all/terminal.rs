//! The binary in a terminal: what a person sees, screen by screen.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::house::House;

/// Long enough for any machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal in which a command runs.
struct Terminal {
    child: Child,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Kept open: a terminal without an owner hangs up.
    _owner: OwnedFd,
}

impl Terminal {
    fn run(house: &House, arguments: &[&str], columns: u16) -> Terminal {
        let owner = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&owner).expect("granted");
        unlockpt(&owner).expect("unlocked");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&owner, size).expect("a size");
        let name = ptsname(&owner, Vec::new()).expect("a name");
        let side = || {
            File::options().read(true).write(true).open(name.to_str().expect("text")).expect("the other side")
        };
        let mut command = house.command(arguments);
        command.env("TERM", "xterm-256color");
        let child = command
            .stdin(Stdio::from(side()))
            .stdout(Stdio::from(side()))
            .stderr(Stdio::from(side()))
            .spawn()
            .expect("meu starts");
        let (sender, bytes) = channel();
        let mut reader = File::from(owner.try_clone().expect("a second handle"));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the command ends the terminal: that is an error to read on.
            while let Ok(n) = reader.read(&mut buffer) {
                if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, bytes, screen: vt100::Parser::new(24, columns, 0), _owner: owner }
    }

    /// The screen as it is: its lines without what follows the last word.
    fn lines(&self) -> Vec<String> {
        let screen = self.screen.screen();
        let rows = screen.rows(0, screen.size().1);
        rows.map(|line| without_seconds(line.trim_end())).filter(|line| !line.is_empty()).collect()
    }

    /// Waits until the screen is as wanted.
    fn until(&mut self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let began = Instant::now();
        loop {
            let lines = self.lines();
            if wanted(&lines) {
                return lines;
            }
            match self.bytes.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("the screen stays\n{}", lines.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended with\n{}", lines.join("\n")),
            }
        }
    }

    /// Waits for the end, and tells the last screen.
    fn end(mut self) -> Vec<String> {
        self.child.wait().expect("it ends");
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(200)) {
            self.screen.process(&bytes);
        }
        self.lines()
    }
}

/// `12 s` and `0:12` are `N s`: how long it took is the machine's.
fn without_seconds(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for at in 1..words.len() {
        if words[at].trim_end_matches(',') == "s" && words[at - 1].parse::<u64>().is_ok() {
            words[at - 1] = "N".into();
        }
    }
    words.join(" ")
}

/// A project whose model waits for a gate: a pipe in the home folder that somebody must write to.
fn gated() -> House {
    let house = House::new()
        .task("first", "")
        .task("second", "requires = [\"first\"]")
        .task("報告書", "requires = [\"second\"]");
    let gate = house.home().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().expect("mkfifo").success());
    house.hook("read -r open < \"$HOME/gate\"");
    house
}

/// Lets one task that waits go on.
fn open(house: &House) {
    std::fs::write(house.home().join("gate"), "open\n").expect("the gate opens");
}

#[test]
fn a_run_shows_what_is_asked_and_how_far_it_is() {
    let house = gated();
    let mut terminal = Terminal::run(&house, &["run"], 80);
    let screen = terminal.until(|lines| lines.len() == 2 && lines[1].contains("3 left"));
    assert_eq!(screen, ["  asking first by script, N s", "               3 left, N s"]);
    open(&house);
    let screen = terminal.until(|lines| lines.iter().any(|line| line.contains("asking second")));
    assert_eq!(screen[0], "   built first   never built");
    assert_eq!(screen[1], "  asking second by script, N s");
    let screen = terminal.until(|lines| lines.last().is_some_and(|line| line.contains("2 left")));
    assert_eq!(screen[2], "  ====>        1 built, 2 left, N s");
    open(&house);
    terminal.until(|lines| lines.iter().any(|line| line.contains("asking 報告書 by script")));
    open(&house);
    let screen = terminal.end();
    assert_eq!(
        screen[..3],
        ["   built first   never built", "   built second  never built", "   built 報告書  never built"]
    );
    // The answers have 15, 16 and 13 characters, and a line end each.
    assert!(screen[3].starts_with("3 built; ") && screen[3].ends_with(" tokens in, 47 out, unpriced"));
    assert_eq!(screen.len(), 4, "lines and bar are gone: {screen:?}");
}

#[test]
fn who_ends_a_run_is_told_what_it_waits_for() {
    let house = gated();
    let mut terminal = Terminal::run(&house, &["run"], 100);
    terminal.until(|lines| lines.len() == 2 && lines[1].contains("3 left"));
    let pid = terminal.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let screen = terminal.until(|lines| lines.last().is_some_and(|line| line.contains("ending")));
    assert_eq!(screen[0], "  asking first by script, N s");
    assert_eq!(
        screen[1].trim(),
        "ending: waiting for the answers that are coming; Ctrl-C again ends at once"
    );
    open(&house);
    let screen = terminal.end();
    assert_eq!(screen[0], "   built first   never built");
    assert_eq!(
        screen.last().map(String::as_str),
        Some("interrupted; answers that came are kept, the next run goes on from here")
    );
    assert!(!screen.iter().any(|line| line.contains("asking")), "{screen:?}");
    assert_eq!(house.asked(), ["first"]);
}

#[test]
fn lines_fit_a_narrow_terminal() {
    let house = gated();
    let mut terminal = Terminal::run(&house, &["run"], 24);
    let screen = terminal.until(|lines| lines.len() == 2);
    assert!(screen[0].starts_with("  asking first by scri"), "{screen:?}");
    open(&house);
    terminal.until(|lines| lines.iter().any(|line| line.contains("asking second")));
    open(&house);
    let screen = terminal.until(|lines| lines.iter().any(|line| line.contains("asking 報告書")));
    let wide = |line: &String| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    assert!(screen.iter().all(|line| wide(line) <= 24), "{screen:?}");
    open(&house);
    terminal.end();
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let house = House::new().task("a", "");
    house.meu(&["run"]).ok();
    let colour_of = |house: &House| {
        let mut terminal = Terminal::run(house, &["status"], 80);
        terminal.until(|lines| lines.iter().any(|line| line.contains("1 fresh")));
        let cell = terminal.screen.screen().cell(0, 5).expect("a cell");
        assert_eq!(cell.contents(), "r", "of fresh");
        cell.fgcolor()
    };
    assert_eq!(colour_of(&house), vt100::Color::Idx(2), "green");
    let mut house = house;
    house.env("NO_COLOR", "1");
    assert_eq!(colour_of(&house), vt100::Color::Default);
}
