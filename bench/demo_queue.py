#!/usr/bin/env python3
"""A story to follow on the terminal: a real Redis, real Celery workers, and `queue-metrics` beside them.

Redis is Debian's and Celery comes from PyPI; all of them run on this machine and end with the story. The
hold is 20 s in the place of 5 min. What is not as promised ends it with exit 1 and says what was seen.
"""

import argparse
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True

import venvs  # noqa: E402
from demo_entrypoint import Broken, Narrator, demand, shown  # noqa: E402
from measure import BenchError  # noqa: E402
from queue_world import Celery, Redis  # noqa: E402
from servers import Server, dies_with_us  # noqa: E402

LIMIT = 300
HOLD = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", venvs.ROOT / "target"))
    built = target / os.environ.get("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu") / "release"
    parser.add_argument("--queue-metrics", type=Path, default=built / "queue-metrics", metavar="PROGRAM")
    parser.add_argument("--plot", type=Path, default=target / "queue-demo.svg", metavar="FILE")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    narrator, work = Narrator(), Path(tempfile.mkdtemp(prefix="queue-demo-"))
    try:
        narrator.line(f"Celery in {venvs.airflow()}.")
        began = time.monotonic()
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(LIMIT)
        with ExitStack() as stack:
            World(narrator, options.queue_metrics.resolve(), work, stack).tell(options.plot.resolve())
    except (Broken, BenchError) as error:
        print(f"\ndemo failed in step {narrator.number} ({narrator.title}): {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        signal.alarm(0)
        shutil.rmtree(work, ignore_errors=True)
    narrator.line(f"\nAll as promised, in {shown(time.monotonic() - began)}. Only the plot is left behind.")
    return 0


def too_long(*_: object) -> None:
    raise Broken(f"it took longer than {LIMIT} s")


class Agent:
    """The ECS agent of one task, which grants what it is asked."""

    def __init__(self) -> None:
        self.protected: bool | None = None
        outer = self

        class Answers(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.protected = asked["ProtectionEnabled"]
                self.answer()

            def do_GET(self) -> None:
                self.answer()

            def answer(self) -> None:
                protection = {"ProtectionEnabled": bool(outer.protected), "TaskArn": "arn:aws:ecs:demo"}
                if outer.protected:
                    end = time.gmtime(time.time() + 2880 * 60)
                    protection["ExpirationDate"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", end)
                body = json.dumps({"protection": protection}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/demo"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Ours(Server):
    """One of our commands, with its log, its metrics and its status."""

    def __init__(self, program: Path, work: Path, name: str, words: list[str], **variables: str) -> None:
        self.out, self.log = work / f"{name}.out", work / f"{name}.log"
        self.status_file = work / f"{name}.json"
        self.process = subprocess.Popen(
            [program, name, *words], env={"QUEUE_METRICS_STATUS_FILE": str(self.status_file), **variables},
            stdin=subprocess.DEVNULL, stdout=self.out.open("w"), stderr=self.log.open("w"),
            preexec_fn=dies_with_us(),
        )

    def status(self) -> dict:
        try:
            return json.loads(self.status_file.read_text())
        except (OSError, ValueError):
            return {}

    def group(self) -> dict:
        return (self.status().get("detail") or {}).get("groups", {}).get("workers", {})

    def events(self, name: str) -> list[dict]:
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == name]

    def targets(self) -> list[float]:
        lines = (json.loads(line) for line in self.out.read_text().splitlines() if line.endswith("}"))
        return [line["WorkersTarget"] for line in lines if "WorkersTarget" in line]

    def until(self, what: str, holds, limit: float = 60):
        deadline = time.monotonic() + limit
        while not (answer := holds()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                told = self.log.read_text().splitlines()[-1:]
                raise Broken(f"{what}, within {limit:.0f} s; status {self.status()}; log {told}")
            time.sleep(0.05)
        return answer


class World:
    """The servers, the workers, and each step of the story."""

    def __init__(self, narrator: Narrator, program: Path, work: Path, stack: ExitStack) -> None:
        self.narrator, self.program, self.work, self.stack = narrator, program, work, stack
        self.redis = stack.enter_context(Redis(work))
        self.celery = Celery(work, self.redis.url)
        self.agent = stack.enter_context(Agent())

    def tell(self, plot: Path) -> None:
        self.watching()
        self.a_burst()
        self.workers_come()
        self.one_is_killed()
        self.the_tasks_end()
        self.redis_stops()
        self.simulated(plot)

    def ours(self, name: str, *words: str, **variables: str) -> Ours:
        common = ["--service", "workers", "--metrics", "emf"]
        self.narrator.say(self.narrator.paint("36", f"$ queue-metrics {name} {' '.join(words)}"))
        variables = {"QUEUE_METRICS_BROKER_URL": self.redis.url, "AIRFLOW__CORE__PARALLELISM": "160", **variables}
        return self.stack.enter_context(Ours(self.program, self.work, name, [*common, *words], **variables))

    def watching(self) -> None:
        self.narrator.step("Nothing is queued and no worker lives")
        self.watch = self.ours("watch", "--interval", "1s", "--hold", f"{HOLD}s", "--worker-concurrency", "2")
        began = time.monotonic()
        self.watch.until("a first publication", self.watch.targets)
        demand(self.watch.targets()[0] == 0, "the first target is 0", self.watch.targets())
        self.narrator.holds("WorkersTarget 0: a zero that was seen, after each worker could have been heard",
                            time.monotonic() - began)

    def a_burst(self) -> None:
        narrator = self.narrator
        narrator.step("A burst of three priorities")
        began = time.monotonic()
        self.celery.put(("default", 0, 8), ("default", 9, 3), ("default", 5, 1))
        self.watch.until("a target of 6", lambda: 6.0 in self.watch.targets())
        took = time.monotonic() - began
        base = self.redis.ask("LLEN", "default")
        narrator.say(f"12 tasks: 8 of priority 0, 3 of 9, 1 of 5. LLEN of the queue's own key says {base}.")
        demand(self.watch.group()["waiting"] == 12, "all 12 are counted", self.watch.group())
        narrator.holds("all 12 are counted and 6 workers of 2 are wanted, since Celery's own start", took)

    def workers_come(self) -> None:
        narrator = self.narrator
        narrator.step("Two workers come; the second one is protected before it takes a task")
        self.first = self.stack.enter_context(self.celery.worker("first", 2))
        self.protect = self.ours("protect", "--worker", "second@demo", ECS_AGENT_URI=self.agent.url)
        self.protect.until("protection", lambda: self.protect.status().get("healthy"))
        demand(self.agent.protected is True, "the task is protected", self.agent.protected)
        narrator.holds("the ECS agent was asked for the longest lease, and granted it: the worker may start")
        self.second = self.stack.enter_context(self.celery.worker("second", 2))
        group = self.watch.until("four tasks to run", self.running(4, 2))
        narrator.holds(f"heartbeats tell of {group['workers_alive']} workers; {group['busy']} tasks run, "
                       f"{group['waiting']} wait, the target is still {group['workers_target']}")

    def running(self, busy: int, alive: int):
        def holds():
            group = self.watch.group()
            return group if (group.get("busy"), group.get("workers_alive")) == (busy, alive) else None
        return holds

    def one_is_killed(self) -> None:
        narrator = self.narrator
        narrator.step("The first worker is killed: kill -9, as Spot or the kernel does")
        began = time.monotonic()
        self.first.kill()
        event = self.watch.until("its silence to be told", lambda: self.watch.events("worker_silent"))[0]
        narrator.holds(f"{event['worker']} is silent, with {event['tasks']} tasks", time.monotonic() - began)
        event = self.watch.until("its orphans to be named", lambda: self.watch.events("orphans"))[0]
        demand(event["orphaned"] == 2, "its two tasks are orphans", event)
        narrator.holds("2 orphans: Redis would give them back after a day; they keep no worker up",
                       time.monotonic() - began)
        unacked = self.redis.ask("ZCARD", "unacked_index")
        narrator.say(f"In flight by Redis: {unacked}. Busy: {self.watch.group()['busy']}.")

    def the_tasks_end(self) -> None:
        narrator = self.narrator
        narrator.step(f"The tasks end: the target holds for {HOLD} s, then the protected worker drains")
        self.celery.gate.touch()
        group = self.watch.until("nothing to wait or run", lambda: (
            lambda group: group if (group.get("waiting"), group.get("busy")) == (0, 0) else None)(self.watch.group()))
        began = time.monotonic()
        demand(group["workers_target"] > 0, "the target holds", group)
        narrator.holds(f"need {group['need']}, target {group['workers_target']}: a lull of seconds ends no worker")
        self.watch.until("the target to fall", lambda: self.watch.targets()[-1] == 0, HOLD + 20)
        held = time.monotonic() - began
        demand(held > HOLD - 5, f"it held for about {HOLD} s", f"{held:.1f} s")
        narrator.holds("WorkersTarget 0, though the orphans are still in flight", held)
        self.protect.until("the drain", lambda: self.protect.status().get("phase") == "released")
        demand(self.agent.protected is False, "protection is given back", self.agent.protected)
        narrator.holds("the second worker cancelled its consumers, was seen empty twice, and is unprotected:"
                       " ECS may stop it", time.monotonic() - began)

    def redis_stops(self) -> None:
        narrator = self.narrator
        narrator.step("Redis stops")
        self.redis.stop()
        began = time.monotonic()
        status = self.watch.until("it to be blind", lambda: (
            lambda status: status if status.get("phase") == "blind" else None)(self.watch.status()))
        narrator.holds("named, degraded and healthy", time.monotonic() - began)
        narrator.say(f"reason: {status['reason']}")
        published = self.watch.out.stat().st_size
        time.sleep(5)
        demand(self.watch.out.stat().st_size == published, "nothing is published", "something was")
        narrator.holds("nothing was published for 5 s: no false zero")
        self.redis.start_again()
        began = time.monotonic()
        self.watch.until("it to watch again", lambda: self.watch.out.stat().st_size > published)
        narrator.holds("Redis is back, and the first publication after it", time.monotonic() - began)

    def simulated(self, plot: Path) -> None:
        self.narrator.step("A day with bursts, simulated")
        plot.parent.mkdir(parents=True, exist_ok=True)
        words = [self.program, "simulate", "morning-burst", "--plot", plot]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=120, env={})
        demand(answer.returncode == 0, "it is simulated", answer.stderr)
        for line in answer.stdout.rstrip().splitlines():
            self.narrator.say(line)
        self.narrator.holds(f"queue, target and workers over the day: {plot}")


if __name__ == "__main__":
    sys.exit(main())
