"""Checks on what a DAG wrote: a query that counts bad rows, and how many are allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from common.warehouse import Warehouse


class QualityError(Exception):
    """Rows were found that must not be there."""


def check(warehouse: Warehouse, rules: Iterable[Mapping[str, Any]], **values: Any) -> dict[str, int]:
    """Runs every rule before it complains, so that one run names all that is wrong."""
    counts = {rule["name"]: warehouse.run(rule["sql"], **values)[0][0] for rule in rules}
    allowed = {rule["name"]: rule.get("allowed", 0) for rule in rules}
    broken = {name: count for name, count in counts.items() if count > allowed[name]}
    if broken:
        raise QualityError(f"rows that break a rule: {broken}")
    return counts
