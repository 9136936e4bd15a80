"""The simulated days of queue-metrics against the goals: ten seeds of each scenario."""

import json
import subprocess
from pathlib import Path
from statistics import mean

from goals import Goal
from measure import BenchError
from page import table

OURS, ALARMS, IDEAL = "alarm a level", "ideal, by alarms", "ideal"
# Times the ideal's.
WAIT, HOURS = 1.2, 1.25
BURSTS = "morning burst"

# What keeps a scenario from a goal, by the beginning of its title.
WHY = {
    "long tail": "an alarm's 9 s on a wait of 49 s, in the worst seeds: *ideal, by alarms* waits as long",
    "flapping": "the hold: a burst every 8 min finds workers held for 5 of them. The ideal knows when the next "
    "one comes; who does not know pays for the hold, or with `--hold 1m` for a start with each burst",
    "redis outage": "an alarm's 9 s on a wait of 42 s, as *ideal, by alarms* has it; the rest are workers that lost "
    "Redis while tasks ran: to leave they shut down, and ECS counts them until they are gone",
}


class Days:
    """What was simulated: for each scenario one dictionary by policy for each seed."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.days: dict[str, list[dict[str, dict]]] = {}
        self.simulate("", "all")
        # The same bursts with a hold that is shorter than the pauses between them.
        for seed in range(1, 11):
            self.simulate(", `--hold 1m`", "flapping", "--hold", "1m", "--seed", str(seed))

    def simulate(self, mark: str, *words: str) -> None:
        words = [self.program, "simulate", *words, "--output", "json"]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=600, env={})
        if answer.returncode != 0:
            raise BenchError(answer.stderr.strip())
        for line in answer.stdout.splitlines():
            day = json.loads(line)
            name = day["scenario"].split(":")[0] + mark
            self.days.setdefault(name, []).append({row["policy"]: row for row in day["policies"]})

    def goals(self) -> list[Goal]:
        day, case = Day(self.days[BURSTS]), "a day with bursts, simulated, the worst of ten seeds"
        return [
            Goal(case, "no task killed by scale-in or deployment", str(day.killed), day.killed == 0),
            Goal(case, f"p95 wait at most {WAIT} × the ideal's", f"{day.wait:.2f} ×", day.wait <= WAIT),
            Goal(case, f"worker-hours at most {HOURS} × the ideal's", f"{day.hours:.2f} ×", day.hours <= HOURS),
        ]

    def parts(self) -> list[str]:
        rows, notes = [], []
        for name, seeds in self.days.items():
            day = Day(seeds)
            misses = [what for what, missed in (("wait", day.wait > WAIT), ("worker-hours", day.hours > HOURS),
                                                ("killed", day.killed > 0)) if missed]
            wait = f"{day.mean('wait_p95'):.0f} s, {day.mean('wait_p95', IDEAL):.0f} s"
            rows.append([name, wait, f"{day.wait:.2f} ×", f"{day.hours:.2f} ×", str(day.killed),
                         "all met" if not misses else f"not {', '.join(misses)}"])
            why = next((why for begin, why in WHY.items() if name.startswith(begin)), None)
            if misses and why and "`" not in name:
                notes.append(f"- {name}: {why}.")
        head = ["scenario", "p95 wait, and the ideal's", "worst", "worker-hours, worst", "killed", "goals"]
        return ["## Simulated days", "Ten seeds of each shipped scenario, each against the goals of the day with "
                "bursts: p95 waits on average, the worst seed's wait and worker-hours in times the ideal's, and "
                "the runs of tasks that scale-in and deployments killed in all ten.", table(head, rows),
                "What is not met, and why:", "\n".join(notes)]


class Day:
    """One scenario's seeds."""

    def __init__(self, seeds: list[dict[str, dict]]) -> None:
        self.seeds = seeds
        self.wait, self.hours = self.worst("wait_p95"), self.worst("worker_hours")
        kinds = ("killed_by_scale_in", "killed_by_deployment")
        self.killed = sum(seed[OURS][kind] for seed in seeds for kind in kinds)

    def mean(self, what: str, policy: str = OURS) -> float:
        return mean(seed[policy][what] for seed in self.seeds)

    def worst(self, what: str) -> float:
        return max(ratio(seed[OURS][what], seed[IDEAL][what]) for seed in self.seeds)


def ratio(ours: float, ideal: float) -> float:
    # The model counts in seconds: one apart is no other wait.
    if ideal < 1:
        return 1.0 if ours <= ideal + 1 else float("inf")
    return ours / ideal
