//! System calls of x86_64.

use core::arch::asm;

/// Their numbers, as in the kernel's arch/x86/entry/syscalls/syscall_64.tbl.
pub(super) mod number {
    pub(in crate::system) const READ: usize = 0;
    pub(in crate::system) const WRITE: usize = 1;
    pub(in crate::system) const CLOSE: usize = 3;
    pub(in crate::system) const RT_SIGACTION: usize = 13;
    pub(in crate::system) const RT_SIGPROCMASK: usize = 14;
    pub(in crate::system) const SETITIMER: usize = 38;
    pub(in crate::system) const SOCKET: usize = 41;
    pub(in crate::system) const CONNECT: usize = 42;
    pub(in crate::system) const SENDTO: usize = 44;
    pub(in crate::system) const CLOCK_GETTIME: usize = 228;
    pub(in crate::system) const EXIT_GROUP: usize = 231;
    pub(in crate::system) const OPENAT: usize = 257;
    pub(in crate::system) const PPOLL: usize = 271;
    pub(in crate::system) const STATX: usize = 332;
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
    // SAFETY: the caller vouches for the pointers; these are all registers that the kernel changes. It
    // looks at no more of them than the call takes.
    unsafe {
        if N <= 3 {
            asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") argument(0),
                in("rsi") argument(1),
                in("rdx") argument(2),
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        } else {
            asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") argument(0),
                in("rsi") argument(1),
                in("rdx") argument(2),
                in("r10") argument(3),
                in("r8") argument(4),
                in("r9") argument(5),
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
    }
    result
}
