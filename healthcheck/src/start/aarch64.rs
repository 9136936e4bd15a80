//! Of aarch64: the first instructions, and the functions that the compiler calls by itself.

use core::arch::naked_asm;

/// Where the kernel begins, with the stack pointer at the arguments.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        "b {begin}",
        begin = sym super::begin,
    )
}

/// As in C. In assembly, because a loop in Rust would be compiled to a call of itself.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!(
        "mov x3, x0",
        "2:",
        "cbz x2, 3f",
        "ldrb w4, [x1], #1",
        "strb w4, [x3], #1",
        "sub x2, x2, #1",
        "b 2b",
        "3:",
        "ret",
    )
}

/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    naked_asm!(
        "sub x3, x0, x1",
        // Only where the destination begins within the source does copying upwards spoil it.
        "cmp x3, x2",
        "b.hs {memcpy}",
        "2:",
        "cbz x2, 3f",
        "sub x2, x2, #1",
        "ldrb w4, [x1, x2]",
        "strb w4, [x0, x2]",
        "b 2b",
        "3:",
        "ret",
        memcpy = sym memcpy,
    )
}

/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    naked_asm!(
        "mov x3, x0",
        "2:",
        "cbz x2, 3f",
        "strb w1, [x3], #1",
        "sub x2, x2, #1",
        "b 2b",
        "3:",
        "ret",
    )
}

/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    naked_asm!(
        "2:",
        "cbz x2, 3f",
        "ldrb w3, [x0], #1",
        "ldrb w4, [x1], #1",
        "sub x2, x2, #1",
        "subs w5, w3, w4",
        "b.eq 2b",
        "mov w0, w5",
        "ret",
        "3:",
        "mov w0, wzr",
        "ret",
    )
}

/// As in C: whether they differ.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    naked_asm!("b {memcmp}", memcmp = sym memcmp)
}

/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strlen(string: *const u8) -> usize {
    naked_asm!(
        "mov x1, x0",
        "2:",
        "ldrb w2, [x1]",
        "cbz w2, 3f",
        "add x1, x1, #1",
        "b 2b",
        "3:",
        "sub x0, x1, x0",
        "ret",
    )
}
