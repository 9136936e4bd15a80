//! A process that connects to 127.0.0.1 at the port that is its argument, asks, takes what arrives first
//! and exits 0, with no deadline and no look at the answer: the floor under every check over HTTP.
//! Built by bench/healthcheck.py.
#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};

#[cfg(target_arch = "x86_64")]
const NUMBERS: [usize; 5] = [41, 42, 44, 45, 231];
#[cfg(target_arch = "aarch64")]
const NUMBERS: [usize; 5] = [198, 203, 206, 207, 94];

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("mov rdi, rsp", "and rsp, -16", "call {}", "ud2", sym begin);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x0, sp", "b {}", sym begin);
}

unsafe extern "C" fn begin(stack: *const usize) -> ! {
    let [socket, connect, send, receive, exit] = NUMBERS;
    unsafe {
        let mut digit = *stack.add(2) as *const u8;
        let mut port = 0_u16;
        while *digit != 0 {
            port = port * 10 + u16::from(*digit - b'0');
            digit = digit.add(1);
        }
        // struct sockaddr_in of 127.0.0.1
        let address = [
            2_u16,
            port.to_be(),
            127_u16.to_le(),
            0x0100_u16.to_le(),
            0,
            0,
            0,
            0,
        ];
        let mut answer = core::mem::MaybeUninit::<[u8; 2048]>::uninit();
        let descriptor = call(socket, [2, 1, 0, 0]) as usize;
        let connected = call(connect, [descriptor, address.as_ptr() as usize, 16, 0]);
        call(
            send,
            [descriptor, REQUEST.as_ptr() as usize, REQUEST.len(), 0],
        );
        let received = call(receive, [descriptor, answer.as_mut_ptr() as usize, 2048, 0]);
        loop {
            call(
                exit,
                [usize::from(connected != 0 || received <= 0), 0, 0, 0],
            );
        }
    }
}

unsafe fn call(number: usize, [a, b, c, d]: [usize; 4]) -> isize {
    let result;
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") 0, in("r9") 0, lateout("rcx") _, lateout("r11") _);
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
             in("x3") d, in("x4") 0, in("x5") 0);
    }
    result
}
