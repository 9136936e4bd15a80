"""The database of these DAGs: SQLite in the data directory, or Postgres where a connection is named."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from common.files import read_sql
from common.paths import data_directory

# A colon and a name, but not Postgres's cast `::type`.
NAMED = re.compile(r"(?<!:):([a-z_]+)")


class Warehouse:
    """Runs statements in one transaction; parameters are written `:name` for both databases."""

    def __init__(self, connection: Any, postgres: bool) -> None:
        self._connection = connection
        self._postgres = postgres

    def run(self, sql: str, **values: Any) -> list[tuple]:
        """Runs one statement and returns its rows, if it has any."""
        cursor = self._connection.cursor()
        cursor.execute(self._written(sql), values)
        rows = cursor.fetchall() if cursor.description else []
        cursor.close()
        return rows

    def run_many(self, sql: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Runs one statement for each row."""
        cursor = self._connection.cursor()
        cursor.executemany(self._written(sql), list(rows))
        cursor.close()

    def run_file(self, name: str, **values: Any) -> list[tuple]:
        """Runs each statement of `sql/NAME.sql` and returns the rows of the last."""
        rows: list[tuple] = []
        for statement in read_sql(name).split(";"):
            if statement.strip():
                rows = self.run(statement, **values)
        return rows

    def _written(self, sql: str) -> str:
        return NAMED.sub(r"%(\1)s", sql) if self._postgres else sql


@contextmanager
def open_warehouse(name: str) -> Iterator[Warehouse]:
    """One transaction: committed at the end of the block, rolled back if it raises."""
    conn_id = os.environ.get("WAREHOUSE_CONN_ID")
    if conn_id:
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        connection = PostgresHook(postgres_conn_id=conn_id).get_conn()
    else:
        # Mapped tasks write at the same time: wait for each other instead of failing.
        connection = sqlite3.connect(data_directory() / f"{name}.sqlite", timeout=30)
    try:
        yield Warehouse(connection, postgres=bool(conn_id))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.close()
