"""Sorts customers into the segments of `config/segments.yaml`, a mapped task for each."""

from __future__ import annotations

import json

from common.airflow_compat import dag, task
from common.defaults import DEFAULT_ARGS, START, run_day
from common.files import read_config, read_sql
from common.paths import data_directory, write_whole
from common.sample_data import orders
from common.warehouse import open_warehouse


@dag(
    dag_id="customer_segments",
    schedule="0 5 * * 1",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["example", "customers"],
    doc_md=__doc__,
)
def customer_segments():
    @task
    def prepare(ds: str | None = None) -> list[dict]:
        """Makes sure there are orders, whether or not `orders_daily` ever ran."""
        with open_warehouse("orders") as warehouse:
            warehouse.run_file("orders/schema")
            warehouse.run_many(read_sql("orders/insert"), orders(run_day(ds)))
        return read_config("segments")["segments"]

    @task
    def select(segment: dict) -> dict:
        with open_warehouse("orders") as warehouse:
            rows = warehouse.run_file(
                "segments/customers", at_least=segment["at_least"], below=segment["below"]
            )
        return {"name": segment["name"], "customers": [row[0] for row in rows]}

    @task
    def publish(selected: list[dict]) -> str:
        segments = {entry["name"]: entry["customers"] for entry in selected}
        path = data_directory("segments") / "latest.json"
        return str(write_whole(path, json.dumps(segments, indent=2) + "\n"))

    publish(select.expand(segment=prepare()))


customer_segments()
