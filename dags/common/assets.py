"""What one DAG makes and another waits for; both must name the same thing."""

from common.airflow_compat import Asset

EXCHANGE_RATES = Asset("warehouse://rates/daily")
