"""What a program costs: wall, CPU and memory, of one that ends and of one that goes on."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType

LAUNCHER = Path(__file__).with_name("launch.py")


class BenchError(Exception):
    """The bench cannot go on; one line says why."""


@dataclass
class Usage:
    """What one run cost. `cpu` is user and system together, in seconds; `peak` in MB (10^6)."""

    wall: float
    cpu: float
    peak: float
    stdout: str = ""


@dataclass
class Sample:
    """Runs of one tool in one case."""

    runs: list[Usage] = field(default_factory=list)
    requests: dict[str, int] | None = None

    def median(self, what: str) -> float:
        return median(getattr(run, what) for run in self.runs)

    def spread(self, what: str) -> tuple[float, float]:
        values = [getattr(run, what) for run in self.runs]
        return min(values), max(values)


class Program:
    """A program under the launcher; ends with the `with` block, by its process id."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        directory: Path,
        name: str,
        limit: float,
    ) -> None:
        self.name = name
        self.limit = limit
        self.stdout = directory / f"{name}.stdout"
        self.stderr = directory / f"{name}.stderr"
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(limit), "5"]
        self.launcher = subprocess.Popen(
            launcher + [str(self.stdout), str(self.stderr), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        words = self._line()
        if words[:1] != ["pid"]:
            self.stop()
            raise BenchError(f"{name} could not be started: {' '.join(words)}")
        self.pid = int(words[1])

    def _line(self) -> list[str]:
        assert self.launcher.stdout
        return self.launcher.stdout.readline().split()

    def result(self) -> Usage:
        """Waits for the end, which the launcher bounds; a failure is an error."""
        code, how, usage = self._ended()
        if how != "itself" or code != 0:
            told = self.stderr.read_text(errors="replace").strip().splitlines()[-3:]
            why = f"no end after {self.limit:.0f} s" if how == "timeout" else f"exit {code}"
            raise BenchError(f"{self.name}: {why}: {' | '.join(told)}")
        return usage

    def _ended(self) -> tuple[int, str, Usage]:
        words = self._line()
        if words[:1] != ["ended"]:
            raise BenchError(f"{self.name}: the launcher ended early")
        wall, user, system, peak = (float(word) for word in words[3:7])
        text = self.stdout.read_text(errors="replace")
        return int(words[1]), words[2], Usage(wall, user + system, peak * 1024 / 1e6, text)

    def check_alive(self) -> None:
        if self.launcher.poll() is not None or not os.path.exists(f"/proc/{self.pid}"):
            told = self.stderr.read_text(errors="replace").strip().splitlines()[-3:]
            raise BenchError(f"{self.name} ended by itself: {' | '.join(told)}")

    def cpu(self) -> float:
        """CPU seconds so far, of all threads, those that ended too, in nanosecond steps.

        /proc/PID/stat counts in ticks of 10 ms, and task/*/schedstat forgets threads that ended;
        this is clock_getcpuclockid(3)'s clock, whose id is made from the pid.
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def memory(self) -> tuple[float, float]:
        """Resident now and at most so far, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        now, peak = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def stop(self) -> None:
        assert self.launcher.stdin and self.launcher.stdout
        if not self.launcher.stdin.closed:
            self.launcher.stdin.close()
        try:
            self.launcher.wait(15)
        except subprocess.TimeoutExpired:
            self.launcher.kill()
            self.launcher.wait()
        self.launcher.stdout.close()

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def run(
    command: list[str], environment: dict[str, str], directory: Path, name: str, limit: float
) -> Usage:
    """One run of a program, to its end."""
    with Program(command, environment, directory, name, limit) as program:
        return program.result()


def until(what: str, limit: float, step: float, condition):
    """The first true answer of `condition`, asked every `step` seconds."""
    deadline = time.monotonic() + limit
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise BenchError(f"waited {limit:.0f} s for {what}")
        time.sleep(step)
