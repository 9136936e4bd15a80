"""What the demo and the bench of queue-metrics share: a Redis, a real Celery, and a CloudWatch that says
yes to everything and keeps what it is told."""

import http.server
import json
import os
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import venvs
from measure import BenchError
from servers import Server, dies_with_us, free_port

APP = """
import json, os, time
from celery import Celery
app = Celery("app", broker=os.environ["BROKER"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="default",
                result_backend=None, broker_connection_retry_on_startup=True)
@app.task(name="nap")
def nap(gate):
    while not os.path.exists(gate):
        time.sleep(0.05)
"""
PUT = """
import json, sys
from app import nap
for queue, priority, count in json.loads(sys.argv[1]):
    for _ in range(count):
        nap.apply_async([sys.argv[2]], queue=queue, priority=priority)
"""


class Redis(Server):
    """A server of its own, which keeps its data over `stop_now` and `start_again`."""

    def __init__(self, work: Path) -> None:
        program = shutil.which("redis-server")
        if not program:
            raise BenchError("there is no redis-server; on Debian: apt install redis-server")
        self.program, self.directory = program, work / "redis"
        self.directory.mkdir(exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start_again()

    def start_again(self) -> None:
        self.process = subprocess.Popen(
            [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "yes", "--dir", str(self.directory), "--loglevel", "warning"],
            stdout=subprocess.DEVNULL, preexec_fn=dies_with_us(),
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.ask("PING") == "PONG":
                    return
            except BenchError:
                pass
            if time.monotonic() > deadline:
                raise BenchError("redis does not answer")
            time.sleep(0.02)

    def ask(self, *words: str) -> str:
        command = ["redis-cli", "-p", str(self.port), "--raw", *words]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if answer.returncode != 0 or "refused" in answer.stderr:
            raise BenchError(f"redis: {answer.stderr.strip() or answer.stdout.strip()}")
        return answer.stdout.strip()

    def run(self, script: str, *values: str) -> str:
        return self.ask("EVAL", script, "0", *values)


class Celery:
    """An application whose tasks run until a file is there."""

    def __init__(self, work: Path, url: str) -> None:
        self.bin = venvs.airflow() / "bin"
        self.directory = work / "celery"
        self.directory.mkdir(exist_ok=True)
        (self.directory / "app.py").write_text(APP)
        self.gate = self.directory / "gate"
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.directory),
            "BROKER": url, "PYTHONPATH": str(self.directory),
        }

    def put(self, *messages: tuple[str, int, int]) -> None:
        """(queue, priority, count)."""
        subprocess.run(
            [self.bin / "python", "-c", PUT, json.dumps(messages), str(self.gate)],
            cwd=self.directory, env=self.environment, check=True, timeout=120,
        )

    def worker(self, name: str, concurrency: int) -> "Worker":
        return Worker(self, name, concurrency)


class Worker(Server):
    def __init__(self, celery: Celery, name: str, concurrency: int) -> None:
        self.name = f"{name}@demo"
        self.log = celery.directory / f"{name}.log"
        # Threads, so that a kill -9 takes the tasks with it, as the end of a container does.
        self.process = subprocess.Popen(
            [celery.bin / "celery", "-A", "app", "worker", "-P", "threads", "-c", str(concurrency),
             "-n", self.name, "-Q", "default", "-O", "fair", "-l", "INFO", "--without-gossip",
             "--without-mingle"],
            cwd=celery.directory, env=celery.environment, stdin=subprocess.DEVNULL,
            stdout=self.log.open("w"), stderr=subprocess.STDOUT, preexec_fn=dies_with_us(),
        )
        deadline = time.monotonic() + 90
        while "ready." not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} does not start: {self.log.read_text()[-300:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class CloudWatch:
    """Answers PutMetricData at once, and keeps when each came and what it said."""

    def __init__(self) -> None:
        self.puts: list[tuple[float, dict]] = []
        outer = self

        class Answers(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip
                    body = gzip.decompress(body)
                outer.puts.append((time.monotonic(), Cbor(body).value()))
                self.send_response(200)
                self.send_header("smithy-protocol", "rpc-v2-cbor")
                self.send_header("content-type", "application/cbor")
                self.send_header("content-length", "1")
                self.end_headers()
                self.wfile.write(b"\xa0")

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def values(self, name: str) -> list[tuple[float, float]]:
        found = []
        for at, put in list(self.puts):
            found += [(at, datum["Value"]) for datum in put["MetricData"] if datum["MetricName"] == name]
        return found

    def __enter__(self) -> "CloudWatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Cbor:
    """As much of CBOR as a put has."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count:self.at]

    def value(self):
        first = self.take(1)[0]
        kind, low = first >> 5, first & 31
        if kind == 7:
            if low == 26:
                return struct.unpack(">f", self.take(4))[0]
            if low == 27:
                return struct.unpack(">d", self.take(8))[0]
            return {20: False, 21: True, 31: StopIteration}.get(low)
        if low == 31:
            return self.endless(kind)
        size = low if low < 24 else int.from_bytes(self.take(1 << (low - 24)), "big")
        if kind == 0:
            return size
        if kind == 1:
            return -1 - size
        if kind == 2:
            return self.take(size)
        if kind == 3:
            return self.take(size).decode()
        if kind == 4:
            return [self.value() for _ in range(size)]
        if kind == 5:
            return {self.value(): self.value() for _ in range(size)}
        return self.value()

    def endless(self, kind: int):
        items = []
        while (item := self.value()) is not StopIteration:
            items.append(item)
        if kind == 5:
            return dict(zip(items[::2], items[1::2]))
        return items if kind == 4 else (b"" if kind == 2 else "").join(items)


def message(tag: str) -> str:
    return json.dumps({"body": "", "properties": {"delivery_tag": tag}})
