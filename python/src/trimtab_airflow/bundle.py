"""The bundle: one class, for what differs between Airflow 3.0 and 3.3 too."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow.dag_processing.bundles import base

from trimtab_airflow import generations
from trimtab_airflow.claim import claim
from trimtab_airflow.generations import GenerationError

if TYPE_CHECKING:
    from collections.abc import Callable

# From 3.3 on an object; a plain string is deprecated there.
_Version: Callable[..., Any] = getattr(base, "BundleVersion", str)

log = logging.getLogger(__name__)


class GenerationBundle(base.BaseDagBundle):
    """The generations that `s3sync --layout generations` keeps, as a DAG bundle with versions.

    A version is a generation's ID, the revision of its files. Without one the bundle is the generation that is
    current when it is initialized or refreshed; it stays that one until the next refresh, so that version and
    path never differ.

    :param root: the directory that s3sync writes to
    :param view_url_template: an http or https URL for Airflow's UI, with `{version}` in it
    """

    supports_versioning = True

    def __init__(self, *, root: str, view_url_template: str | None = None, **kwargs: Any) -> None:
        """Read nothing: Airflow makes bundles where the directory is not mounted, for their URLs."""
        super().__init__(**kwargs)
        self.root = Path(root)
        if not self.root.is_absolute():
            raise GenerationError(f"root of bundle {self.name} is {root!r}, and has to be an absolute path")
        # The base class has taken this over from 3.1 on, and would not take it in 3.0.
        self._view_url_template = view_url_template
        self._generation: str | None = self.version
        self._in_use: IO[str] | None = None

    def initialize(self) -> None:
        """Find the generation.

        :raises GenerationError: when it is not there
        """
        if self.version is None:
            self.refresh()
        elif not generations.is_kept(self.root, self.version, generations.LOOKS):
            generations.check_mounted(self.root)
            raise GenerationError(
                f"version {self.version} of bundle {self.name} is no longer kept in {self.root}/generations: "
                "clear the run with the latest version, or raise s3sync's --keep and --keep-for for the next one",
            )
        else:
            mark = base.get_bundle_tracking_file(self.name, self.version)
            try:
                self._in_use = claim(mark, self.versions_dir / self.version)
            except OSError as error:
                log.warning("bundle %s cannot note that version %s is in use: %s", self.name, self.version, error)
        super().initialize()

    @property
    def path(self) -> Path:
        """Where the generation is; where none is known and none can be read, a directory that is not there.

        It never fails: the UI asks for it, to show a file's name, where nothing is mounted, and the DAG processor
        of 3.0 ends when it fails for the callback of a run that another bundle of this name began.
        """
        try:
            return generations.directory_of(self.root, self._generation or generations.current(self.root, looks=1))
        except GenerationError:
            return self.root / "generations" / "unknown"

    def get_current_version(self) -> Any:
        """Give the version that :attr:`path` is of.

        :raises GenerationError: when none is known yet and none can be read
        """
        return _Version(self._generation or generations.current(self.root))

    def refresh(self) -> None:
        """Read which generation is current; after a failure it is the one that it was.

        :raises GenerationError: when that cannot be read, or a version was asked for
        """
        if self.version is not None:
            raise GenerationError(f"version {self.version} of bundle {self.name} never changes: nothing to refresh")
        self._generation = generations.current(self.root)

    def view_url(self, version: str | None = None) -> str | None:
        """Where a version can be looked at, in 3.0."""
        if self._view_url_template is None or version is None:
            return None
        try:
            return self._view_url_template.format(version=version, name=self.name)
        except (LookupError, ValueError, AttributeError) as error:
            # As from 3.1 on: no link, and the page that would show it stays.
            log.warning("bundle %s cannot fill in its view_url_template: %r", self.name, error)
            return None

    def view_url_template(self) -> str | None:
        """Where versions can be looked at, from 3.1 on."""
        return self._view_url_template
