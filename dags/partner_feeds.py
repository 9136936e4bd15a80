"""One DAG for each feed in `config/partner_feeds.yaml`: receives a file, reads it, keeps the newest prices."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

from common.airflow_compat import dag, task
from common.defaults import DEFAULT_ARGS, START, run_day
from common.files import read_config, read_sql
from common.paths import data_directory, write_whole
from common.warehouse import open_warehouse


def sample_file(feed: dict, day: str) -> str:
    """What the partner would have sent."""
    chance = random.Random(f"{feed['name']} {day}")
    items = [{"item": f"item-{n:03}", "price": chance.randrange(100, 9_000)} for n in range(50)]
    if feed["format"] == "json":
        return json.dumps(items)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["item", "price"], delimiter=feed["delimiter"])
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue()


def read_items(feed: dict, text: str) -> list[dict]:
    """The items of a file in the feed's format."""
    if feed["format"] == "json":
        return json.loads(text)
    return list(csv.DictReader(io.StringIO(text), delimiter=feed["delimiter"]))


def build(feed: dict):
    @dag(
        dag_id=f"partner_feed_{feed['name']}",
        schedule=feed["schedule"],
        start_date=START,
        catchup=False,
        default_args=DEFAULT_ARGS,
        tags=["example", "feeds", *feed["tags"]],
        doc_md=__doc__,
    )
    def partner_feed():
        @task
        def receive(ds: str | None = None) -> dict:
            day = run_day(ds)
            path = data_directory("feeds", feed["name"]) / f"{day}.{feed['format']}"
            write_whole(path, sample_file(feed, day))
            return {"day": day, "path": str(path)}

        @task
        def store(received: dict) -> int:
            items = read_items(feed, Path(received["path"]).read_text(encoding="utf-8"))
            rows = [
                {
                    "feed": feed["name"],
                    "item": item["item"],
                    "day": received["day"],
                    "price": int(item["price"]),
                }
                for item in items
            ]
            with open_warehouse("feeds") as warehouse:
                warehouse.run_file("feeds/schema")
                warehouse.run_many(read_sql("feeds/upsert"), rows)
            return len(rows)

        @task
        def verify(stored: int) -> dict:
            with open_warehouse("feeds") as warehouse:
                [(count, lowest, highest)] = warehouse.run_file("feeds/summary", feed=feed["name"])
            if count < stored:
                raise ValueError(f"stored {stored} items of {feed['name']} and found {count}")
            return {"count": count, "lowest": lowest, "highest": highest}

        verify(store(receive()))

    return partner_feed()


for feed in read_config("partner_feeds")["feeds"]:
    globals()[f"partner_feed_{feed['name']}"] = build(feed)
