"""Starts one program, waits for it and says what it cost: the process between bench and program.

    launch.py SECONDS GRACE STDOUT STDERR PROGRAM [ARGUMENT...]

A program's peak resident set, as the kernel reports it to the parent, begins with that of the process
which forked it. So this one imports next to nothing and really forks (subprocess would use vfork, and
so pass on the whole of the bench). It prints `pid N`, and at the end

    ended EXIT_CODE HOW WALL USER SYSTEM PEAK_KIB

HOW is `itself`, `timeout`, or `asked` once stdin is closed: so nothing outlives a bench that is killed.
"""

import os
import select
import signal
import sys
import time


def main() -> None:
    limit, grace = float(sys.argv[1]), float(sys.argv[2])
    started = time.monotonic()
    before, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        start(sys.argv[3], sys.argv[4], sys.argv[5:], told)
    os.close(told)
    print("pid", pid, flush=True)
    how = wait(pid, started + limit)
    if how != "itself":
        end(pid, grace)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - started
    system = usage.ru_stime - float(os.read(before, 32) or b"0")
    code = os.waitstatus_to_exitcode(status)
    print("ended", code, how, wall, usage.ru_utime, system, usage.ru_maxrss, flush=True)


def start(stdout: str, stderr: str, command: list[str], told: int) -> None:
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, path in ((1, stdout), (2, stderr)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
        # What the fork itself cost is not the program's.
        spent = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
        os.write(told, str(spent).encode())
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def wait(pid: int, deadline: float) -> str:
    descriptor = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    left = deadline - time.monotonic()
    ready = dict(poll.poll(max(left, 0) * 1000))
    if descriptor in ready:
        return "itself"
    return "asked" if ready else "timeout"


def end(pid: int, grace: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            pass
        poll = select.poll()
        poll.register(os.pidfd_open(pid), select.POLLIN)
        if poll.poll(grace * 1000):
            return


if __name__ == "__main__":
    main()
