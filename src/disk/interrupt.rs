//! Ctrl-C: the first lets answers in flight be kept, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Listens for SIGINT and SIGTERM from now on. At the second one `at_last` is done, and the process ends.
pub fn on_interrupt(at_last: fn()) {
    // A second handler in one process is refused; the first then goes on listening.
    let _ = ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            at_last();
            std::process::exit(130);
        }
    });
}

/// Whether a person wants the run to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
