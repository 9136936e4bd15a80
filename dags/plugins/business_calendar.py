"""Working days, as macros for templates: `{{ macros.business_calendar.previous_working_day(ds) }}`.

A plugin is loaded before any DAG and may not import from the DAG folder, so it stands alone. The
plain functions can be imported too, where this directory is on PYTHONPATH.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import yaml
from airflow.plugins_manager import AirflowPlugin

HOLIDAYS = Path(__file__).with_name("holidays.yaml")


def holidays() -> set[str]:
    """Days as MM-DD that are free in every year."""
    with open(HOLIDAYS, encoding="utf-8") as file:
        return set(yaml.safe_load(file)["fixed"])


def is_working_day(day: str) -> bool:
    """Whether a day, given as YYYY-MM-DD, is neither a weekend nor a holiday."""
    return date.fromisoformat(day).weekday() < 5 and day[5:] not in holidays()


def previous_working_day(day: str | None = None) -> str:
    """The last working day before a day, which is today if none is given."""
    current = date.fromisoformat(day) if day else date.today()
    while True:
        current -= timedelta(days=1)
        if is_working_day(current.isoformat()):
            return current.isoformat()


class BusinessCalendarPlugin(AirflowPlugin):
    """Makes the functions above known to Airflow."""

    name = "business_calendar"
    macros = [is_working_day, previous_working_day]
