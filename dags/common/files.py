"""Reads the SQL and YAML files beside the DAGs."""

from __future__ import annotations

from typing import Any

import yaml

from common.paths import FOLDER


def read_sql(name: str) -> str:
    """The text of `sql/NAME.sql`."""
    return (FOLDER / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def read_config(name: str) -> Any:
    """What `config/NAME.yaml` holds."""
    with open(FOLDER / "config" / f"{name}.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)
