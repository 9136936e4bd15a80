"""What the DAGs of this folder share."""

# Written into the marker of the smoke DAG: a test can tell which upload a run used.
RELEASE = "2025.1"
