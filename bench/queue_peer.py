"""What celery-exporter does at each scrape, in some lines: LLEN of each queue, and broadcasts to all
workers, which it waits for. Run as a program it scrapes every 5 s and prints what it saw."""

import json
import os
import sys
import time
from pathlib import Path

INTERVAL = 5


def scrape(app, client) -> dict[str, int]:
    # Its own way to the queues: what the workers consume, or else what was named.
    inspect = app.control.inspect(timeout=1.0)
    consumed = inspect.active_queues() or {}
    running = inspect.active() or {}
    queues = {queue["name"] for queues in consumed.values() for queue in queues} or {"default"}
    return {
        "length": sum(client.llen(queue) for queue in queues),
        "active": sum(len(tasks) for tasks in running.values()),
    }


def main() -> None:
    from celery import Celery
    from redis import Redis

    app = Celery(broker=os.environ["BROKER"])
    client = Redis.from_url(os.environ["BROKER"])
    while True:
        began = time.monotonic()
        print(json.dumps(scrape(app, client)), flush=True)
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))


class Peer:
    """The program, for as long as its `with` block."""

    def __init__(self, celery, work: Path) -> None:
        from measure import Program

        python = str(celery.bin / "python")
        self.program = Program([python, "-B", str(Path(__file__).resolve())], celery.environment, work,
                               "peer", 600)

    def scraped(self) -> dict[str, int]:
        """What its first scrape saw."""
        from measure import until

        def first():
            self.program.check_alive()
            lines = self.program.stdout.read_text().splitlines()
            return json.loads(lines[0]) if lines else None

        return until("a scrape", 60, 0.1, first)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()


if __name__ == "__main__":
    sys.exit(main())
