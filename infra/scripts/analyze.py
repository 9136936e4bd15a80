#!/usr/bin/env python3
"""Each policy of a plan, read by IAM Access Analyzer: analyze.py plan.json. An error or a security warning ends it with 1."""
import json
import subprocess
import sys

KINDS = {"aws_iam_role_policy": "IDENTITY_POLICY", "aws_iam_policy": "IDENTITY_POLICY", "aws_kms_key": "RESOURCE_POLICY",
         "aws_s3_bucket_policy": "RESOURCE_POLICY", "aws_sns_topic_policy": "RESOURCE_POLICY"}


def resources(module):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources(child)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        root = json.load(f)["planned_values"]["root_module"]
    bad = 0
    for r in resources(root):
        text = r["values"].get("policy")
        if r["type"] not in KINDS or not text:
            continue
        said = subprocess.run(["aws", "accessanalyzer", "validate-policy", "--policy-type", KINDS[r["type"]], "--policy-document", text,
                               "--output", "json"], check=True, capture_output=True, text=True).stdout
        for f in json.loads(said)["findings"]:
            print(f"{r['address']}: {f['findingType']} {f['issueCode']}: {f['findingDetails']}")
            bad += f["findingType"] in ("ERROR", "SECURITY_WARNING")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
