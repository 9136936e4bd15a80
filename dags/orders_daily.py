"""Loads the orders of a day, adds them up by country, checks the result, and writes a report."""

from __future__ import annotations

import csv
import io

from common.airflow_compat import dag, task
from common.defaults import DEFAULT_ARGS, START, run_day
from common.files import read_config, read_sql
from common.paths import data_directory, write_whole
from common.quality import check
from common.sample_data import orders
from common.warehouse import open_warehouse


@dag(
    dag_id="orders_daily",
    schedule="30 3 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["example", "orders"],
    doc_md=__doc__,
)
def orders_daily():
    @task
    def load(ds: str | None = None) -> str:
        day = run_day(ds)
        with open_warehouse("orders") as warehouse:
            warehouse.run_file("orders/schema")
            warehouse.run_many(read_sql("orders/insert"), orders(day))
        return day

    @task
    def add_up(day: str) -> str:
        with open_warehouse("orders") as warehouse:
            warehouse.run_file("orders/totals", day=day)
        return day

    @task
    def check_quality(day: str) -> dict:
        with open_warehouse("orders") as warehouse:
            return check(warehouse, read_config("orders_quality")["rules"], day=day)

    @task
    def report(day: str) -> str:
        with open_warehouse("orders") as warehouse:
            rows = warehouse.run_file("orders/report", day=day)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["country", "orders", "amount"])
        writer.writerows(rows)
        return str(write_whole(data_directory("reports") / f"orders-{day}.csv", text.getvalue()))

    day = add_up(load())
    check_quality(day) >> report(day)


orders_daily()
