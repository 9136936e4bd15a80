"""Containers' worth of processes: each `entrypoint` with a home, a user and a status file of its own,
and what can be seen of it from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

from measure import BenchError
from servers import dies_with_us

# The user of Airflow's own image, with group 0.
UID = 50000


def shared(work: Path) -> None:
    """Lets the containers' user come by."""
    if os.getuid() == 0:
        work.chmod(0o755)


def own(path: Path) -> Path:
    """A directory that the containers' user may write to."""
    path.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        os.chown(path, UID, 0)
    return path


def as_user() -> dict:
    """Airflow runs as the user of its image where we are root, else as who we are."""
    return {"user": UID, "group": 0, "extra_groups": []} if os.getuid() == 0 else {}


class Container:
    """One started `entrypoint`. `started` is by the monotonic clock, in seconds."""

    def __init__(
        self, name: str, program: Path, words: list[str], variables: dict[str, str], work: Path
    ) -> None:
        self.name = name
        self.home = own(work / name)
        self.stderr = self.home / "stderr"
        self.stdout = self.home / "stdout"
        self.status_file = self.home / "status.json"
        environment = {
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home),
            "LANG": "C.UTF-8",
            # The user has no entry in this machine's /etc/passwd, and Airflow wants a name.
            "LOGNAME": "airflow",
            "TRIMTAB_LOG_FORMAT": "json",
            "ENTRYPOINT_STATUS_FILE": str(self.status_file),
            **variables,
        }
        with self.stdout.open("wb") as stdout, self.stderr.open("wb") as stderr:
            self.started, self.wall = time.monotonic(), time.time()
            self.process = subprocess.Popen(
                [program, *words], env=environment, cwd=self.home, stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr, preexec_fn=dies_with_us(), **as_user(),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def events(self) -> list[dict]:
        """The lines of the log that are entrypoint's own, `at` in seconds since the start."""
        found = []
        for line in self.stderr.read_bytes().splitlines():
            if not line.startswith(b"{"):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event and "timestamp" in event:
                at = datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
                found.append({**event, "at": at.timestamp() - self.wall})
        return found

    def event(self, name: str, **fields: object) -> dict | None:
        """The first event of that name, with these fields."""
        for event in self.events():
            wanted = all(event.get(key) == value for key, value in fields.items())
            if event["event"] == name and wanted:
                return event
        return None

    def status(self) -> dict:
        try:
            return json.loads(self.status_file.read_text())
        except (OSError, ValueError):
            return {}

    def is_up(self) -> bool:
        """Its service runs and was seen alive, by its status file: before that a container that was
        healthy because it migrated stays so, with a reason."""
        status = self.status()
        return bool(status.get("healthy")) and status.get("phase") == "running" and not status.get("reason")

    def told(self) -> str:
        """The end of what it wrote, for a message of what went wrong."""
        lines = self.stderr.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-4:])

    def check_alive(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise BenchError(f"{self.name} ended with {code}: {self.told()}")

    def resident(self) -> tuple[float, float]:
        """MB (10^6) now, and at most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        now, peak = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, limit: float = 40) -> int:
        """SIGTERM, as ECS stops a task; the exit code, 128+n for a signal."""
        self.signal(signal.SIGTERM)
        return self.wait(limit)

    def wait(self, limit: float) -> int:
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise BenchError(f"{self.name} did not end within {limit:g} s: {self.told()}") from None
        return code if code >= 0 else 128 - code


class Containers(list[Container]):
    """Several; whatever happens, they end with the `with` block."""

    def __enter__(self) -> "Containers":
        return self

    def __exit__(self, *_: object) -> None:
        for container in self:
            container.signal(signal.SIGTERM)
        deadline = time.monotonic() + 40
        for container in self:
            try:
                container.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                container.process.kill()
                container.process.wait()


def sockets(pid: int, established: dict[str, str], port: int) -> int:
    """How many connections a process holds to a port of this machine."""
    held = 0
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            held += target in established and established[target] == f"{port:04X}"
    except OSError:
        pass
    return held


def established() -> dict[str, str]:
    """The sockets of this machine that are connected, with the port they lead to in hexadecimal."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01":
            found[f"socket:[{fields[9]}]"] = fields[2].rpartition(":")[2]
    return found


STAMP = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
/* In place of Airflow: notes when it was started, and stays. */
int main(void) {
    struct timespec now;
    const char *path = getenv("STAMP");
    clock_gettime(CLOCK_MONOTONIC, &now);
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) { fprintf(file, "%lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec); fclose(file); }
    for (;;) pause();
}
"""


def stand_in(venv: Path, work: Path) -> Path:
    """The directory of an `airflow` whose packages are the real ones and whose Python is a program
    that only notes when it was started: so that what comes before it can be timed."""
    root = work / "stand-in"
    (root / "bin").mkdir(parents=True)
    (root / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    (root / "lib").symlink_to(venv / "lib")
    source = work / "stamp.c"
    source.write_text(STAMP)
    command = ["cc", "-O1", "-static", "-o", root / "bin/python", source]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if answer.returncode != 0:
        raise BenchError(f"the stand-in can't be compiled: {answer.stderr.strip()}")
    script = root / "bin/airflow"
    script.write_text(f"#!{root}/bin/python\n")
    script.chmod(0o755)
    return root / "bin"


def copied(program: Path, work: Path) -> Path:
    """The program where the containers' user can reach it."""
    if not os.access(program, os.X_OK):
        raise BenchError(f"there is no {program}: cargo build --release -p entrypoint")
    copy = work / "programs" / program.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(program, copy)
    copy.chmod(0o755)
    return copy


def parameters(port: int, password: str, secrets: dict[str, str]) -> dict[str, str]:
    """The known layout below /bench: eight parameters."""
    return {
        "/bench/db/host": "127.0.0.1",
        "/bench/db/port": str(port),
        "/bench/db/name": "airflow",
        "/bench/db/username": "airflow",
        "/bench/db/password": password,
        "/bench/fernet-key": secrets["fernet"],
        "/bench/webserver/secret-key": secrets["web"],
        "/bench/jwt-secret": secrets["jwt"],
    }


def settings(**more: str) -> dict[str, str]:
    """Airflow's settings that are no parameter."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__AUTH_MANAGER":
            "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "ENTRYPOINT_PARAMETERS": "/bench",
        "ENTRYPOINT_DB_SSLMODE": "disable",
        "ENTRYPOINT_FATAL_HOLD": "0s",
        **more,
    }


def seconds(text: str) -> float:
    """What the stand-in wrote."""
    found = re.fullmatch(r"(\d+\.\d+)\s*", text)
    if not found:
        raise ValueError(text)
    return float(found[1])
