//! The terminal's foreground: who may read it, and who gets Ctrl-C.

use nix::sys::signal::{Signal, raise};
use nix::unistd::{Pid, getpgrp, getpid, getsid, tcgetpgrp, tcsetpgrp};

/// Whether standard input is our terminal and we are its foreground, which can so be given away.
pub(super) fn is_ours() -> bool {
    tcgetpgrp(Stdin).is_ok_and(|group| group == getpgrp())
}

/// Makes `group` the foreground. Async-signal-safe; SIGTTOU must be blocked or ignored, as it is.
/// Without a terminal nothing happens.
pub(super) fn give(group: Pid) {
    // Standard input by its number: a handle of it would be a lock, and this runs after a fork too.
    let _ = tcsetpgrp(Stdin, group);
}

/// Makes us the foreground.
pub(super) fn take() {
    give(getpgrp());
}

/// Whether the group `group` is the foreground.
pub(super) fn belongs_to(group: i32) -> bool {
    tcgetpgrp(Stdin).is_ok_and(|foreground| foreground.as_raw() == group)
}

/// Makes `group` the foreground where we are it.
pub(super) fn give_if_ours(group: i32) {
    if is_ours() {
        give(Pid::from_raw(group));
    }
}

/// Makes us the foreground again where nobody is left there, for the shell above us.
pub(super) fn take_back(group: i32) {
    if belongs_to(group) {
        take();
    }
}

/// Stops us, where a shell above us can continue us: the service was stopped from the terminal, and
/// the shell waits for us, not for it. Returns when we were continued.
pub(super) fn stop_with_the_service() {
    if getpid().as_raw() == 1 || getsid(None).is_ok_and(|leader| leader == getpid()) {
        // Nobody is above us: the service waits for its SIGCONT alone.
        return;
    }
    take();
    let _ = raise(Signal::SIGSTOP);
}

struct Stdin;

impl std::os::fd::AsFd for Stdin {
    #[expect(unsafe_code, reason = "a borrowed number")]
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the standard library keeps descriptor 0 open.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(0) }
    }
}
