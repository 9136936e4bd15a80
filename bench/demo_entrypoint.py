#!/usr/bin/env python3
"""A story to follow on the terminal: three containers' worth of a real Airflow 3.1 started at the same
instant on an empty Postgres, by `entrypoint`.

Postgres is Debian's, SSM is moto and Airflow comes from PyPI; all of them run on this machine and end
with the story. What is not as promised ends it with exit 1 and says what was seen instead.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True

import starting  # noqa: E402
import venvs  # noqa: E402
from containers import Container, Containers, copied, seconds, own, settings, shared  # noqa: E402
from containers import stand_in  # noqa: E402
from measure import BenchError  # noqa: E402
from servers import Moto, Postgres, aws, free_port  # noqa: E402

LIMIT = 420
WIDTH = 64
BASE = "/demo-airflow"
ADMIN, PASSWORD = "admin", "pa$HOME~w@rd/%s: 'é'"
PHASES = ("resolve", "wait", "migrate", "admin", "preflight")
LETTERS = {"resolve": "r", "wait": "w", "migrate": "m", "admin": "a", "preflight": "p"}
# What is worth a line while it happens, beside the phases.
TOLD = {
    "migration_begins": "has the lock and begins to migrate",
    "migration_done": "has migrated the schema",
    "schema_waits": "waits for another's migration",
    "migration_waits": "waits for another's migration to end",
    "fingerprint": "fingerprint of the shared secrets",
}


class Broken(Exception):
    """Something is not as promised."""


class Narrator:
    def __init__(self) -> None:
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.number = 0
        self.title = ""

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def step(self, title: str) -> None:
        self.number += 1
        self.title = title
        self.line(f"\n{self.paint('1', f'{self.number}  {title}')}")

    def say(self, text: str) -> None:
        self.line(f"   {text}")

    def holds(self, text: str, took: float | None = None) -> None:
        time_text = "" if took is None else shown(took)
        self.line(f"   {self.paint('32', 'ok')} {time_text:>8}  {text}")

    def happened(self, at: float, who: str, text: str) -> None:
        self.line(f"   {at:7.2f} s  {self.paint('36', f'{who:<14}')} {text}")


def shown(took: float) -> str:
    return f"{took * 1000:.0f} ms" if took < 1 else f"{took:.2f} s"


def demand(holds: bool, promise: str, seen: object) -> None:
    if not holds:
        raise Broken(f"{promise}; seen: {seen}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", venvs.ROOT / "target"))
    built = target / os.environ.get("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu") / "release"
    parser.add_argument("--entrypoint", type=Path, default=built / "entrypoint", metavar="PROGRAM")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    narrator, work = Narrator(), Path(tempfile.mkdtemp(prefix="entrypoint-demo-"))
    try:
        began = time.monotonic()
        venv, moto = venvs.airflow(), venvs.moto()
        narrator.line(f"Airflow in {venv}, moto in {moto}, both there after {shown(time.monotonic() - began)}.")
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(LIMIT)
        tell(narrator, options.entrypoint.resolve(), venv, work)
    except (Broken, BenchError) as error:
        place = f" in step {narrator.number} ({narrator.title})" if narrator.number else ""
        print(f"\ndemo failed{place}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; everything that the demo made is removed", file=sys.stderr)
        return 130
    finally:
        signal.alarm(0)
        shutil.rmtree(work, ignore_errors=True)
    narrator.line(f"\nAll as promised, in {shown(time.monotonic() - began)}. Nothing is left behind.")
    return 0


def too_long(*_: object) -> None:
    raise Broken(f"it took longer than {LIMIT} s")


def tell(narrator: Narrator, program: Path, venv: Path, work: Path) -> None:
    shared(work)
    program = copied(program, work)
    with ExitStack() as stack:
        world = World(narrator, program, venv, work, stack)
        world.parameters_are_put()
        world.three_start()
        world.one_migrated()
        world.a_fourth_joins()
        world.a_wrong_key_is_refused()
        world.all_end()


class World:
    """The servers, the containers, and each step of the story."""

    def __init__(
        self, narrator: Narrator, program: Path, venv: Path, work: Path, stack: ExitStack
    ) -> None:
        self.narrator, self.program, self.venv, self.work = narrator, program, venv, work
        self.postgres = stack.enter_context(Postgres(work))
        self.moto = stack.enter_context(Moto())
        self.keys = starting.make_keys()
        self.port = free_port()
        self.containers = stack.enter_context(Containers())
        self.stand_in = stand_in(venv, work)

    def variables(self, bin: Path, **more: str) -> dict[str, str]:
        """What a task definition would say: no secret, and no URL of the database."""
        return {
            **aws(self.moto.endpoint),
            **settings(),
            "ENTRYPOINT_PARAMETERS": BASE,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "PATH": f"{bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            **more,
        }

    def start(self, name: str, words: list[str], bin: Path, **more: str) -> Container:
        container = Container(name, self.program, words, self.variables(bin, **more), self.work)
        self.containers.append(container)
        return container

    def parameters_are_put(self) -> None:
        say = self.narrator.say
        self.narrator.step("An empty database, and a path of secure parameters")
        parameters = {
            "db/host": "127.0.0.1", "db/port": str(self.postgres.port), "db/name": "airflow",
            "db/username": "airflow", "db/password": self.postgres.PASSWORD,
            "fernet-key": self.keys["fernet"], "webserver/secret-key": self.keys["web"],
            "jwt-secret": self.keys["jwt"], "admin/username": ADMIN, "admin/password": PASSWORD,
            "admin/email": "admin@example.com",
        }
        self.moto.put({f"{BASE}/{name}": value for name, value in parameters.items()})
        say(f"{len(parameters)} parameters below {BASE}: {', '.join(parameters)}")
        tables = self.postgres.ask("airflow", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        demand(tables == "0", "the database is empty", f"{tables} tables")
        self.narrator.holds("Postgres answers, with scram; no table in the database")

    def three_start(self) -> None:
        self.narrator.step("Three containers start at the same instant")
        bin = self.venv / "bin"
        began = time.monotonic()
        for words in (["api-server"], ["scheduler"], ["dag-processor"]):
            self.narrator.say(self.narrator.paint("36", f"$ ENTRYPOINT_PARAMETERS={BASE} entrypoint {words[0]}"))
            self.start(words[0], words, bin)
        told: set[tuple[str, int]] = set()
        up: dict[str, float] = {}
        while len(up) < len(self.containers):
            for container in self.containers:
                self.follow(container, told)
                container.check_alive()
                if container.name not in up and container.is_up():
                    up[container.name] = time.monotonic() - container.started
                    self.narrator.happened(up[container.name], container.name, "runs and is healthy")
            time.sleep(0.05)
        self.narrator.say("")
        self.timeline(up)
        self.narrator.holds("all three are up", time.monotonic() - began)

    def follow(self, container: Container, told: set[tuple[str, int]]) -> None:
        """A line for each event that is new."""
        for number, event in enumerate(container.events()):
            if (container.name, number) in told:
                continue
            told.add((container.name, number))
            text = TOLD.get(event["event"])
            if event["event"] == "phase_done":
                text = f"{event['phase']} done, {shown(float(event['seconds']))}"
            elif event["event"] == "fingerprint":
                text = f"{text}: {event['fingerprint']}"
            if text:
                self.narrator.happened(event["at"], container.name, text)

    def timeline(self, up: dict[str, float]) -> None:
        """One bar a container, all of one scale."""
        longest = max(up.values())
        for container in self.containers:
            bar, at = "", 0.0
            for phase in PHASES:
                event = container.event("phase_done", phase=phase)
                if event:
                    at = event["at"]
                    bar = bar.ljust(round(at / longest * WIDTH), LETTERS[phase])
            bar = bar.ljust(round(up[container.name] / longest * WIDTH), ".")
            self.narrator.say(f"{container.name:<14} |{bar:<{WIDTH}}|")
        self.narrator.say(f"{'':<14}  0 s{shown(longest):>{WIDTH - 3}}")
        self.narrator.say("r resolve, w wait, m migrate or wait for another's, a admin, p preflight, . Airflow starts")

    def one_migrated(self) -> None:
        narrator = self.narrator
        narrator.step("One migrated, and nobody saw a secret")
        who = [one.name for one in self.containers if one.event("migration_done")]
        demand(len(who) == 1, "exactly one container migrates", who)
        seconds_ = self.containers[[one.name for one in self.containers].index(who[0])]
        took = float(seconds_.event("migration_done")["seconds"])
        narrator.holds(f"{who[0]} migrated, the others waited", took)
        log = self.postgres.log.read_text(errors="replace")
        demand("trimtab-migrate" in log, "the migration's sessions carry its name", "none in Postgres's log")
        heads = self.postgres.ask("airflow", "SELECT version_num FROM alembic_version")
        fab = self.postgres.ask("airflow", "SELECT version_num FROM alembic_version_fab")
        comment = self.postgres.ask("airflow", "SELECT obj_description('alembic_version'::regclass)")
        narrator.holds(f"alembic_version {heads}, FAB's {fab}, kept beside it: {comment}")
        users = self.postgres.ask("airflow", "SELECT string_agg(username, ',') FROM ab_user")
        demand(users == ADMIN, "there is one user, the admin", users)
        self.token = self.login()
        narrator.holds(f"one user, {users}, who logs in with the password from the parameter: {PASSWORD}")
        prints = {one.name: (one.event("fingerprint") or {}).get("fingerprint") for one in self.containers}
        demand(None not in prints.values() and len(set(prints.values())) == 1,
               "the fingerprints are equal", prints)
        narrator.holds(f"the same fingerprint in all three: {set(prints.values()).pop()}")
        self.no_secret_shows()

    def login(self) -> str:
        answer = self.post("/auth/token", {"username": ADMIN, "password": PASSWORD}, None)
        demand("access_token" in answer, "the admin logs in", answer)
        return answer["access_token"]

    def post(self, path: str, body: dict, token: str | None) -> dict:
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Broken(f"POST {path}: {error.code} {error.read()[:200]!r}") from None
        except OSError as error:
            raise Broken(f"POST {path}: {error}") from None

    def no_secret_shows(self) -> None:
        secrets = [*self.keys.values(), self.postgres.PASSWORD, PASSWORD]
        for container in self.containers:
            places = {"log": container.stderr.read_text(errors="replace"),
                      "status file": container.status_file.read_text()}
            places["arguments"] = Path(f"/proc/{container.pid}/cmdline").read_text()
            for place, text in places.items():
                seen = [number for number, secret in enumerate(secrets) if secret in text]
                demand(not seen, f"no secret in the {place} of {container.name}", f"secret {seen}")
        self.narrator.holds("none of the secrets in a log, a status file or the arguments")

    def a_fourth_joins(self) -> None:
        narrator = self.narrator
        narrator.step("A fourth joins, and finds everything done")
        stamp = own(self.work / "fourth") / "stamp"
        began = self.start("fourth", ["scheduler"], self.stand_in, STAMP=str(stamp))
        deadline = time.monotonic() + 30
        while True:
            began.check_alive()
            try:
                at = seconds(stamp.read_text())
                break
            except (OSError, ValueError):
                demand(time.monotonic() < deadline, "the fourth starts", began.told())
                time.sleep(0.002)
        demand(not began.event("migration_begins"), "it does not migrate", began.told())
        took = {event["phase"]: float(event["seconds"]) for event in began.events()
                if event["event"] == "phase_done"}
        phases = ", ".join(f"{name} {shown(value)}" for name, value in took.items())
        narrator.holds(f"from its start to that of its service, most of it moto's: {phases}", at - began.started)
        code = began.end()
        demand(code == 143, "it ends as SIGTERM ends its service", code)
        self.containers.remove(began)

    def a_wrong_key_is_refused(self) -> None:
        narrator = self.narrator
        narrator.step("A container with another Fernet key is refused before it does harm")
        self.post("/api/v2/connections",
                  {"connection_id": "warehouse", "conn_type": "http", "password": "x"}, self.token)
        narrator.say("The admin adds a connection with a password; then a scheduler comes with another key.")
        wrong = self.start("wrong-key", ["scheduler"], self.venv / "bin",
                           AIRFLOW__CORE__FERNET_KEY=starting.make_keys()["fernet"])
        code = wrong.wait(60)
        self.containers.remove(wrong)
        failed = wrong.event("failed") or {}
        reason = str(failed.get("reason", wrong.told()))
        demand(code == 65 and "FERNET_KEY" in reason, "exit 65, with the variable's name", f"{code}: {reason}")
        narrator.holds(f"exit 65: {reason}")

    def all_end(self) -> None:
        self.narrator.step("SIGTERM, as ECS stops a task")
        began = time.monotonic()
        for container in self.containers:
            container.signal(signal.SIGTERM)
        for container in list(self.containers):
            code = container.wait(40)
            self.containers.remove(container)
            demand(code in (0, 143), f"{container.name} ends as its service does", code)
            self.narrator.holds(f"{container.name} ended with {code}", time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
