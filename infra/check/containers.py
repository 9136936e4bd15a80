"""The containers' commands and variables, read by the programs themselves.

Each program is started as its container would be, with AWS and Redis at an address where nobody answers. It
gets as far as its settings, and what it says of them is judged: exit 64, or a warning about a setting, is a
fault of the task definition.
"""
import json
import os
import pathlib
import platform
import subprocess
import threading

import check as base
import state

NOWHERE = "http://127.0.0.1:1"
# What each program logs after its settings, where AWS and Redis do not answer.
SETTLED = ("started", "broker_away", "outside_ecs")
LIMIT_SECONDS = 90
LOCK, SEEN = threading.Lock(), {}


def program(name, repository):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or repository / "target")
    built = [p for kind in ("debug", "release") for p in target.glob(f"{platform.machine()}-*/{kind}/{name}")]
    if not built:
        raise base.Fault(f"the program {name} is not built: cargo build -p {name}")
    return max(built, key=lambda p: p.stat().st_mtime)


def faults(values, repository, folder):
    by_type = {"aws_ecs_task_definition": [r for r in state.resources(values) if r["type"] == "aws_ecs_task_definition"]}
    for r, listed in state.definitions(by_type):
        for name, c in listed.items():
            key = json.dumps([c.get("entryPoint"), c.get("command"), c.get("environment"), c.get("healthCheck")], sort_keys=True)
            with LOCK:
                seen = SEEN.get(key)
            if seen is None:
                seen = [*settings(name, c, repository, folder), *health(c, repository)]
                with LOCK:
                    SEEN[key] = seen
            yield from (f"{r['address']} {name}: {f}" for f in seen)


def settings(name, container, repository, folder):
    place = pathlib.Path(base.tempfile.mkdtemp(dir=folder, prefix="container"))
    environment = state.variables(container)
    # What the container has and this machine has not: a writable /run/trimtab, the directory on EFS.
    environment = {k: str(place / pathlib.Path(v).name) if k.endswith("_STATUS_FILE") else v for k, v in environment.items()}
    environment |= {"PATH": os.environ["PATH"], "HOME": str(place), "AWS_ACCESS_KEY_ID": "check", "AWS_SECRET_ACCESS_KEY": "check",
                    "AWS_ENDPOINT_URL": NOWHERE, "TRIMTAB_LOG_FORMAT": "json"}
    environment |= {s["name"]: "redis://127.0.0.1:1/0" for s in container.get("secrets", [])}
    command = list(container["command"])
    if state.is_airflow(container):
        # A dry run reads settings and command, and asks nobody. Metrics on stdout and its answer exclude each other.
        environment["ENTRYPOINT_WAIT_TIMEOUT"] = "0s"
        command = [program("entrypoint", repository), "--dry-run", "--metrics", "none", *command]
    elif name in ("s3sync", "queue-metrics") and "entryPoint" not in container:
        command = [program(name, repository), *[str(place / "dags") if a.startswith("/opt/airflow/") else a for a in command]]
        (place / "dags").mkdir()
    else:
        yield "the first program is not /entrypoint"
        return
    code, said = bounded(command, environment)
    if code == 64:
        yield f"its settings are refused: {said.strip()[-400:]}"
    for line in said.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") in ("settings", "airflow_settings"):
            yield f"a setting is odd: {event.get('warning', line)}"


def bounded(command, environment):
    """The code and stderr of a program; 0 where it had to be stopped, once it had told what it thinks of its settings."""
    process = subprocess.Popen([str(a) for a in command], env=environment, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    overdue = threading.Timer(LIMIT_SECONDS, process.kill)
    overdue.start()
    said, stopped = [], False
    try:
        for line in process.stderr:
            said.append(line)
            if not stopped and any(f'"event":"{event}"' in line for event in SETTLED):
                stopped = True
                process.terminate()
        code = process.wait()
    finally:
        overdue.cancel()
    if code == -9:
        raise base.Fault(f"{command[0]} said nothing of its settings in {LIMIT_SECONDS} s:\n{''.join(said)[-400:]}")
    return 0 if stopped else code, "".join(said)


def health(container, repository):
    check = container.get("healthCheck")
    if not check:
        return
    if check["command"][:2] != ["CMD", "/healthcheck"]:
        yield f"the health check is not /healthcheck: {check['command']}"
        return
    done = subprocess.run([str(program("healthcheck", repository)), *check["command"][2:]], text=True,
                          # A port at which nobody listens, whoever else uses 8080 here.
                          env={"AIRFLOW__API__PORT": "1", "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": "1"},
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    # Nothing is healthy here; but the reason must be that, and not that it was asked wrongly.
    if done.returncode and not any(reason in done.stderr for reason in ("no such file", "refused")):
        yield f"the health check cannot be read: {done.stderr.strip()}"
