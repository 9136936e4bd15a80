//! The edge between the kernel and a program without a C library: where it starts, what the compiler
//! takes for granted, and what a panic does.
#![expect(
    unsafe_code,
    reason = "nothing has been set up yet, and the stack is what the kernel left"
)]

#[cfg_attr(target_arch = "x86_64", path = "start/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "start/aarch64.rs")]
mod arch;

use core::panic::PanicInfo;

use healthcheck::text::after;
use healthcheck::{program, system};

/// Called by `_start` with the stack as the kernel left it: the number of arguments, the arguments, a
/// null pointer, the variables, a null pointer.
///
/// # Safety
/// `stack` is what the kernel passed.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel's contract above; all of it lives as long as the process and is never written.
    let (mut arguments, variables) = unsafe {
        let count = *stack;
        let arguments = Strings {
            next: stack.add(1).cast(),
        };
        (
            arguments,
            Strings {
                next: stack.add(1 + count + 1).cast(),
            },
        )
    };
    let variable = |name: &[u8]| {
        let mut values = variables.filter_map(|variable| after(after(variable, name)?, b"="));
        values.next()
    };
    // The first is the program's own name.
    arguments.next();
    system::exit(program::run(arguments, variable))
}

/// Strings behind pointers of which the last is null.
#[derive(Clone, Copy)]
struct Strings {
    next: *const *const u8,
}

impl Iterator for Strings {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<&'static [u8]> {
        // SAFETY: `next` is the last pointer, which is null, or one before it, which is a string's that
        // ends with a zero.
        unsafe {
            let string = *self.next;
            if string.is_null() {
                return None;
            }
            self.next = self.next.add(1);
            Some(core::slice::from_raw_parts(string, arch::strlen(string)))
        }
    }
}

/// A bug must not look healthy.
#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    system::write(2, b"healthcheck: internal error, please report it\n");
    system::exit(1)
}
