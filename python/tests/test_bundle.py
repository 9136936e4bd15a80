"""The bundle as Airflow uses it: made by its manager, from its configuration."""

from __future__ import annotations

import errno
import fcntl
import importlib
import json
import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.bundles.base import BundleUsageTrackingManager, BundleVersionLock
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.exceptions import AirflowException

from trimtab_airflow import GenerationBundle, GenerationError, generations

if TYPE_CHECKING:
    from conftest import Destination

MISSING = "0" * 64


def bundle(version: str | None = None) -> GenerationBundle:
    made = DagBundlesManager().get_bundle("dags", version)
    assert isinstance(made, GenerationBundle)
    return made


def ready(version: str | None = None) -> GenerationBundle:
    made = bundle(version)
    made.initialize()
    assert made.is_initialized
    return made


def version_of(made: GenerationBundle) -> str:
    found = made.get_current_version()
    # From 3.3 on it is an object that holds it.
    return str(getattr(found, "version", found))


def text_of(made: GenerationBundle) -> str:
    return (made.path / "dag.py").read_text()


def test_without_a_version_it_is_what_is_current(destination: Destination) -> None:
    first = destination.publish("first")
    made = ready()
    assert (version_of(made), text_of(made)) == (first, "first")


def test_version_and_path_change_together_and_only_with_a_refresh(destination: Destination) -> None:
    first = destination.publish("first")
    made = ready()
    second = destination.publish("second")
    assert (version_of(made), text_of(made)) == (first, "first")
    made.refresh()
    assert (version_of(made), text_of(made)) == (second, "second")


def test_a_rollback_is_a_refresh_like_any_other(destination: Destination) -> None:
    first = destination.publish("first")
    made = ready()
    destination.publish("second")
    made.refresh()
    destination.point(first)
    made.refresh()
    assert (version_of(made), text_of(made)) == (first, "first")


def test_a_run_keeps_the_version_it_began_with(destination: Destination) -> None:
    first = destination.publish("first")
    destination.publish("second")
    made = ready(first)
    assert (version_of(made), text_of(made)) == (first, "first")
    with pytest.raises(GenerationError, match="never changes"):
        made.refresh()


def test_a_version_that_is_gone_says_what_to_do(destination: Destination) -> None:
    first = destination.publish("first")
    destination.publish("second")
    destination.remove(first)
    with pytest.raises(AirflowException) as caught:
        bundle(first).initialize()
    message = str(caught.value)
    assert first in message
    assert "no longer kept" in message
    assert "clear the run with the latest version" in message
    assert "--keep" in message
    assert "\n" not in message


def test_a_container_without_the_directory_does_not_say_that_a_version_is_gone(destination: Destination) -> None:
    first = destination.publish("first")
    destination.root.rename(destination.root.with_name("elsewhere"))
    destination.root.mkdir()
    try:
        with pytest.raises(GenerationError, match="generations is not there: is it mounted"):
            bundle(first).initialize()
    finally:
        shutil.rmtree(destination.root.with_name("elsewhere"))


def test_a_file_in_a_generation_s_place_is_none(destination: Destination) -> None:
    destination.publish("first")
    (destination.root / "generations" / MISSING).write_text("")
    with pytest.raises(GenerationError, match="no longer kept"):
        bundle(MISSING).initialize()


def test_a_version_of_another_bundle_is_no_path(destination: Destination) -> None:
    destination.publish("first")
    for version in (
        "../../../etc",
        "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432",
        f"{MISSING}/..",
        "/etc",
        MISSING.upper() + "A",
    ):
        with pytest.raises(GenerationError, match="another bundle's"):
            bundle(version).initialize()
        # The DAG processor of 3.0 asks for it for a callback, and ends when it fails.
        assert bundle(version).path == destination.root / "generations" / "unknown"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"..\n",
        b"../generations/x\n",
        b"/etc\n",
        MISSING.encode()[:63] + b"\n",
        MISSING.encode() + b"/..\n",
        MISSING.encode() + b"\n" + MISSING.encode() + b"\n",
        MISSING.encode() + b"\r\n",
        MISSING.encode() + b"\0\n",
        "\u0660".encode() * 64 + b"\n",
        b"A" * 64 + b"\n",
        b"0" * 100_000,
        b"\xff\xfe\n",
    ],
)
def test_hostile_content_of_current_is_refused(destination: Destination, content: bytes) -> None:
    destination.publish("first")
    destination.point(content)
    with pytest.raises(GenerationError, match="is no generation's ID") as caught:
        bundle().initialize()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_refresh_that_fails_keeps_what_it_has(destination: Destination) -> None:
    first = destination.publish("first")
    made = ready()
    destination.point(b"rubbish")
    with pytest.raises(GenerationError):
        made.refresh()
    assert (version_of(made), text_of(made)) == (first, "first")
    second = destination.publish("second")
    made.refresh()
    assert version_of(made) == second


def test_what_is_not_there_is_named_and_looked_for_again(destination: Destination) -> None:
    made = bundle()
    with pytest.raises(AirflowException, match="current is not there"):
        made.initialize()
    destination.point(MISSING)
    with pytest.raises(AirflowException, match=f"names {MISSING}, which is not in"):
        made.initialize()
    assert not made.is_initialized
    destination.publish("first")
    made.initialize()
    assert text_of(made) == "first"
    with pytest.raises(GenerationError, match="is it mounted"):
        GenerationBundle(name="dags", root="/nowhere/at/all").initialize()
    with pytest.raises(GenerationError, match="absolute"):
        GenerationBundle(name="dags", root="dags")


def test_where_nothing_is_mounted_the_ui_still_gets_a_path_and_a_url() -> None:
    made = GenerationBundle(name="dags", root="/nowhere/at/all", view_url_template="https://example.com/{version}")
    assert str(made.path).startswith("/nowhere/at/all/generations/")
    assert made.view_url(MISSING) == f"https://example.com/{MISSING}"
    assert made.view_url() is None
    assert GenerationBundle(name="dags", root="/nowhere/at/all").view_url(MISSING) is None


@pytest.mark.parametrize("template", ["{nothing}", "{0}", "{version", "{version.nothing}", "{version:d}"])
def test_a_template_that_cannot_be_filled_in_costs_the_link_only(
    template: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = GenerationBundle(name="dags", root="/nowhere", view_url_template=f"https://example.com/{template}")
    assert made.view_url(MISSING) is None
    assert "cannot fill in its view_url_template" in caplog.text


def test_the_ui_shows_the_url_of_a_version() -> None:
    from airflow.models.dagbundle import DagBundleModel

    manager: Any = DagBundlesManager()
    wanted = f"https://example.com/dags/{MISSING}"
    if not hasattr(DagBundleModel, "render_url"):
        assert manager.view_url("dags", MISSING) == wanted
        return
    # As `sync_bundles_to_db` stores it, and the API server renders it.
    from airflow.dag_processing.bundles.manager import _sign_bundle_url

    made = manager.get_bundle("dags")
    stored: Any = DagBundleModel(name="dags")
    stored.signed_url_template = _sign_bundle_url(made.view_url_template(), "dags")
    stored.template_params = manager._extract_template_params(made)
    assert stored.render_url(MISSING) == wanted


def test_the_page_s_settings_are_as_airflow_takes_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "releases.md").read_text()
    name = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    for_shell = re.search(f"^{name}='(.*)'$", page, re.MULTILINE)
    for_ecs = re.search(f'^{{"name": "{name}".*$', page, re.MULTILINE)
    assert for_shell is not None
    assert for_ecs is not None
    assert json.loads(for_ecs[0])["value"] == for_shell[1]
    (config,) = json.loads(for_shell[1])
    assert set(config) == {"name", "classpath", "kwargs"}
    module, _, name = config["classpath"].rpartition(".")
    class_ = getattr(importlib.import_module(module), name)
    made = class_(name=config["name"], version=None, **config["kwargs"])
    assert isinstance(made, GenerationBundle)
    assert made.refresh_interval == config["kwargs"]["refresh_interval"]
    assert made.view_url("x" * 64) == f"https://github.com/ORGANISATION/REPOSITORY/tree/dags-{'x' * 64}"


def test_a_stale_handle_is_tried_again(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    first = destination.publish("first")
    stale = {"open": 2, "stat": 2}

    def failing(name: str) -> None:
        original = getattr(Path, name)

        def replaced(self: Path, *args: Any, **kwargs: Any) -> Any:
            if self.name in ("current", first) and stale[name]:
                stale[name] -= 1
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, replaced)

    failing("open")
    failing("stat")
    assert version_of(ready()) == first
    assert stale == {"open": 0, "stat": 0}
    stale["stat"] = 2
    assert version_of(ready(first)) == first
    assert stale["stat"] == 0


def test_a_generation_that_is_swapped_is_there_a_moment_later(
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = destination.publish("first")
    kept = destination.root / "generations" / first
    aside = kept.with_name(f".{first}")
    kept.rename(aside)
    pauses = iter([lambda: None, lambda: aside.rename(kept)])
    monkeypatch.setattr(time, "sleep", lambda _: next(pauses)())
    assert text_of(ready(first)) == "first"
    assert next(pauses, None) is None


def test_a_directory_that_cannot_be_read_is_not_taken_for_a_missing_one(
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = destination.publish("first")

    def refused(self: Path, **_: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(GenerationError, match="cannot be read: Permission denied"):
        bundle(first).initialize()


def test_readers_never_fail_while_a_publisher_publishes_all_the_time(destination: Destination) -> None:
    ended = threading.Event()
    published: list[str] = [destination.publish("0")]

    def publisher() -> None:
        # As few as s3sync ever keeps: the current one and its predecessor, but not before a reader's own time.
        number = 0
        while not ended.is_set():
            number += 1
            published.append(destination.publish(str(number)))
            while len(published) > 50:
                destination.remove(published.pop(0))

    thread = threading.Thread(target=publisher)
    thread.start()
    seen = set()
    try:
        for _ in range(500):
            made = ready()
            assert generations.is_kept(made.root, version_of(made))
            seen.add(version_of(made))
    finally:
        ended.set()
        thread.join()
    assert len(seen) > 5


def test_the_clean_up_of_stale_versions_neither_fails_nor_removes_anything_shared(destination: Destination) -> None:
    first, second = destination.publish("first"), destination.publish("second")
    for version in (first, second):
        ready(version)
        with BundleVersionLock(bundle_name="dags", bundle_version=version):
            pass
    clean_up: Any = BundleUsageTrackingManager()
    from conftest import STORAGE

    assert {path.name for path in (STORAGE / "dags" / "versions").iterdir()} == {first, second}
    clean_up.remove_stale_bundle_versions()
    assert list((STORAGE / "dags" / "versions").iterdir()) == []
    assert list((STORAGE / "_tracking" / "dags").iterdir()) == []
    assert text_of(ready(first)) == "first"
    assert text_of(ready(second)) == "second"


def test_the_clean_up_leaves_no_trace_of_a_task_that_just_begins(destination: Destination) -> None:
    first = destination.publish("first")
    clean_up: Any = BundleUsageTrackingManager()
    # The version was in use long ago.
    with BundleVersionLock(bundle_name="dags", bundle_version=first):
        pass
    # Airflow parses the task's file between these two, and may clean up meanwhile.
    made = ready(first)
    clean_up.remove_stale_bundle_versions()
    with BundleVersionLock(bundle_name="dags", bundle_version=first):
        pass
    del made
    # With a mark but no directory it would fail, now and for ever.
    clean_up.remove_stale_bundle_versions()


def test_the_first_task_of_a_version_leaves_a_whole_mark(destination: Destination) -> None:
    first = destination.publish("first")
    clean_up: Any = BundleUsageTrackingManager()
    from conftest import STORAGE

    made = ready(first)
    found = clean_up._find_all_tracking_files("dags")
    assert [info.version for info in found] == [first]
    assert [path.name for path in (STORAGE / "_tracking").iterdir()] == ["dags"]
    clean_up.remove_stale_bundle_versions()
    assert (made.versions_dir / first).is_dir(), "it is in use"
    del made
    clean_up.remove_stale_bundle_versions()
    assert list((STORAGE / "dags" / "versions").iterdir()) == []


def test_a_mark_that_goes_while_it_is_locked_is_made_again(
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = destination.publish("first")
    from conftest import STORAGE

    mark = STORAGE / "_tracking" / "dags" / first
    original, times = fcntl.flock, [1]

    def after_the_clean_up(file: Any, operation: int) -> None:
        if times:
            times.pop()
            mark.unlink()
        original(file, operation)

    monkeypatch.setattr(fcntl, "flock", after_the_clean_up)
    made = ready(first)
    assert not times
    with mark.open() as other, pytest.raises(BlockingIOError):
        original(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    del made


def test_tasks_and_a_clean_up_that_runs_all_the_time_do_not_meet(destination: Destination) -> None:
    first = destination.publish("first")
    clean_up: Any = BundleUsageTrackingManager()
    ended = threading.Event()
    failures: list[BaseException] = []

    def task() -> None:
        try:
            for _ in range(100):
                made = ready(first)
                assert (made.versions_dir / first).is_dir()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    def cleaner() -> None:
        try:
            while not ended.is_set():
                clean_up.remove_stale_bundle_versions()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    tasks = [threading.Thread(target=task) for _ in range(3)]
    cleaning = threading.Thread(target=cleaner)
    for thread in [cleaning, *tasks]:
        thread.start()
    for thread in tasks:
        thread.join()
    ended.set()
    cleaning.join()
    assert failures == []


def test_a_storage_that_cannot_be_written_stops_no_task(
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = destination.publish("first")

    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    assert text_of(ready(first)) == "first"
    assert "cannot note that version" in caplog.text
