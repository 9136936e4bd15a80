"""Arguments that every DAG starts from."""

from __future__ import annotations

from datetime import date, timedelta

import pendulum

from common.alerts import log_failure

START = pendulum.datetime(2025, 1, 1, tz="UTC")

DEFAULT_ARGS = {
    "owner": "data-platform",
    "retries": 1,
    "retry_delay": timedelta(seconds=10),
    "execution_timeout": timedelta(minutes=15),
    "on_failure_callback": log_failure,
}


def run_day(ds: str | None) -> str:
    """The day a run is for; a run started by hand in Airflow 3 may have none, and means today."""
    return ds or date.today().isoformat()
