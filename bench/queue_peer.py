"""What celery-exporter 0.12 does, in some lines: it follows the workers' events, and at each scrape
asks all workers by two broadcasts, which it waits for, and then Redis for LLEN of each queue.

The exporter itself is not on PyPI: what has its name there is another one, for Celery 4, which no longer
builds. Left out are its counters of tasks' events, which nobody sends here, and its web framework.
"""

import os
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# After so long without a heartbeat it takes a worker for gone.
TIMEOUT = 300


class Exporter:
    def __init__(self) -> None:
        from celery import Celery
        from prometheus_client import CollectorRegistry, Gauge

        self.app = Celery(broker=os.environ["BROKER"])
        self.state, self.queues, self.seen = self.app.events.State(), {"default"}, {}
        self.registry = CollectorRegistry(auto_describe=True)
        gauges = {"worker_up": "worker", "worker_tasks_active": "worker", "queue_length": "queue",
                  "active_worker_count": "queue", "active_process_count": "queue"}
        self.gauges = {name: Gauge(name, name, [label], registry=self.registry)
                       for name, label in gauges.items()}

    def set(self, name: str, label: str, value: float) -> None:
        self.gauges[name].labels(label).set(value)

    def follow(self) -> None:
        names = ("worker-heartbeat", "worker-online", "worker-offline")
        with self.app.connection() as connection:
            receiver = self.app.events.Receiver(connection, handlers=dict.fromkeys(names, self.heard))
            receiver.capture(limit=None, timeout=None, wakeup=True)

    def heard(self, event: dict) -> None:
        worker = self.state.event(event)[0][0]
        lives = event["type"] != "worker-offline"
        self.seen[event["hostname"]] = time.time()
        self.set("worker_up", event["hostname"], lives and worker.alive)
        self.set("worker_tasks_active", event["hostname"], lives and worker.active or 0)

    def scrape(self) -> bytes:
        from prometheus_client import generate_latest

        for worker in [worker for worker, at in self.seen.items() if time.time() - at > TIMEOUT]:
            self.set("worker_up", worker, 0)
            self.set("worker_tasks_active", worker, 0)
        with self.app.connection() as connection:
            stats = self.app.control.inspect().stats() or {}
            processes = {worker: len(said["pool"].get("processes", [])) for worker, said in stats.items()}
            consumed = self.app.control.inspect().active_queues() or {}
            serving: dict[str, list[str]] = {}
            for worker, queues in consumed.items():
                for queue in queues:
                    serving.setdefault(queue["name"], []).append(worker)
            self.queues |= serving.keys()
            for queue in self.queues:
                workers = serving.get(queue, [])
                self.set("active_worker_count", queue, len(workers))
                self.set("active_process_count", queue, sum(processes.get(worker, 0) for worker in workers))
                self.set("queue_length", queue, connection.default_channel.client.llen(queue))
        return generate_latest(self.registry)


def main() -> None:
    exporter = Exporter()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.scrape()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    exporter.follow()


class Peer:
    """The program, for as long as its `with` block."""

    def __init__(self, celery, work: Path) -> None:
        from measure import Program, until

        python = str(celery.bin / "python")
        self.program = Program([python, "-B", str(Path(__file__).resolve())], celery.environment, work,
                               "peer", 900)

        def port():
            self.program.check_alive()
            # It is the launcher that makes the file, a moment after it was asked to start the peer.
            return self.program.stdout.exists() and self.program.stdout.read_text().strip()

        self.url = f"http://127.0.0.1:{until('the peer to serve', 60, 0.1, port)}/metrics"

    def scraped(self) -> dict[str, int]:
        """The sums of what one scrape says, which it takes for it to answer."""
        with urllib.request.urlopen(self.url, timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]

        def total(name: str) -> int:
            return int(sum(float(value) for series, value in values if series.startswith(f"{name}{{")))

        return {"length": total("queue_length"), "active": total("worker_tasks_active")}

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()


if __name__ == "__main__":
    sys.exit(main())
