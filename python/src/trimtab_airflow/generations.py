"""The directory that s3sync keeps: `current`, and `generations/ID`, as docs/releases.md has them."""

from __future__ import annotations

import errno
import re
import stat
import time
from typing import TYPE_CHECKING

from airflow.exceptions import AirflowException

if TYPE_CHECKING:
    from pathlib import Path

# A revision: what `s3sync digest` prints. Nothing else becomes a part of a path.
_ID = re.compile(r"[0-9a-f]{64}")
# Enough for the ID and a line's end; a file that is longer is not that file.
_LONGEST = 1024
# How often a state is looked at that lasts milliseconds: another host replaces `current`, or took away what
# it named when this process slept between two steps.
LOOKS = 5
_PAUSE_SECONDS = 0.1


class GenerationError(AirflowException):
    """The directory holds no generation that can be used.

    Airflow's, because the DAG processors of 3.0 and 3.1 end with any other one.
    """


def directory_of(root: Path, generation: str) -> Path:
    """Where a generation is, whether it is there or not.

    :raises GenerationError: for a text that is no ID
    """
    if not _ID.fullmatch(generation):
        raise GenerationError(
            f"version {generation[:80]!r} is no generation's ID: it is another bundle's; "
            "clear the run with the latest version",
        )
    return root / "generations" / generation


def is_kept(root: Path, generation: str, looks: int = 1) -> bool:
    """Whether a generation is there.

    :param looks: how often to look before it is gone; s3sync swaps a damaged one, which for a moment is not there
    :raises GenerationError: when that cannot be told
    """
    path = directory_of(root, generation)
    for look in range(LOOKS):
        if look:
            time.sleep(_PAUSE_SECONDS)
        try:
            return stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            if look + 1 >= looks:
                break
        except OSError as error:
            if error.errno != errno.ESTALE or look + 1 == LOOKS:
                raise GenerationError(f"{path} cannot be read: {error.strerror}") from error
    return False


def check_mounted(root: Path) -> None:
    """Tell a container without the directory from one where a generation is gone.

    :raises GenerationError: when no generation can be there at all
    """
    if not _is_directory(root / "generations"):
        raise GenerationError(f"{root}/generations is not there: is it mounted, and is {root} the bundle's root?")


def current(root: Path, looks: int = LOOKS) -> str:
    """Read the ID of the current generation, which is there.

    :param looks: how often to look before a failure is one; 0.1 s between them
    :raises GenerationError: when there is none, or the file names none
    """
    for look in range(looks):
        if look:
            time.sleep(_PAUSE_SECONDS)
        try:
            generation = _read(root)
            if is_kept(root, generation):
                return generation
        except GenerationError as error:
            failure = error
        else:
            failure = GenerationError(
                f"{root}/current names {generation}, which is not in {root}/generations: "
                "s3sync puts it right with its next pass, if it runs; Airflow looks again",
            )
    raise failure


def _is_directory(path: Path) -> bool:
    """Whether a directory is there; one that cannot be looked at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _read(root: Path) -> str:
    path = root / "current"
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST)
    except FileNotFoundError as error:
        if not _is_directory(root):
            raise GenerationError(f"{root} is not there: is it mounted, and is it the bundle's root?") from error
        raise GenerationError(
            f"{path} is not there: s3sync made no generation yet, or has not `--layout generations`; "
            "Airflow looks again",
        ) from error
    except OSError as error:
        raise GenerationError(f"{path} cannot be read: {error.strerror}") from error
    generation = text.decode("ascii", "replace").removesuffix("\n")
    if not _ID.fullmatch(generation):
        raise GenerationError(
            f"{path} holds {generation[:80]!r}, which is no generation's ID: something other than s3sync wrote it",
        )
    return generation
