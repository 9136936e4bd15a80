"""Airflow 3's DAG bundle over the generations that s3sync keeps."""

from trimtab_airflow.bundle import GenerationBundle
from trimtab_airflow.generations import GenerationError

__all__ = ["GenerationBundle", "GenerationError"]
