"""What is measured of entrypoint: how long it takes, what it holds, and what many of them do together."""

import base64
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import quote

import venvs
from cases import say
from containers import (
    Container, Containers, as_user, established, own, parameters, seconds, settings, sockets,
)
from goals import Binary
from measure import BenchError, until
from servers import Moto, Postgres, Ssm, aws, free_port

MIGRATOR = "trimtab-migrate"
ADMIN = "bench-admin"


@dataclass
class Setup:
    """Programs, servers and how much of each is done."""

    program: Path
    work: Path
    venv: Path
    stand_in: Path
    postgres: Postgres
    ssm: Ssm
    keys: dict[str, str]
    runs: int
    slow_runs: int
    together: int
    many: int
    image_script: Path | None = None

    def variables(self, bin: Path, endpoint: str | None = None, **more: str) -> dict[str, str]:
        return {
            **aws(endpoint or self.ssm.endpoint),
            **settings(**more),
            "PATH": f"{bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        }

    def airflow(self) -> dict[str, str]:
        """The same for Airflow by itself, which asks no SSM."""
        url = f"postgresql://airflow:{quote(self.postgres.PASSWORD, safe='')}@127.0.0.1:{self.postgres.port}/airflow"
        home = own(self.work / "home")
        return {
            **settings(),
            "PATH": f"{self.venv}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(home),
            "LOGNAME": "airflow",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__CORE__FERNET_KEY": self.keys["fernet"],
            "AIRFLOW__API__SECRET_KEY": self.keys["web"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self.keys["jwt"],
        }


def make_keys() -> dict[str, str]:
    return {
        "fernet": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "web": secrets.token_hex(32),
        "jwt": secrets.token_hex(32),
    }


@dataclass
class Spread:
    """Several of one figure."""

    values: list[float]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


@dataclass
class Together:
    """Several real services, started at once on an empty database."""

    count: int
    migrations: int
    admins: int
    up: int
    failures: list[str]
    seconds: float
    phases: list[tuple[str, dict[str, float]]]
    resident: Spread


@dataclass
class Many:
    """As many as a deployment starts at once, on a database that is up to date."""

    count: int
    seconds: float
    connections: int
    at_once: int


@dataclass
class Results:
    starts: dict[str, Spread] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)
    airflow: dict[str, Spread] = field(default_factory=dict)
    resident: dict[str, tuple[float, float]] = field(default_factory=dict)
    together: Together | None = None
    many: Many | None = None
    binary: Binary | None = None


# The services of one environment; schedulers and triggerers may be many.
SERVICES = (("api-server",), ("scheduler",), ("dag-processor",), ("triggerer",))


def together(setup: Setup, results: Results) -> None:
    """Real Airflow, an empty database, one migration; it leaves the database migrated."""
    say(f"together: {setup.together} real services on an empty database")
    setup.postgres.create("airflow")
    before = len(setup.postgres.log.read_text(errors="replace"))
    admin = {
        "ENTRYPOINT_ADMIN_USERNAME": ADMIN,
        "ENTRYPOINT_ADMIN_PASSWORD": "admin's own",
        "ENTRYPOINT_ADMIN_EMAIL": "admin@example.com",
    }
    with Containers() as containers:
        began = time.monotonic()
        for number in range(setup.together):
            # One API server, because of its port, and one dag-processor: two that meet a new schema
            # both add the same bundle, and Airflow ends one of them with a UniqueViolation.
            words = SERVICES[number] if number < 4 else SERVICES[1 + number % 2 * 2]
            more = {
                "AIRFLOW__API__PORT": str(free_port()),
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
                **admin,
            }
            containers.append(
                Container(f"{words[0]}-{number}", setup.program, list(words),
                          setup.variables(setup.venv / "bin", **more), setup.work)
            )
        failures = wait_until_up(containers, 300 + 15 * setup.together)
        took = time.monotonic() - began
        log = setup.postgres.log.read_text(errors="replace")[before:]
        alive = [container for container in containers if container.process.poll() is None]
        results.together = Together(
            count=len(containers),
            migrations=migrations(containers),
            admins=int(setup.postgres.ask("airflow", "SELECT count(*) FROM ab_user")),
            up=sum(1 for container in containers if container.is_up()),
            failures=failures,
            seconds=took,
            phases=[(container.name, phase_seconds(container)) for container in containers],
            resident=Spread([container.resident()[0] for container in alive] or [0.0]),
        )
        if MIGRATOR not in log:
            results.together.failures.append(f"Postgres saw no session named {MIGRATOR}")


def wait_until_up(containers: Containers, limit: float) -> list[str]:
    """Until each is healthy or ended; what went wrong."""
    failures: dict[str, str] = {}
    deadline = time.monotonic() + limit
    while True:
        waiting = []
        for container in containers:
            if container.process.poll() is not None:
                failures[container.name] = f"{container.name} ended: {container.told()}"
            elif not container.is_up():
                waiting.append(container)
        if not waiting:
            return list(failures.values())
        if time.monotonic() > deadline:
            late = [f"{one.name} is not up after {limit:.0f} s: {one.told()}" for one in waiting]
            return [*failures.values(), *late]
        time.sleep(0.1)


def migrations(containers: list[Container]) -> int:
    return sum(1 for container in containers if container.event("migration_done"))


def phase_seconds(container: Container) -> dict[str, float]:
    return {
        event["phase"]: float(event["seconds"])
        for event in container.events()
        if event["event"] == "phase_done"
    }


def starts(setup: Setup, results: Results) -> None:
    """From the start of the process to the first instruction of the service."""
    say("starts: one at a time, schema current")
    ours, bin = setup.program, setup.stand_in
    words = {"entrypoint": [str(ours), "scheduler"]}
    plain = str(bin / "python")
    words["entrypoint, nothing to do"] = [str(ours), plain]
    for name, init in venvs.inits(setup.work).items():
        words[name] = [str(init), "--", plain]
    environments = {name: {"PATH": "/usr/bin:/bin"} for name in words}
    environments["entrypoint"] = setup.variables(bin)
    found: dict[str, list[float]] = {name: [] for name in words}
    # In turn, so that what else the machine does meets all of them.
    for _ in range(setup.runs):
        for name, command in words.items():
            took, phases, memory = start(setup, command, environments[name])
            found[name].append(took)
            results.resident[name] = memory
            if phases:
                results.phases = phases
    results.starts = {name: Spread(values) for name, values in found.items()}


def start(
    setup: Setup, command: list[str], environment: dict[str, str], settle: float = 0
) -> tuple[float, dict[str, float], tuple[float, float]]:
    """One start: seconds, those of each phase, and resident MB."""
    with Containers() as containers:
        stamp = own(setup.work / "one") / "stamp"
        stamp.unlink(missing_ok=True)
        container = Container(
            "one", Path(command[0]), command[1:], {**environment, "STAMP": str(stamp)}, setup.work
        )
        containers.append(container)
        at = stamped(container, stamp, 60)
        time.sleep(settle)
        memory = container.resident()
        return at - container.started, phase_seconds(container), memory


def stamped(container: Container, stamp: Path, limit: float) -> float:
    """When the service began, by its own clock."""

    def read() -> float | None:
        container.check_alive()
        try:
            return seconds(stamp.read_text())
        except (OSError, ValueError):
            return None

    return until(f"{container.name}'s service", limit, 0.001, read)


def with_moto(setup: Setup, results: Results) -> None:
    say("moto: the same with somebody else's SSM")
    with Moto() as moto:
        moto.put(parameters(setup.postgres.port, setup.postgres.PASSWORD, setup.keys))
        environment = setup.variables(setup.stand_in, moto.endpoint)
        values = [
            start(setup, [str(setup.program), "scheduler"], environment)[0]
            for _ in range(setup.slow_runs)
        ]
    results.starts["entrypoint, parameters from moto"] = Spread(values)


def memory(setup: Setup, results: Results) -> None:
    """At rest, with the health of the service looked after; the others for the same time."""
    say("memory: ten seconds after the start")
    plain, plain_environment = str(setup.stand_in / "python"), {"PATH": "/usr/bin:/bin"}
    own_words = [str(setup.program), "scheduler"]
    _, _, results.resident["entrypoint"] = start(
        setup, own_words, setup.variables(setup.stand_in), settle=10
    )
    for name, init in venvs.inits(setup.work).items():
        words = [str(init), "--", plain]
        _, _, results.resident[name] = start(setup, words, plain_environment, settle=1)
    words = [str(setup.program), plain]
    name = "entrypoint, nothing to do"
    _, _, results.resident[name] = start(setup, words, plain_environment, settle=1)


def airflow(setup: Setup, results: Results) -> None:
    """The same questions by Airflow's own commands, with compiled bytecode."""
    say("airflow: its own commands")
    for name in ("check", "check-migrations"):
        values = [command(setup, ["airflow", "db", name]) for _ in range(setup.slow_runs)]
        results.airflow[f"airflow db {name}"] = Spread(values)
    if setup.image_script:
        values = [image_start(setup) for _ in range(setup.slow_runs)]
        results.airflow["the image's entrypoint script"] = Spread(values)


def command(setup: Setup, words: list[str]) -> float:
    began = time.monotonic()
    program = setup.venv / "bin" / words[0]
    answer = subprocess.run(
        [program, *words[1:]], env=setup.airflow(), capture_output=True, text=True, timeout=300,
        cwd=setup.work / "home", **as_user(),
    )
    if answer.returncode != 0:
        raise BenchError(f"{' '.join(words)}: {answer.stderr.strip().splitlines()[-1:]}")
    return time.monotonic() - began


def image_start(setup: Setup) -> float:
    """Airflow's own entrypoint with a migration and a user asked for, both of which are there: until
    it starts the service, for which a wrapper of the command notes the time and stays."""
    bin = setup.work / "image"
    home = own(setup.work / "image-home")
    if not bin.exists():
        bin.mkdir()
        wrapper = bin / "airflow"
        stamp = setup.stand_in / "python"
        wrapper.write_text(
            f"#!/bin/sh\n[ \"$1\" = scheduler ] && exec {stamp}\nexec {setup.venv}/bin/airflow \"$@\"\n"
        )
        wrapper.chmod(0o755)
        copy = bin / "entrypoint_prod.sh"
        copy.write_text(setup.image_script.read_text())
        copy.chmod(0o755)
    environment = {
        **setup.airflow(),
        "PATH": f"{bin}:{setup.venv}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "AIRFLOW_USER_HOME_DIR": str(home),
        "_AIRFLOW_DB_MIGRATE": "true",
        "_AIRFLOW_WWW_USER_CREATE": "true",
        "_AIRFLOW_WWW_USER_USERNAME": ADMIN,
        "_AIRFLOW_WWW_USER_PASSWORD": "admin's own",
    }
    with Containers() as containers:
        stamp = own(setup.work / "image-one") / "stamp"
        stamp.unlink(missing_ok=True)
        container = Container(
            "image-one", Path("/bin/bash"), [str(bin / "entrypoint_prod.sh"), "scheduler"],
            {**environment, "STAMP": str(stamp)}, setup.work,
        )
        containers.append(container)
        return stamped(container, stamp, 300) - container.started


def many(setup: Setup, results: Results) -> None:
    """Started at once on a current database; connections are looked at all the while."""
    say(f"many: {setup.many} at once, schema current")
    at_once = connections = 0
    with Containers() as containers:
        stamps = []
        began = time.monotonic()
        for number in range(setup.many):
            name = f"many-{number}"
            stamp = own(setup.work / name) / "stamp"
            stamps.append(stamp)
            variables = setup.variables(setup.stand_in, STAMP=str(stamp))
            containers.append(
                Container(name, setup.program, ["scheduler"], variables, setup.work)
            )
        waiting = dict(zip(range(setup.many), stamps))
        last = began
        # A while longer: a connection that comes after the start counts too.
        while waiting or time.monotonic() < last + 2:
            known = established()
            held = [sockets(one.pid, known, setup.postgres.port) for one in containers]
            connections, at_once = max(connections, *held), max(at_once, sum(held))
            for number in list(waiting):
                containers[number].check_alive()
                try:
                    last = max(last, seconds(waiting[number].read_text()))
                    del waiting[number]
                except (OSError, ValueError):
                    pass
            if time.monotonic() > began + 120:
                raise BenchError(f"{len(waiting)} of {setup.many} do not run after 120 s")
        results.many = Many(setup.many, last - began, connections, at_once)
        # All at once, as a deployment ends them.
        for container in containers:
            container.signal(signal.SIGTERM)


def prepare(setup: Setup) -> None:
    """A database that is up to date, by entrypoint with the real Airflow."""
    say("prepare: an empty database is migrated")
    setup.postgres.create("airflow")
    with Containers() as containers:
        more = {"ENTRYPOINT_INIT_ONLY": "true"}
        container = Container(
            "prepare", setup.program, ["scheduler"], setup.variables(setup.venv / "bin", **more),
            setup.work,
        )
        containers.append(container)
        if container.wait(300) != 0:
            raise BenchError(f"the database was not migrated: {container.told()}")
