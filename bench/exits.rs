//! A process that only exits: the floor under every health check. Built by bench/healthcheck.py.
#![no_std]
#![no_main]

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!("xor edi, edi", "mov eax, 231", "syscall")
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!("mov x0, 0", "mov x8, 94", "svc 0")
}
