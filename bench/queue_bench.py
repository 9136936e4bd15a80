#!/usr/bin/env python3
"""queue-metrics beside what celery-exporter does; writes docs/benchmarks-queue.md.

    bench/queue_bench.py                  everything, about ten minutes
    bench/queue_bench.py --quick          a few samples each; writes nothing
    bench/queue_bench.py --only sample    one case, writes nothing

Needs Linux, Python 3.11, Redis's server and a release build of queue-metrics. Celery comes from PyPI by
itself. CloudWatch is a server on this machine that says yes to every put, so that the figures are the
program's own.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True

import venvs  # noqa: E402
from goals import Goal, missing, read_binary  # noqa: E402
from measure import BenchError, Program  # noqa: E402
from page import table  # noqa: E402
from queue_days import Days  # noqa: E402
from queue_peer import Peer  # noqa: E402
from queue_words import HOW, WHY  # noqa: E402
from queue_world import Celery, CloudWatch, Redis, message  # noqa: E402
from servers import aws, free_port  # noqa: E402

PAGE = venvs.ROOT / "docs/benchmarks-queue.md"
CASES = ("sample", "growth", "idle", "latency", "peer", "simulation", "binary")
THREE = "default,low,high"
FILL = """
for i = 1, tonumber(ARGV[1]) do redis.call('LPUSH', ARGV[3], ARGV[4]) end
for i = 1, tonumber(ARGV[2]) do
  local tag = string.format('00000000-0000-0000-0000-%012d', i)
  redis.call('ZADD', 'unacked_index', i, tag)
  redis.call('HSET', 'unacked', tag, '[' .. ARGV[4] .. ', "", "' .. ARGV[3] .. '"]')
end
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", venvs.ROOT / "target"))
    built = target / os.environ.get("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu") / "release"
    parser.add_argument("--queue-metrics", type=Path, default=built / "queue-metrics", metavar="PROGRAM")
    parser.add_argument("--quick", action="store_true", help="a few samples each")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="queue-bench-"))
    try:
        with Redis(work) as redis:
            return Bench(options, work, redis).run()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(work, ignore_errors=True)


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options: argparse.Namespace, work: Path, redis: Redis) -> None:
        self.options, self.work, self.redis = options, work, redis
        self.program, self.quick = options.queue_metrics.resolve(), options.quick
        self.found: dict[str, object] = {}
        self.load = os.getloadavg()[0]

    def run(self) -> int:
        began, failures = time.monotonic(), []
        for case in self.options.only or CASES:
            self.redis.ask("FLUSHALL")
            say(case)
            try:
                self.found[case] = getattr(self, case)()
            except BenchError as error:
                failures.append(f"{case}: {error}")
                say(f"FAILED {failures[-1]}")
        text = self.page()
        print(text)
        if not (self.quick or self.options.only or failures):
            PAGE.write_text(text)
            say(f"wrote {PAGE.relative_to(venvs.ROOT)}")
        say(f"took {time.monotonic() - began:.0f} s")
        return 1 if failures else 0

    def watch(self, name: str, *words: str, **variables: str) -> Program:
        environment = {
            "QUEUE_METRICS_BROKER_URL": self.redis.url, "AIRFLOW__CORE__PARALLELISM": "160",
            "QUEUE_METRICS_STATUS_FILE": str(self.work / f"{name}.json"), **variables,
        }
        return Program([str(self.program), "watch", *words], environment, self.work, name, 900)

    def cpu_a_sample(self, name: str, *words: str) -> float:
        """Milliseconds of CPU, all threads; samples come once a second, so that there are many of them."""
        samples = 10 if self.quick else 40
        with self.watch(name, "--interval", "1s", "--queues", THREE, "--metrics", "emf", *words) as program:
            time.sleep(12)
            before = program.cpu()
            time.sleep(samples)
            program.check_alive()
            return (program.cpu() - before) / samples * 1000

    def sample(self) -> dict[str, float]:
        found = {"nothing queued": self.cpu_a_sample("empty")}
        self.redis.run(FILL, "50", "10", "default", message("a"))
        found["50 queued, 10 in flight"] = self.cpu_a_sample("some")
        return found

    def growth(self) -> dict[tuple[int, int], float]:
        found = {}
        sizes = ((0, 0), (10, 0), (100_000, 0), (0, 10_000), (100_000, 10_000))
        for queued, in_flight in sizes[3:] if self.quick else sizes:
            self.redis.ask("FLUSHALL")
            self.redis.run(FILL, str(queued), str(in_flight), "default", message("a"))
            found[queued, in_flight] = self.cpu_a_sample(f"growth-{queued}-{in_flight}")
        return found

    def idle(self) -> dict[str, tuple[float, float, float]]:
        """Resident in MB in the median and at most within two minutes of rest, and since the start."""
        with ExitStack() as stack:
            cloudwatch = stack.enter_context(CloudWatch())
            programs = {}
            for sink in ("emf", "cloudwatch", "prometheus"):
                variables = aws(cloudwatch.endpoint) if sink == "cloudwatch" else {}
                listen = ("--listen", "127.0.0.1:0") if sink == "prometheus" else ()
                programs[sink] = stack.enter_context(self.watch(
                    f"idle-{sink}", "--queues", THREE, "--metrics", sink, *listen, **variables))
            time.sleep(25)
            seen = {sink: [] for sink in programs}
            for _ in range(10 if self.quick else 130):
                time.sleep(1)
                for sink, program in programs.items():
                    seen[sink].append(program.memory()[0])
            return {sink: (median(seen[sink]), max(seen[sink]), program.memory()[1])
                    for sink, program in programs.items()}

    def latency(self) -> list[float]:
        """From a task on an empty system to WorkersTarget 1 at the metric store."""
        found = []
        with CloudWatch() as cloudwatch:
            with self.watch("latency", "--hold", "0s", **aws(cloudwatch.endpoint)):
                self.reached(cloudwatch, 0.0, 0.0, 30)
                for run in range(3 if self.quick else 8):
                    # At another instant between two samples each time.
                    time.sleep(0.4 * run % 5)
                    queued = time.monotonic()
                    self.redis.ask("LPUSH", "default", message(str(run)))
                    found.append(self.reached(cloudwatch, 1.0, queued, 30) - queued)
                    emptied = time.monotonic()
                    self.redis.ask("DEL", "default")
                    self.reached(cloudwatch, 0.0, emptied, 30)
        return found

    def reached(self, cloudwatch: CloudWatch, target: float, since: float, limit: float) -> float:
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            for at, value in cloudwatch.values("WorkersTarget"):
                if at > since and value == target:
                    return at
            time.sleep(0.005)
        raise BenchError(f"no WorkersTarget {target:.0f} within {limit:.0f} s")

    def peer(self) -> dict[str, object]:
        celery = Celery(self.work, self.redis.url)
        found: dict[str, object] = {"counts": []}
        celery.put(("default", 0, 20), ("default", 3, 3))
        with Peer(celery, self.work) as peer:
            self.counted(found, peer, "20 tasks, and 3 of priority 3; no worker", (23, 0))
            with celery.worker("first", 4) as first:
                self.in_flight(4)
                self.counted(found, peer, "a worker runs 4 of them", (19, 4))
                self.costs(found, peer)
                first.kill()
            with celery.worker("second", 4):
                self.in_flight(8)
                self.counted(found, peer, "it was killed, and another runs 4", (15, 4))
        return found

    def in_flight(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while self.redis.ask("ZCARD", "unacked_index") != str(count):
            if time.monotonic() > deadline:
                raise BenchError(f"no {count} tasks run")
            time.sleep(0.1)

    def counted(self, found: dict, peer: Peer, case: str, truth: tuple[int, int]) -> None:
        answer = subprocess.run(
            [self.program, "once", "--output", "json"], capture_output=True, text=True, timeout=60,
            env={"QUEUE_METRICS_BROKER_URL": self.redis.url},
        )
        if answer.returncode != 0:
            raise BenchError(f"once: {answer.stderr.strip()}")
        ours = json.loads(answer.stdout)
        found["counts"].append((case, truth, (ours["ready"], ours["busy"], ours["orphaned"]), peer.scraped()))

    def costs(self, found: dict, peer: Peer) -> None:
        """All at once, beside the same worker; what is scraped is scraped every 5 s."""
        looks = 4 if self.quick else 12
        few = ("--worker-concurrency", "4")
        with ExitStack() as stack:
            cloudwatch = stack.enter_context(CloudWatch())
            puts = stack.enter_context(self.watch("puts", *few, **aws(cloudwatch.endpoint)))
            port = free_port()
            listen = ("--metrics", "prometheus", "--listen", f"127.0.0.1:{port}")
            serves = stack.enter_context(self.watch("serves", *few, *listen))
            time.sleep(15)
            programs = {"cloudwatch": puts, "prometheus": serves, "theirs": peer.program}
            before = {name: program.cpu() for name, program in programs.items()}
            began = time.monotonic()
            for look in range(looks):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    answer.read()
                peer.scraped()
                time.sleep(max(0.0, began + 5 * (look + 1) - time.monotonic()))
            seconds = time.monotonic() - began
            for name, program in programs.items():
                program.check_alive()
                found[name] = ((program.cpu() - before[name]) / seconds * 1000, program.memory()[0])

    def simulation(self) -> Days:
        return Days(self.program)

    def binary(self):
        return read_binary(self.program)

    def goals(self) -> list[Goal]:
        found, rows = self.found, []
        case, goal = "a sample of 3 queues × 4 steps", "at most 0.3 ms of CPU"
        if "sample" in found:
            worst = max(found["sample"].values())
            rows.append(Goal(case, goal, f"{worst:.2f} ms", worst <= 0.3))
        else:
            rows.append(missing(case, goal))
        for sink, most in (("cloudwatch", 6), ("emf", 5)):
            case, goal = f"idle at 5 s, RSS, {sink}", f"at most {most} MB"
            if "idle" in found:
                now, high, _ = found["idle"][sink]
                rows.append(Goal(case, goal, f"{now:.1f} MB (at most {high:.1f})", high <= most))
            else:
                rows.append(missing(case, goal))
        rows += [self.growth_goal(), self.latency_goal(), *self.peer_goals(), *self.simulation_goals()]
        binary = found.get("binary")
        case, goal = "binary", "at most 6 MB, static and stripped"
        if binary:
            words = "static" if binary.static else "NOT static"
            words += ", stripped" if binary.stripped else ", NOT stripped"
            met = binary.size <= 6 and binary.static and binary.stripped
            rows.append(Goal(case, goal, f"{binary.size:.2f} MB, {words}", met))
        else:
            rows.append(missing(case, goal))
        return rows

    def growth_goal(self) -> Goal:
        case, goal = "100,000 queued", "costs a sample nothing; only tasks in flight do"
        found = self.found.get("growth")
        if not found or (0, 0) not in found:
            return missing(case, goal)
        # Beside ten, because a target above zero is published every 10 s and one of zero every 60 s.
        more = found[100_000, 0] - found[10, 0]
        flight = found[0, 10_000] - found[0, 0]
        told = f"{more:+.2f} ms beside 10 queued; 10,000 in flight {flight:+.2f} ms"
        return Goal(case, goal, told, more < 0.05)

    def latency_goal(self) -> Goal:
        case, goal = "a task on an empty system to `WorkersTarget` 1 at the store, 5 s interval", "at most 6 s"
        found = self.found.get("latency")
        if not found:
            return missing(case, goal)
        return Goal(case, goal, f"{median(found):.1f} s, at most {max(found):.1f} of {len(found)}", max(found) <= 6)

    def peer_goals(self) -> list[Goal]:
        found = self.found.get("peer")
        case = "beside what celery-exporter does"
        if not found or "theirs" not in found:
            return [missing(case, "every count right, 1/50 of its CPU, 1/5 of its RSS")]
        right = all((ready, busy) == truth for _, truth, (ready, busy, _), _ in found["counts"])
        rows = [Goal(case, "every count right", "all right" if right else "NOT all", right)]
        ratios = {sink: tuple(theirs / ours for theirs, ours in zip(found["theirs"], found[sink]))
                  for sink in ("prometheus", "cloudwatch")}
        for at, (what, most) in enumerate((("CPU", 50), ("RSS", 5))):
            served, put = (ratios[sink][at] for sink in ("prometheus", "cloudwatch"))
            told = f"1/{served:.0f} with Prometheus, 1/{put:.0f} with CloudWatch"
            rows.append(Goal(case, f"at most 1/{most} of its {what}", told, min(served, put) >= most))
        return rows

    def simulation_goals(self) -> list[Goal]:
        case = "a day with bursts, simulated"
        if "simulation" not in self.found:
            return [missing(case, "0 killed, p95 wait at most 1.2 and worker-hours at most 1.25 × the ideal's")]
        return self.found["simulation"].goals()

    def page(self) -> str:
        words = {True: "met", False: "**not met**", None: "—"}
        rows = [[goal.case, goal.goal, goal.found, words[goal.met]] for goal in self.goals()]
        parts = ["# Benchmarks of queue-metrics",
                 "Written by `make bench-queue`. Ratios within one run say more than milliseconds, which are "
                 "this machine's.", self.machine(), "## Goals", table(["case", "goal", "measured", ""], rows)]
        found = self.found
        if "sample" in found:
            rows = [[case, f"{cost:.2f} ms"] for case, cost in found["sample"].items()]
            parts += ["## A sample", "CPU of all threads, publishing and the status file included, 3 queues × 4 "
                      "steps.", table(["", "CPU"], rows)]
        if "growth" in found:
            rows = [[f"{queued:,}", f"{flight:,}", f"{cost:.2f} ms"]
                    for (queued, flight), cost in found["growth"].items()]
            parts += ["## Growth", "With anything queued or in flight the target is above zero, and is published every "
                      "10 s in place of every 60 s.", table(["queued", "in flight", "CPU a sample"], rows)]
        if "idle" in found:
            rows = [[sink, *(f"{value:.1f} MB" for value in values)] for sink, values in found["idle"].items()]
            parts += ["## Memory", "Resident at an interval of 5 s with nothing queued, in the median and at most "
                      "over two minutes, and the peak since the start.",
                      table(["metrics", "median", "at most", "peak"], rows)]
        if "latency" in found:
            parts += ["## Latency", "From LPUSH to the put's arrival: " + ", ".join(
                f"{seconds:.1f}" for seconds in found["latency"]) + " s. Without a sample's turn to wait for it "
                "would be milliseconds; 5 s is the interval."]
        if "peer" in found:
            parts += self.peer_parts()
        if "simulation" in found:
            parts += found["simulation"].parts()
        parts += [WHY.strip(), HOW.strip()]
        return "\n\n".join(parts) + "\n"

    def peer_parts(self) -> list[str]:
        found = self.found["peer"]
        rows = [[case, f"{truth[0]} wait, {truth[1]} run", f"{ours[0]} wait, {ours[1]} run, {ours[2]} orphaned",
                 f"{theirs['length']} wait, {theirs['active']} run"] for case, truth, ours, theirs in found["counts"]]
        parts = ["## Counts", table(["case", "true", "`once`", "celery-exporter's way"], rows)]
        if "theirs" in found:
            rows = [[name, f"{found[key][0]:.2f} ms", f"{found[key][1]:.1f} MB"]
                    for name, key in (("`watch`, CloudWatch", "cloudwatch"), ("`watch`, Prometheus", "prometheus"),
                                      ("celery-exporter's way", "theirs"))]
            parts += ["## Cost", "One worker, a look every 5 s: CPU a second, and resident memory. All three run at "
                      "the same time, beside the same worker.",
                      table(["", "CPU a second", "RSS"], rows)]
        return parts

    def machine(self) -> str:
        fields = (line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines())
        model = next((field[1].strip() for field in fields if field[0].startswith("model name")), "")
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        version = subprocess.run([self.program, "--version"], capture_output=True, text=True, env={})
        server = subprocess.run([self.redis.program, "--version"], capture_output=True, text=True)
        server = " ".join(server.stdout.split()[:3])
        return "\n".join([
            f"- {time.strftime('%Y-%m-%d', time.gmtime())}",
            f"- {model or platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB; "
            f"{platform.system()} {platform.release()}",
            f"- {version.stdout.strip()}; {server}; Celery of Airflow 3.1.8",
            f"- load average {self.load:.1f} before the run, {os.getloadavg()[0]:.1f} after it",
        ])


if __name__ == "__main__":
    sys.exit(main())
