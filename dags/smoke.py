"""A short DAG for end-to-end tests: each task shows one thing that must work, in seconds.

`mark` runs last and writes what the others found to the file named by the parameter `marker`
(`smoke/RUN_ID.json` in the data directory if it is empty), so that a test has one place to look.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from common import RELEASE
from common.airflow_compat import Param, dag, task
from common.defaults import START
from common.files import read_config, read_sql
from common.paths import data_directory, write_whole

# Read when the file is parsed: a new version of the YAML needs a new parse, as a new DAG does.
NUMBERS = read_config("smoke")["numbers"]


@dag(
    dag_id="smoke",
    schedule=None,
    start_date=START,
    catchup=False,
    tags=["example", "test"],
    doc_md=__doc__,
    params={
        "seconds": Param(0.1, type="number", minimum=0, maximum=3600),
        "marker": Param("", type="string"),
    },
)
def smoke():
    @task
    def wait(params: dict | None = None) -> float:
        """Takes as long as the parameter says: something to interrupt."""
        seconds = float(params["seconds"])
        time.sleep(seconds)
        return seconds

    @task
    def square(number: int) -> int:
        """One mapped task for each number of the YAML list."""
        return number * number

    @task
    def count() -> int:
        """Runs SQL from a file, in memory."""
        import sqlite3

        connection = sqlite3.connect(":memory:")
        try:
            rows, total = connection.execute(read_sql("smoke/count"), {"limit": 100}).fetchone()
        finally:
            connection.close()
        if (rows, total) != (100, 5050):
            raise ValueError(f"counted {rows} rows with sum {total} instead of 100 and 5050")
        return rows

    @task
    def mark(
        waited: float,
        squares: list[int],
        rows: int,
        params: dict | None = None,
        run_id: str | None = None,
    ) -> str:
        """Writes the marker file, last."""
        # Imported here and not above: shows which upload the worker itself reads.
        from common import RELEASE as release_at_run

        name = re.sub(r"[^A-Za-z0-9_.-]", "_", run_id or "run")
        path = Path(params["marker"] or data_directory("smoke") / f"{name}.json")
        report = {
            "release": RELEASE,
            "release_at_run": release_at_run,
            "waited": waited,
            "squares": list(squares),
            "rows": rows,
            "run_id": run_id,
        }
        return str(write_whole(path, json.dumps(report, indent=2) + "\n"))

    waited = wait()
    squares = square.expand(number=NUMBERS)
    rows = count()
    waited >> [squares, rows]
    mark(waited, squares, rows)


smoke()
