"""Removes what is older than the retention, and says how much is left.

Written with classic operators; the script is a template that uses the plugin's macros.
"""

from __future__ import annotations

from datetime import date, timedelta

from common.airflow_compat import DAG, BashOperator, EmptyOperator, PythonOperator
from common.defaults import DEFAULT_ARGS, START, run_day
from common.paths import FOLDER, data_directory, data_root
from common.warehouse import open_warehouse


def remove_old_rows(day: str, keep_days: int) -> str:
    """Keeps the rows of the last `keep_days` days; returns the oldest day that stays."""
    oldest = (date.fromisoformat(run_day(day or None)) - timedelta(days=keep_days)).isoformat()
    with open_warehouse("orders") as warehouse:
        warehouse.run_file("orders/schema")
        warehouse.run_file("maintenance/retention", oldest=oldest)
    return oldest


def remove_old_files(keep_files: int) -> int:
    """Keeps the newest reports; returns how many were removed."""
    reports = sorted(
        data_directory("reports").glob("*-*.*"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for path in reports[keep_files:]:
        path.unlink(missing_ok=True)
    return len(reports[keep_files:])


with DAG(
    dag_id="warehouse_maintenance",
    schedule="0 2 * * *",
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["example", "maintenance"],
    template_searchpath=[str(FOLDER / "scripts")],
    params={"directory": str(data_root())},
    doc_md=__doc__,
) as maintenance:
    start = EmptyOperator(task_id="start")
    rows = PythonOperator(
        task_id="remove_old_rows",
        python_callable=remove_old_rows,
        op_kwargs={"day": "{{ ds if ds is defined else '' }}", "keep_days": 90},
    )
    files = PythonOperator(
        task_id="remove_old_files",
        python_callable=remove_old_files,
        op_kwargs={"keep_files": 30},
    )
    report = BashOperator(task_id="report", bash_command="data_report.sh")

    start >> [rows, files] >> report
