"""Programs from PyPI and from Debian, in places of their own and made once."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from measure import BenchError

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "testkit/requirements"
# The Python that every Airflow here knows; another than the system's may lie where other users can't
# execute it.
PYTHON = Path("/usr/bin/python3.11")


def home_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trimtab"


def airflow() -> Path:
    """Airflow 3.1 with Celery, Postgres and FAB, its bytecode compiled: without that each command of
    Airflow's takes twice as long, which would be no fair peer."""
    # Root's home is closed to the user that Airflow is to run as.
    cache = Path("/var/cache/trimtab") if os.getuid() == 0 else home_cache()
    requirements = REQUIREMENTS / "airflow-3.1.txt"
    found = existing("airflow-3.1", requirements, cache)
    if found:
        return found
    uv = pip_venv("uv", REQUIREMENTS / "uv.txt") / "bin/uv"

    def make(root: Path) -> None:
        python = root / "bin/python"
        version = PYTHON if PYTHON.exists() else "3.11"
        told(uv, "venv", "--quiet", "--python", version, root)
        told(uv, "pip", "install", "--quiet", "--no-deps", "--link-mode=copy", "--python", python,
             "-r", requirements)
        # It ends with 1 for a template that is no Python.
        subprocess.run([python, "-m", "compileall", "-q", "-j", "0", root / "lib"],
                       capture_output=True, timeout=600)

    return made("airflow-3.1", requirements, cache, make)


def moto() -> Path:
    return pip_venv("moto", REQUIREMENTS / "moto.txt")


def pip_venv(name: str, requirements: Path) -> Path:
    found = existing(name, requirements, home_cache())
    if found:
        return found

    def make(root: Path) -> None:
        told(sys.executable, "-m", "venv", root)
        told(root / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "-q",
             "--no-deps", "-r", requirements)

    return made(name, requirements, home_cache(), make)


def existing(name: str, requirements: Path, cache: Path) -> Path | None:
    """One with exactly these packages; those that the tests have made are as good."""
    for complete in sorted(cache.glob(f"{name}-*/complete")):
        root = complete.parent
        if complete.read_text() == requirements.read_text() and (root / "bin/python").exists():
            return root
    return None


def made(name: str, requirements: Path, cache: Path, make) -> Path:
    text = requirements.read_text()
    root = cache / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    print(f"installing {requirements.name} into {root}", file=sys.stderr, flush=True)
    shutil.rmtree(root, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    make(root)
    # Written last, so that an installation that was interrupted is made anew.
    (root / "complete").write_text(text)
    return root


def told(*command: object) -> None:
    words = [str(word) for word in command]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=1200)
    if answer.returncode != 0:
        last = (answer.stderr or answer.stdout).strip().splitlines()[-3:]
        raise BenchError(
            f"{' '.join(words[:4])}: {' | '.join(last)}; on Debian: apt install python3-venv"
        )


def inits(work: Path) -> dict[str, Path]:
    """The other inits: what is on the PATH, else out of Debian's packages; those that can be had."""
    found = {}
    for name in ("tini", "dumb-init"):
        program = shutil.which(name) or unpacked(name, work / "packages")
        if program:
            found[name] = Path(program)
    return found


def unpacked(name: str, work: Path) -> Path | None:
    work.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", name], cwd=work, capture_output=True, timeout=120)
        for package in work.glob(f"{name}_*.deb"):
            subprocess.run(["dpkg", "-x", package, work], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    places = (work / place / name for place in ("usr/bin", "bin"))
    return next((place for place in places if place.exists()), None)
