"""Stores the day's exchange rates, and tells the DAGs that wait for them."""

from __future__ import annotations

from common.airflow_compat import dag, task
from common.assets import EXCHANGE_RATES
from common.defaults import DEFAULT_ARGS, START, run_day
from common.files import read_config, read_sql
from common.sample_data import rates
from common.warehouse import open_warehouse


@dag(
    dag_id="exchange_rates",
    schedule="0 16 * * 1-5",
    start_date=START,
    catchup=False,
    default_args=DEFAULT_ARGS,
    tags=["example", "finance"],
    doc_md=__doc__,
)
def exchange_rates():
    @task
    def fetch(ds: str | None = None) -> list[dict]:
        config = read_config("currencies")
        rows = rates(run_day(ds), config["currencies"])
        return [row if row["currency"] != config["base"] else {**row, "rate": 1.0} for row in rows]

    @task(outlets=[EXCHANGE_RATES])
    def store(rows: list[dict]) -> int:
        with open_warehouse("orders") as warehouse:
            warehouse.run_file("rates/schema")
            warehouse.run_many(read_sql("rates/upsert"), rows)
        return len(rows)

    store(fetch())


exchange_rates()
