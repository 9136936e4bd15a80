"""What Airflow's clean-up of stale versions wants to find: a mark of its own, and a directory to remove."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from contextlib import suppress
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# One is enough for a clean-up that runs every half an hour.
_TRIES = 10


def claim(mark: Path, directory: Path) -> IO[str]:
    """Mark a version as in use for as long as the answer is open, and make the directory.

    The clean-up removes the directory and then the mark of each version that nobody holds a lock on, and fails,
    now and ever after, over a mark whose directory is missing; with the local executor the scheduler ends with
    it. Airflow itself takes this lock only when a task's file has been parsed, and leaves that gap.

    :raises OSError: when the storage cannot be written
    """
    mark.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        _make(mark)
        try:
            file = mark.open()
        except FileNotFoundError:
            # The clean-up was faster.
            continue
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink:
            break
        file.close()
    else:
        raise OSError(errno.EAGAIN, "it goes as fast as it is made", str(mark))
    directory.mkdir(parents=True, exist_ok=True)
    return file


def _make(mark: Path) -> None:
    """Make a mark that is not there, whole: the clean-up fails over an empty one."""
    if mark.exists():
        return
    # Not beside the mark, where each file is a version.
    new = mark.parent.with_name(f".{mark.name}.{os.getpid()}.{threading.get_ident()}")
    new.write_text(datetime.now(timezone.utc).isoformat())
    try:
        with suppress(FileExistsError):
            os.link(new, mark)
    finally:
        new.unlink()
