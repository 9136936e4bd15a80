"""The tools that are measured: how each is got, asked its version, and told to sync."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from measure import BenchError
from server import BUCKET

CONNECTIONS = 16
REQUIREMENTS = Path(__file__).parents[1] / "testkit/requirements/clients.txt"


@dataclass(frozen=True)
class Tool:
    """`command` holds {source}, {bucket}, {prefix} and {to}, which `sync` fills in."""

    name: str
    program: Path
    command: tuple[str, ...]
    about: tuple[str, ...]

    def sync(self, prefix: str, to: Path) -> list[str]:
        words = (
            word.format(source=f"s3://{BUCKET}/{prefix}", path=f"{BUCKET}/{prefix}", to=to)
            for word in self.command
        )
        return [str(self.program), *words]

    def shown(self) -> str:
        words = [word.format(source="s3://…", path="…", to="DEST") for word in self.command]
        return " ".join([self.program.name, *words])

    def version(self) -> str:
        answer = subprocess.run(
            [self.program, *self.about], capture_output=True, text=True, timeout=60
        )
        return answer.stdout.strip().splitlines()[0] if answer.stdout.strip() else "unknown"


def s3sync(program: Path) -> Tool:
    command = ("once", "{source}", "{to}", "--concurrency", str(CONNECTIONS), "--output", "json")
    return Tool("s3sync", program, command, ("--version",))


def peers() -> list[Tool]:
    """Each with what serves it best here: as many connections as s3sync, and no request it can do
    without. rclone without `--use-server-modtime` asks a HEAD for each object's time."""
    programs = environment() / "bin"
    many = str(CONNECTIONS)
    rclone = ("sync", "bench:{path}", "{to}", "-q", "--transfers", many, "--checkers", many)
    rclone += ("--fast-list",)
    aws = ("s3", "sync", "{source}", "{to}", "--delete", "--only-show-errors")
    s5cmd = ("--log", "error", "--numworkers", many, "sync", "--delete", "{source}/*", "{to}/")
    return [
        Tool("aws s3 sync", programs / "aws", aws, ("--version",)),
        Tool("s5cmd", programs / "s5cmd", s5cmd, ("version",)),
        Tool("rclone", programs / "rclone", rclone + ("--use-server-modtime",), ("version",)),
        Tool("rclone --checksum", programs / "rclone", rclone + ("--checksum",), ("version",)),
    ]


def variables(endpoint: str, home: Path) -> dict[str, str]:
    """A clean environment for every tool: nothing of the user's, and no other endpoint."""
    configuration = home / "aws-config"
    if not configuration.exists():
        home.mkdir(parents=True, exist_ok=True)
        configuration.write_text(
            "[default]\nregion = us-east-1\ns3 =\n"
            f"  max_concurrent_requests = {CONNECTIONS}\n  addressing_style = path\n"
        )
    rclone = {
        "TYPE": "s3",
        "PROVIDER": "AWS",
        "ENV_AUTH": "true",
        "REGION": "us-east-1",
        "ENDPOINT": endpoint,
        "FORCE_PATH_STYLE": "true",
    }
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(configuration),
        "AWS_ENDPOINT_URL": endpoint,
        "S3_ENDPOINT_URL": endpoint,
        "S3SYNC_STATUS_FILE": str(home / "s3sync.json"),
        "RCLONE_CONFIG": "/dev/null",
        **{f"RCLONE_CONFIG_BENCH_{name}": value for name, value in rclone.items()},
    }


def environment() -> Path:
    """A virtual environment with the pinned clients, made once."""
    pins = REQUIREMENTS.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"
    root = cache / f"bench-{hashlib.sha256(pins).hexdigest()[:16]}"
    # Written last, so that an installation that was interrupted is made anew.
    complete = root / "complete"
    if complete.exists():
        return root
    print(f"installing aws, s5cmd and rclone into {root}", file=sys.stderr)
    shutil.rmtree(root, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.which("uv"):
        made = [["uv", "venv", "--quiet", root]]
        install = ["uv", "pip", "install", "--quiet", "--python", root / "bin/python"]
    else:
        made = [[sys.executable, "-m", "venv", root]]
        install = [root / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    for command in [*made, [*install, "--no-deps", "-r", REQUIREMENTS]]:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if answer.returncode != 0:
            told = (answer.stderr or answer.stdout).strip().splitlines()[-3:]
            raise BenchError(
                f"no environment for the other clients ({' | '.join(told)}); on Debian: "
                "apt install python3-venv"
            )
    complete.touch()
    return root
