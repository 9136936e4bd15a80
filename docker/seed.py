"""Fills the laptop's stand-in for AWS: a bucket with DAGs, the parameters that entrypoint reads, and a
directory that s3sync may write to, as an EFS access point gives it.

Nothing here is a secret: the values are the same on every laptop, so that a database from an earlier
start can be read after a later one.
"""

import base64
import hashlib
import os
import pathlib

import boto3

BUCKET = "dags"
PREFIX = "laptop"
BASE = "/trimtab/laptop"
DIRECTORY = "/opt/airflow/dags"


def key(name):
    """32 bytes, in the alphabet that Fernet takes."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"trimtab {name}".encode()).digest()).decode()


PARAMETERS = {
    "db/host": "postgres",
    "db/port": "5432",
    "db/name": "airflow",
    "db/username": "airflow",
    "db/password": "laptop",
    "db/sslmode": "disable",
    "broker-url": "redis://redis:6379/0",
    "fernet-key": key("fernet"),
    "webserver/secret-key": key("webserver"),
    "jwt-secret": key("jwt") + key("jwt, second half"),
    "admin/username": "admin",
    "admin/password": "admin",
    "admin/email": "admin@example.com",
}


def main():
    parameters = boto3.client("ssm")
    for name, value in PARAMETERS.items():
        parameters.put_parameter(Name=f"{BASE}/{name}", Value=value, Type="SecureString", Overwrite=True)
    bucket = boto3.client("s3")
    bucket.create_bucket(Bucket=BUCKET)
    root = pathlib.Path("/seed/dags")
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    for path in files:
        bucket.upload_file(str(path), BUCKET, f"{PREFIX}/{path.relative_to(root)}")
    os.chown(DIRECTORY, 50000, 0)
    os.chmod(DIRECTORY, 0o775)
    print(f"{len(PARAMETERS)} parameters below {BASE}, {len(files)} files in s3://{BUCKET}/{PREFIX}/")


if __name__ == "__main__":
    main()
