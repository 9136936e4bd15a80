"""entrypoint's figures as Markdown, beside the goals."""

import os
import platform
import subprocess
import time
from pathlib import Path

from goals import Goal, missing
from page import table
from servers import postgres_program
from starting import Results, Setup, Spread

HOW = """## How it is measured

- Postgres, SSM and Airflow are on the same machine, over loopback, and share its cores with what is measured.
- A start runs from before the fork until the service's first instruction: the service is a program of
  twenty lines in the place of Python, which notes the time and stays; Airflow's packages beside it are the
  real ones, so that its migrations are read as always. Eight parameters of the known layout come from a
  server that answers from memory, in one row from moto.
- Resident memory is VmRSS from /proc; the stay before it is ten seconds, with the service's health looked at.
- The services that are started together are real ones, all of them at the same instant on an empty
  database; a service is up when its status file says that it is healthy.
- Connections are counted from outside, by the sockets that each process holds to Postgres's port.
- Airflow's commands have compiled bytecode, without which they take twice as long. The image's script is
  asked for a migration and a user, both of which are there already, and measured until it starts the service.
"""


def goals(results: Results) -> list[Goal]:
    return [*start(results), resident(results), binary(results), *together(results), *many(results)]


def start(results: Results) -> list[Goal]:
    case = "start to exec, schema current, 8 parameters"
    ours = results.starts.get("entrypoint")
    commands = [results.airflow.get(f"airflow db {name}") for name in ("check", "check-migrations")]
    first, second = "at most 60 ms", "at most 1/80 of `db check` + `db check-migrations`"
    if not ours:
        return [missing(case, first), missing(case, second)]
    found = f"{milliseconds(ours)} (of {len(ours.values)})"
    rows = [Goal(case, first, found, ours.median <= 0.06)]
    if None in commands:
        return [*rows, missing(case, second)]
    theirs = sum(one.median for one in commands if one)
    share = theirs / ours.median
    return [*rows, Goal(case, second, f"1/{share:.0f} of {theirs:.2f} s", share >= 80)]


def resident(results: Results) -> Goal:
    case, goal = "RSS once the service runs", "at most 5 MB"
    found = results.resident.get("entrypoint")
    if not found:
        return missing(case, goal)
    now, peak = found
    highest, real = now, ""
    if results.together:
        highest = max(now, results.together.resident.most)
        real = f"; beside real services at most {results.together.resident.most:.1f} MB"
    return Goal(case, goal, f"{now:.1f} MB (at most {peak:.1f} before){real}", highest <= 5)


def binary(results: Results) -> Goal:
    case, goal = "binary", "at most 8 MB, static and stripped"
    found = results.binary
    if not found:
        return missing(case, goal)
    words = ["static" if found.static else "NOT static"]
    words.append("stripped" if found.stripped else "NOT stripped")
    met = found.size <= 8 and found.static and found.stripped
    return Goal(case, goal, f"{found.size:.2f} MB, {', '.join(words)}", met)


def together(results: Results) -> list[Goal]:
    found = results.together
    goal = "one migration, one admin, all up, no failure"
    if not found:
        return [missing("started together on an empty database", goal)]
    case = f"{found.count} started together on an empty database, real Airflow 3.1"
    text = (
        f"{found.migrations} migration, {found.admins} admin, {found.up} up after "
        f"{found.seconds:.0f} s, {len(found.failures)} failed"
    )
    met = (found.migrations, found.admins, found.up) == (1, 1, found.count) and not found.failures
    return [Goal(case, goal, text, met)]


def many(results: Results) -> list[Goal]:
    found = results.many
    if not found:
        return [missing("fifty started together, schema current", "all running within 5 s")]
    case = f"{found.count} started together, schema current"
    return [
        Goal(case, "all running within 5 s", f"{found.seconds:.2f} s", found.seconds <= 5),
        Goal(case, "at most 2 connections each",
             f"{found.connections} (at most {found.at_once} of all at once)", found.connections <= 2),
    ]


def page(results: Results, setup: Setup) -> str:
    words = {True: "met", False: "**not met**", None: "—"}
    rows = [[goal.case, goal.goal, goal.found, words[goal.met]] for goal in goals(results)]
    parts = [
        "# Benchmarks of entrypoint",
        "Written by `make bench-entrypoint`. Ratios within one run say more than seconds, which are this "
        "machine's.",
        "\n".join(machine(setup)),
        "## Goals",
        table(["case", "goal", "measured", ""], rows),
        *start_parts(results),
        *memory_parts(results),
        *together_parts(results),
        HOW.strip(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(setup: Setup) -> list[str]:
    fields = (line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines())
    model = next((field[1].strip() for field in fields if field[0].startswith("model name")), "")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    version = subprocess.run(
        [setup.program, "--version"], capture_output=True, text=True, timeout=10, env={}
    )
    postgres = subprocess.run(
        [postgres_program("postgres"), "--version"], capture_output=True, text=True, timeout=10
    )
    return [
        f"- {time.strftime('%Y-%m-%d', time.gmtime())}",
        f"- {model or platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB; "
        f"{platform.system()} {platform.release()}",
        f"- {version.stdout.strip()}; Airflow 3.1.8, FAB; {postgres.stdout.strip()}",
    ]


def milliseconds(spread: Spread) -> str:
    return f"{spread.median * 1000:.1f} ms ({spread.least * 1000:.1f} to {spread.most * 1000:.1f})"


def start_parts(results: Results) -> list[str]:
    if not results.starts and not results.airflow:
        return []
    rows = [[name, milliseconds(spread)] for name, spread in results.starts.items()]
    rows += [[f"`{name}`" if name.startswith("airflow") else name, f"{spread.median:.2f} s"]
             for name, spread in results.airflow.items()]
    parts = ["## Start", "Median, least and most, from the start of the process.", table(["", ""], rows)]
    if results.phases:
        phases = ", ".join(f"{name} {took * 1000:.1f} ms" for name, took in results.phases.items())
        parts.append(f"One of entrypoint's by its own clock: {phases}.")
    return parts


def memory_parts(results: Results) -> list[str]:
    rows = [[name, f"{now:.2f} MB", f"{peak:.2f} MB"] for name, (now, peak) in results.resident.items()]
    return ["## Memory", table(["", "resident", "at most before"], rows)] if rows else []


def together_parts(results: Results) -> list[str]:
    found = results.together
    if not found:
        return []
    names = ["resolve", "wait", "migrate", "admin", "preflight"]
    rows = [
        [name, *(f"{phases[phase]:.2f} s" if phase in phases else "" for phase in names)]
        for name, phases in found.phases
    ]
    text = "What each of them spent in its phases; `migrate` is one's own migration or the wait for another's."
    told = "\n".join(f"- {failure}" for failure in found.failures)
    return ["## Together", text, table(["", *names], rows), told]
