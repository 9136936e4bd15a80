"""Where the files of these DAGs lie."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """Where runs leave their files; it may not exist yet."""
    configured = os.environ.get("DAG_DATA_DIR")
    return Path(configured) if configured else Path(tempfile.gettempdir()) / "airflow-dag-data"


def data_directory(*parts: str) -> Path:
    """A directory for what runs leave behind, made if it is missing."""
    directory = data_root().joinpath(*parts)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_whole(path: Path, text: str) -> Path:
    """Writes a file so that nobody sees half of it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
    return path
