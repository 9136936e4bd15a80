"""Servers of their own on loopback: Postgres, moto, and an SSM that answers at once. Each runs for as
long as its `with` block, and dies with the process that started it."""

import ctypes
import http.server
import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import venvs
from measure import BenchError

PR_SET_PDEATHSIG = 1
SERVER = Path(__file__).resolve()


def dies_with_us(number: int = signal.SIGTERM):
    """For preexec_fn: the kernel sends this when the parent is gone, however it went."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """What all servers share: a process, and the way it ends."""

    process: subprocess.Popen
    stop_signal = signal.SIGTERM

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def __enter__(self):
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def postgres_program(name: str) -> Path:
    """From PATH, or from where Debian has it."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    if not found:
        raise BenchError(f"there is no {name}: ci/deps.sh test installs PostgreSQL")
    return found[-1]


class Postgres(Server):
    """A server with scram, a role `airflow` and a database `airflow`, on a port of its own."""

    stop_signal = signal.SIGINT
    PASSWORD = "p%s~$HOME@/:'\"w"

    def __init__(self, work: Path) -> None:
        self.port = free_port()
        self.log = work / "postgres.log"
        data, password = work / "postgres", work / "postgres.password"
        self.owner = self._owner()
        password.write_text(self.PASSWORD)
        data.mkdir()
        for path in (data, password):
            if self.owner:
                os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        if self.owner:
            # It must be able to come by; mkdtemp lets only us in.
            work.chmod(0o755)
        self._run(
            "initdb", "-D", data, "-U", "airflow", f"--pwfile={password}", "-A", "scram-sha-256",
            "--no-sync", "-E", "UTF8", "--locale=C",
        )
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "full_page_writes": "off", "max_connections": "400",
            "log_connections": "on", "log_line_prefix": "%m [%p] %a ",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [postgres_program("postgres"), "-D", data, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=dies_with_us(signal.SIGQUIT), **self._as_owner(),
            )
        self.create("airflow")

    def _owner(self) -> pwd.struct_passwd | None:
        """Postgres refuses to run as root."""
        if os.getuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise BenchError("Postgres does not run as root, and there is no user nobody")

    def _as_owner(self) -> dict:
        owner = self.owner
        return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}

    def _run(self, name: str, *words) -> None:
        answer = subprocess.run(
            [postgres_program(name), *words], capture_output=True, text=True, timeout=120,
            cwd="/", **self._as_owner(),
        )
        if answer.returncode != 0:
            raise BenchError(f"{name}: {answer.stderr.strip()}")

    def environment(self) -> dict[str, str]:
        return {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "airflow",
            "PGPASSWORD": self.PASSWORD, "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        }

    def create(self, database: str) -> None:
        """An empty database, once the server answers."""
        deadline = time.monotonic() + 30
        while True:
            answer = self._psql("postgres", f'CREATE DATABASE "{database}"')
            if answer.returncode == 0:
                return
            if "already exists" in answer.stderr:
                self.ask("postgres", f'DROP DATABASE "{database}" WITH (FORCE)')
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise BenchError(f"Postgres: {answer.stderr.strip()}")
            time.sleep(0.1)

    def copy(self, source: str, database: str) -> None:
        """A database like another one, to whom nobody is connected."""
        self.ask("postgres", f'CREATE DATABASE "{database}" TEMPLATE "{source}"')

    def ask(self, database: str, statement: str) -> str:
        answer = self._psql(database, statement)
        if answer.returncode != 0:
            raise BenchError(f"{statement}: {answer.stderr.strip()}")
        return answer.stdout.strip()

    def _psql(self, database: str, statement: str) -> subprocess.CompletedProcess:
        command = [postgres_program("psql"), "-XqAt", "-d", database, "-c", statement]
        return subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=60
        )


class Moto(Server):
    """Somebody else's AWS; slow, but no reading of our own."""

    def __init__(self) -> None:
        script = venvs.ROOT / "testkit/src/moto/server.py"
        self.process = subprocess.Popen(
            [venvs.moto() / "bin/python", script], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=dies_with_us(),
        )
        self.endpoint = f"http://127.0.0.1:{said(self.process, 'port=', 120)}"

    def put(self, parameters: dict[str, str]) -> None:
        """Secure strings, by boto3 as anybody would put them."""
        script = (
            "import boto3, json, sys\n"
            "client = boto3.client('ssm')\n"
            "for name, value in json.load(sys.stdin).items():\n"
            "    client.put_parameter(Name=name, Value=value, Type='SecureString')\n"
        )
        answer = subprocess.run(
            [venvs.moto() / "bin/python", "-c", script], input=json.dumps(parameters), text=True,
            capture_output=True, timeout=120, env=aws(self.endpoint),
        )
        if answer.returncode != 0:
            raise BenchError(f"moto: {answer.stderr.strip()}")


class Ssm(Server):
    """Answers GetParameters and GetParametersByPath from memory, in well under a millisecond, so that
    what is measured is the one who asks."""

    def __init__(self, parameters: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-B", SERVER, json.dumps(parameters)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=dies_with_us(),
        )
        self.endpoint = f"http://127.0.0.1:{said(self.process, 'port=', 30)}"


def aws(endpoint: str) -> dict[str, str]:
    """What an AWS client needs, and nothing of the user's."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_ENDPOINT_URL": endpoint,
    }


def said(process: subprocess.Popen, prefix: str, limit: float) -> str:
    """What follows the prefix in the first line of a server's stdout."""
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], limit)
    line = process.stdout.readline().decode() if ready else ""
    if not line.startswith(prefix):
        process.kill()
        process.wait()
        raise BenchError(f"{process.args[0]} did not say where it listens")
    return line.strip().removeprefix(prefix)


class Answers(http.server.BaseHTTPRequestHandler):
    """The JSON protocol, with pages of 10 as the real one has them."""

    protocol_version = "HTTP/1.1"
    parameters: dict[str, str] = {}

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        operation = self.headers["x-amz-target"].rpartition(".")[2]
        if operation == "GetParameters":
            names = asked["Names"]
            answer = {
                "Parameters": [self.shown(name) for name in names if name in self.parameters],
                "InvalidParameters": [name for name in names if name not in self.parameters],
            }
        elif operation == "GetParametersByPath":
            prefix = asked["Path"].rstrip("/") + "/"
            names = sorted(name for name in self.parameters if name.startswith(prefix))
            first = int(asked.get("NextToken", 0))
            answer = {"Parameters": [self.shown(name) for name in names[first : first + 10]]}
            if first + 10 < len(names):
                answer["NextToken"] = str(first + 10)
        else:
            answer = {"__type": "UnknownOperationException"}
        body = json.dumps(answer).encode()
        self.send_response(200 if "__type" not in answer else 400)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def shown(self, name: str) -> dict[str, object]:
        return {
            "Name": name, "Type": "SecureString", "Value": self.parameters[name], "Version": 1,
            "ARN": f"arn:aws:ssm:us-east-1:123456789012:parameter{name}", "DataType": "text",
        }

    def log_message(self, *_: object) -> None:
        pass


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Fifty ask at once; a connection that is not taken costs a second.
    request_queue_size = 256


def serve() -> None:
    Answers.parameters = json.loads(sys.argv[1])
    listener = Listener(("127.0.0.1", 0), Answers)
    print(f"port={listener.server_port}", flush=True)
    listener.serve_forever()


if __name__ == "__main__":
    serve()
