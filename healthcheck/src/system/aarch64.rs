//! System calls of aarch64.

use core::arch::asm;

/// Their numbers, as in the kernel's include/uapi/asm-generic/unistd.h.
pub(super) mod number {
    pub(in crate::system) const OPENAT: usize = 56;
    pub(in crate::system) const CLOSE: usize = 57;
    pub(in crate::system) const READ: usize = 63;
    pub(in crate::system) const WRITE: usize = 64;
    pub(in crate::system) const PPOLL: usize = 73;
    pub(in crate::system) const EXIT_GROUP: usize = 94;
    pub(in crate::system) const SETITIMER: usize = 103;
    pub(in crate::system) const CLOCK_GETTIME: usize = 113;
    pub(in crate::system) const RT_SIGACTION: usize = 134;
    pub(in crate::system) const RT_SIGPROCMASK: usize = 135;
    pub(in crate::system) const SOCKET: usize = 198;
    pub(in crate::system) const CONNECT: usize = 203;
    pub(in crate::system) const SENDTO: usize = 206;
    pub(in crate::system) const STATX: usize = 291;
}

/// Makes a system call of so many arguments, up to six; what it takes must be given, zeros too. An error
/// is its number, negated.
///
/// # Safety
/// Pointers among the arguments must be good for what the kernel does with them.
#[inline(always)]
pub(super) unsafe fn call<const N: usize>(number: usize, arguments: [usize; N]) -> isize {
    let argument = |place| arguments.get(place).copied().unwrap_or_default();
    let result;
    // SAFETY: the caller vouches for the pointers; the kernel changes no other register, and looks at no
    // more of them than the call takes.
    unsafe {
        if N <= 3 {
            asm!(
                "svc 0",
                in("x8") number,
                inlateout("x0") argument(0) => result,
                in("x1") argument(1),
                in("x2") argument(2),
                options(nostack),
            );
        } else {
            asm!(
                "svc 0",
                in("x8") number,
                inlateout("x0") argument(0) => result,
                in("x1") argument(1),
                in("x2") argument(2),
                in("x3") argument(3),
                in("x4") argument(4),
                in("x5") argument(5),
                options(nostack),
            );
        }
    }
    result
}
