"""The few names that moved between Airflow 2 and 3, imported from wherever they are."""

try:
    from airflow.sdk import DAG, Asset, Param, dag, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task
    from airflow.models.param import Param

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:  # Airflow 2 before the standard provider
    from airflow.operators.bash import BashOperator
    from airflow.operators.empty import EmptyOperator
    from airflow.operators.python import PythonOperator

__all__ = [
    "DAG",
    "Asset",
    "BashOperator",
    "EmptyOperator",
    "Param",
    "PythonOperator",
    "dag",
    "task",
]
