"""The figures to reach, each beside what was measured."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cases import Case
from measure import Sample
from watching import Changes, Latency, Polls, Size, reported

ONLY_LIST = "requests are the LIST pages and nothing else"


@dataclass
class Binary:
    """The program's size in MB (10^6 bytes), and whether it is what is shipped."""

    size: float
    static: bool
    stripped: bool


@dataclass
class Results:
    """All that was measured; what was left out is empty."""

    cases: dict[str, Case]
    polls: Polls | None = None
    changes: Changes | None = None
    latency: Latency | None = None
    idle: dict[str, tuple[float, float]] | None = None
    growth: list[Size] | None = None
    binary: Binary | None = None

    def sample(self, case: str, tool: str) -> Sample | None:
        found = self.cases.get(case)
        return found.samples.get(tool) if found else None

    def value(self, case: str, tool: str, what: str) -> float | None:
        sample = self.sample(case, tool)
        return sample.median(what) if sample else None


@dataclass
class Goal:
    """A goal, what was found, and whether it is met: `None` when it was not measured."""

    case: str
    goal: str
    found: str
    met: bool | None


def goals(results: Results) -> list[Goal]:
    return [
        *unchanged_poll(results),
        *unchanged_once(results),
        memory(results),
        *cold_small(results),
        *cold_big(results),
        *cold_delayed(results),
        latency(results),
        idle(results),
        binary(results),
    ]


def unchanged_poll(results: Results) -> list[Goal]:
    case = "20,000 unchanged, a poll in `watch`"
    polls = results.polls
    rows = [
        share(case, "CPU", polls and polls.cpu, results, peer, limit)
        for peer, limit in (("rclone --checksum", 0.1), ("rclone", 0.25))
    ]
    if not polls:
        return [*rows, missing(case, ONLY_LIST)]
    pages = -(-polls.keys // 1000)
    met = polls.requests == {"LIST": pages}
    return [*rows, Goal(case, ONLY_LIST, requests(polls.requests), met)]


def share(
    case: str, what: str, ours: float | None, results: Results, peer: str, limit: float
) -> Goal:
    theirs = results.value("same-20000", peer, "cpu")
    goal = f"{what} ≤ {limit:g} of `{peer}`"
    if ours is None or theirs is None:
        return missing(case, goal)
    found = f"{ours / theirs:.3f} ({ours * 1000:.0f} ms to {theirs * 1000:.0f} ms)"
    return Goal(case, goal, found, ours <= limit * theirs)


def unchanged_once(results: Results) -> list[Goal]:
    case = "20,000 unchanged, `once` in a new process"
    sample = results.sample("same-20000", "s3sync")
    ours, what = sample and sample.median("cpu"), "CPU, start and manifest included,"
    told = [reported(one) for one in sample.runs] if sample else []
    if ours is not None and told and None not in told:
        ours, what = ours - median(told) / 1000, "CPU less reading the manifest"
    rows = [
        share(case, what, ours, results, peer, limit)
        for peer, limit in (("rclone --checksum", 0.1), ("rclone", 0.25))
    ]
    if not sample or not sample.requests:
        return [*rows, missing(case, ONLY_LIST)]
    met = sample.requests.keys() == {"LIST"}
    return [*rows, Goal(case, ONLY_LIST, requests(sample.requests), met)]


def memory(results: Results) -> Goal:
    """The highest of every way in which 20,000 keys were held."""
    case, goal = "20,000 keys", "peak RSS ≤ 24 MB"
    peaks = {
        "cold": highest(results.sample("cold-20000", "s3sync")),
        "no change": highest(results.sample("same-20000", "s3sync")),
        "`watch`": results.polls and results.polls.peak,
    }
    known = {how: peak for how, peak in peaks.items() if peak is not None}
    if len(known) < len(peaks):
        return missing(case, goal)
    found = ", ".join(f"{how} {peak:.1f} MB" for how, peak in known.items())
    return Goal(case, goal, found, max(known.values()) <= 24)


def highest(sample: Sample | None) -> float | None:
    return sample.spread("peak")[1] if sample else None


def cold_small(results: Results) -> list[Goal]:
    title, case, peers = "2,000 small files cold", "cold-2000", ("rclone", "rclone --checksum")
    return [
        against(title, "wall ≤ rclone's", case, "wall", peers, 1.0, results),
        against(title, "CPU ≤ 0.6 of rclone's", case, "cpu", peers, 0.6, results),
    ]


def cold_big(results: Results) -> list[Goal]:
    case = "20 × 50 MB cold"
    goal = "peak RSS ≤ 200 MB"
    peak = highest(results.sample("big", "s3sync"))
    return [
        against(case, "wall ≤ s5cmd's", "big", "wall", ("s5cmd",), 1.0, results),
        missing(case, goal) if peak is None else Goal(case, goal, f"{peak:.1f} MB", peak <= 200),
    ]


def cold_delayed(results: Results) -> list[Goal]:
    case = "2,000 cold, 15 ms a GET, 40 ms a LIST"
    peers = ("rclone", "rclone --checksum")
    goal = "faster than rclone with as many connections"
    return [against(case, goal, "delayed", "wall", peers, 1.0, results)]


def against(
    title: str,
    goal: str,
    case: str,
    what: str,
    peers: tuple[str, ...],
    limit: float,
    results: Results,
) -> Goal:
    """Against the best of these peers."""
    ours = results.value(case, "s3sync", what)
    theirs = [value for peer in peers if (value := results.value(case, peer, what)) is not None]
    if ours is None or not theirs:
        return missing(title, goal)
    best = min(theirs)
    found = f"{ours / best:.2f} ({ours:.2f} s to {best:.2f} s)"
    return Goal(title, goal, found, ours <= limit * best)


def latency(results: Results) -> Goal:
    case = "upload to file on disk in `watch`"
    goal = "p99 ≤ interval + settle + 0.5 s"
    measured = results.latency
    if not measured:
        return missing(case, goal)
    p50, p99 = measured.percentile(50), measured.percentile(99)
    found = (
        f"p99 {p99:.2f} s of {measured.allowed:.2f} s; p50 {p50:.2f} s, "
        f"longest {max(measured.seconds):.2f} s, of {len(measured.seconds)}"
    )
    return Goal(case, goal, found, p99 <= measured.allowed)


def idle(results: Results) -> Goal:
    case, goal = "idle `watch`, 2,000 keys", "RSS ≤ 10 MB"
    if not results.idle:
        return missing(case, goal)
    found = "; ".join(
        f"{how}: {now:.1f} MB (at most {peak:.1f})" for how, (now, peak) in results.idle.items()
    )
    return Goal(case, goal, found, max(now for now, _ in results.idle.values()) <= 10)


def binary(results: Results) -> Goal:
    case, goal = "binary", "≤ 7 MB, static and stripped"
    measured = results.binary
    if not measured:
        return missing(case, goal)
    words = ["static" if measured.static else "NOT static"]
    words.append("stripped" if measured.stripped else "NOT stripped")
    met = measured.size <= 7 and measured.static and measured.stripped
    return Goal(case, goal, f"{measured.size:.2f} MB, {', '.join(words)}", met)


def missing(case: str, goal: str) -> Goal:
    return Goal(case, goal, "not measured", None)


def requests(counts: dict[str, float]) -> str:
    return ", ".join(f"{number:g} {kind}" for kind, number in sorted(counts.items())) or "none"


def read_binary(program: Path) -> Binary:
    """From the ELF headers: a static program asks for no interpreter, a stripped one has no symbols."""
    data = program.read_bytes()

    def number(offset: int, size: int) -> int:
        return int.from_bytes(data[offset : offset + size], "little")

    def entries(table: int, size: int, count: int, kind: int) -> set[int]:
        start, width = number(table, 8), number(size, 2)
        return {number(start + width * index + kind, 4) for index in range(number(count, 2))}

    if data[:5] != b"\x7fELF\x02":
        return Binary(len(data) / 1e6, False, False)
    interpreter, symbols = 3, 2
    segments, sections = entries(0x20, 0x36, 0x38, 0), entries(0x28, 0x3A, 0x3C, 4)
    return Binary(len(data) / 1e6, interpreter not in segments, symbols not in sections)
