"""Converts revenue to the base currency whenever new exchange rates are there."""

from __future__ import annotations

import json

from common.airflow_compat import dag, task
from common.assets import EXCHANGE_RATES
from common.defaults import DEFAULT_ARGS, START, run_day
from common.files import read_config, read_sql
from common.paths import data_directory, write_whole
from common.sample_data import orders, rates
from common.warehouse import open_warehouse


@dag(
    dag_id="revenue_report",
    schedule=[EXCHANGE_RATES],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["example", "finance"],
    doc_md=__doc__,
)
def revenue_report():
    @task
    def prepare(ds: str | None = None) -> str:
        """Fills empty tables, so that the DAG also runs by itself."""
        day = run_day(ds)
        with open_warehouse("orders") as warehouse:
            warehouse.run_file("orders/schema")
            warehouse.run_file("rates/schema")
            if not warehouse.run("select 1 from orders limit 1"):
                warehouse.run_many(read_sql("orders/insert"), orders(day))
            if not warehouse.run("select 1 from rates limit 1"):
                currencies = read_config("currencies")["currencies"]
                warehouse.run_many(read_sql("rates/upsert"), rates(day, currencies))
        return day

    @task
    def write(day: str) -> str:
        with open_warehouse("orders") as warehouse:
            rows = warehouse.run_file("rates/revenue")
        report = {
            "day": day,
            "currency": read_config("currencies")["base"],
            "revenue": {country: int(revenue) for country, revenue in rows},
        }
        path = data_directory("reports") / f"revenue-{day}.json"
        return str(write_whole(path, json.dumps(report, indent=2) + "\n"))

    write(prepare())


revenue_report()
