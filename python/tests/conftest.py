"""An Airflow of the tests' own, and a directory as s3sync keeps it."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Before anything of Airflow is imported: it reads where its storage is only then.
HOME = Path(tempfile.mkdtemp(prefix="trimtab-airflow"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
ROOT = HOME / "dags"
STORAGE = HOME / "bundles"
TEMPLATE = "https://example.com/{name}/{version}"
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__FERNET_KEY": "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(STORAGE),
    "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_AGE_THRESHOLD": "0",
    "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_MIN_VERSIONS": "0",
    # As docs/releases.md has it.
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
        [
            {
                "name": "dags",
                "classpath": "trimtab_airflow.GenerationBundle",
                "kwargs": {"root": str(ROOT), "refresh_interval": 5, "view_url_template": TEMPLATE},
            },
        ],
    ),
}


class Destination:
    """What s3sync keeps, made by hand by the page's contract."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self, text: str) -> str:
        """Make a generation whose only file holds a text; its ID."""
        generation = hashlib.sha256(text.encode()).hexdigest()
        making = self.root / "generations" / f".{generation}"
        made = self.root / "generations" / generation
        if not made.exists():
            making.mkdir(parents=True, exist_ok=True)
            (making / "dag.py").write_text(text)
            making.rename(made)
        return generation

    def point(self, content: str | bytes) -> None:
        """Replace `current`."""
        data = content if isinstance(content, bytes) else f"{content}\n".encode()
        new = self.root / ".current"
        new.write_bytes(data)
        new.rename(self.root / "current")

    def publish(self, text: str) -> str:
        """Make a generation the current one; its ID."""
        generation = self.make(text)
        self.point(generation)
        return generation

    def remove(self, generation: str) -> None:
        """Remove a generation as s3sync does: it is none any more before its first file goes."""
        removing = self.root / "generations" / f".{generation}"
        (self.root / "generations" / generation).rename(removing)
        shutil.rmtree(removing)


@pytest.fixture
def destination(monkeypatch: pytest.MonkeyPatch) -> Destination:
    """A directory without anything."""
    for path in (ROOT, STORAGE):
        shutil.rmtree(path, ignore_errors=True)
    ROOT.mkdir()
    from trimtab_airflow import generations

    # What it waits for between two looks is a matter of other hosts.
    monkeypatch.setattr(generations, "_PAUSE_SECONDS", 0.001)
    return Destination(ROOT)
