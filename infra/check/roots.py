"""A root's whole life: plan, policies, apply, an empty second plan, checks of the state, destroy."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import check as base
import containers
import planted
import policies
import state

ZERO = "sha256:" + "0" * 64
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
COMMON = {
    "region": "eu-west-1",
    "release": {"airflow": f"{REGISTRY}/airflow@{ZERO}", "s3sync": f"{REGISTRY}/s3sync@{ZERO}",
                "queue_metrics": f"{REGISTRY}/queue-metrics@{ZERO}"},
    "repository_arns": [f"arn:aws:ecr:eu-west-1:123456789012:repository/{n}" for n in ("airflow", "s3sync", "queue-metrics")],
}
PERSON = {"admin_email": "ops@example.com"}
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/c"
PROD = {**COMMON, **PERSON, "host": "airflow.example.com", "certificate_arn": CERTIFICATE, "allowed_cidrs": ["10.0.0.0/8"],
        "alarm_emails": ["ops@example.com"], "slack": {"team_id": "T0AAAAAAA", "channel_id": "C0AAAAAAA"}}
EXISTING = {**COMMON, "fernet_key_secret": "old/fernet", "old_dags_bucket": "old-dags",
            "network": {"vpc_id": "vpc-0a", "private_subnet_ids": ["subnet-0a", "subnet-0b"], "route_table_ids": ["rtb-0a"]},
            "database": {"host": "db.internal", "name": "airflow", "username": "airflow", "password_secret": "old/db",
                         "security_group_id": "sg-0d"},
            "files": {"file_system_id": "fs-0a", "security_group_id": "sg-0f"},
            "cluster": {"name": "shared", "arn": "arn:aws:ecs:eu-west-1:123456789012:cluster/shared"},
            "listener": {"listener_arn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/b/c",
                         "security_group_id": "sg-0b", "arn_suffix": "app/a/b", "hosts": ["airflow.example.com"], "priority": 100}}
LOGIN = {"user_pool_arn": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/p", "client_id": "c", "domain": "d", "cidrs": ["198.51.100.0/24"]}
# What an option changes, on the module itself: a root of its own that only the check has.
OPTIONS = {
    "airflow 2, cloudwatch, exec, snapshot": {
        "airflow_major": 2, "metrics": "cloudwatch", "exec": True, "debug": True, "redis": {"replicas": 2}, "stage": "dev",
        "fernet_key_secret": "old/fernet", "database": {"snapshot_identifier": "before"}, "container_insights": "enabled",
        "network": {"extra_endpoints": ["sts", "ecs", "ecs-agent", "ecs-telemetry"]}},
    "public, login, classic, off hours": {
        "stage": "prod", "dag_layout": "generations", "dag_options": {"S3SYNC_KEEP_FOR": "30d"},
        "redis": {"engine": "redis", "version": "7.1"}, "web": {"minimum": 1, "maximum": 2},
        "network": {"classic_endpoints": True, "availability_zones": 3, "flow_logs": "ALL"},
        "workers": {"minimum": 1, "maximum": 3, "spot": True, "queues": ["default", "gpu"],
                    "schedules": {"night": {"cron": "0 20 ? * * *", "minimum": 0, "maximum": 2}}},
        "load_balancer": {"host": "a.example.com", "certificate_arn": CERTIFICATE, "public": True, "allowed_cidrs": ["203.0.113.0/24"],
                          "web_acl_arn": "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/b", "login": LOGIN}},
    "airflow 2, one task, proxy": {
        "airflow_major": 2, "executor": "LocalExecutor", "one_task": True, "dag_sync": "sidecar", "stage": "dev",
        "sizes": {"web": {"cpu": 1024, "memory": 4096}}, "architecture": "X86_64",
        "network": {"egress": {"mode": "proxy", "cidrs": ["10.9.0.0/28"], "port": 3128, "proxy_url": "http://10.9.0.4:3128"}}},
    "local, service, transit gateway, internal login": {
        "stage": "prod", "executor": "LocalExecutor", "references": {"AIRFLOW_CONN_DWH": "secretsmanager://airflow/dwh"},
        "network": {"egress": {"mode": "transit_gateway", "cidrs": ["198.51.100.0/24"], "transit_gateway_id": "tgw-0a"}},
        "load_balancer": {"host": "a.example.com", "certificate_arn": CERTIFICATE, "allowed_security_groups": {"vpn": "sg-0c"}, "login": LOGIN}},
}


def variants():
    """Name of each, `FOLDER` or `FOLDER: what is chosen`, to its variables."""
    return {
        "envs/prod": PROD,
        "envs/dev": {**COMMON, **PERSON},
        "envs/dev: LocalExecutor": {**COMMON, **PERSON, "executor": "LocalExecutor"},
        "examples/existing": EXISTING,
        "examples/minimal": {**COMMON, **PERSON},
        **{f"option: {name}": options for name, options in OPTIONS.items()},
        "bootstrap": {"region": "eu-west-1", "repository": "acme/airflow"},
    }


def check(work, copy, name):
    folder = pathlib.Path(base.tempfile.mkdtemp(dir=work, prefix="root"))
    shutil.copytree(copy, folder / "infra")
    place, variables = name.split(":")[0], variants()[name]
    root = folder / "infra" / (place if place != "option" else "check/option")
    if place == "option":
        option(root, variables)
    else:
        (root / "terraform.tfvars.json").write_text(json.dumps(variables))
    # A state of its own beside it, whatever backend the root names.
    (root / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')

    def terraform(*arguments):
        return base.run("terraform", *arguments, cwd=root)

    terraform("init", "-no-color")
    terraform("plan", "-no-color", "-out=plan.bin")
    plan = json.loads(terraform("show", "-json", "plan.bin"))
    terraform("apply", "-no-color", "-auto-approve", "plan.bin")
    # 2 would mean that an apply leaves something to do.
    terraform("plan", "-no-color", "-detailed-exitcode")
    (root / "state.json").write_text(terraform("show", "-json"))
    values = json.loads((root / "state.json").read_text())
    (root / "real.json").write_text(real_arns((root / "state.json").read_text()))
    valuecheck = base.stand_in() / "valuecheck.py"
    said = subprocess.run([sys.executable, "-W", "ignore", valuecheck, "real.json"], cwd=root, text=True, capture_output=True, check=False)
    faults = [f"valuecheck: {line}" for line in (said.stdout + said.stderr).strip().splitlines()[-20:] if said.returncode]
    faults += [f"policy: {m}" for m in policies.denials(policies.rules(base.INFRA / "policies"), plan)]
    faults += state.faults(values)
    faults += containers.faults(values, base.REPOSITORY, folder)
    if name == "envs/dev" and not faults:
        faults += planted.unseen(values, folder)
    cost, over = price(name, values)
    faults += over
    if faults:
        raise base.Fault("\n".join(faults))
    terraform("destroy", "-no-color", "-auto-approve", "-refresh=false")
    shutil.rmtree(folder)
    return f"{said.stdout.strip().splitlines()[-1]}{cost}"


# The columns of the table in docs/infra.md.
COLUMNS = ("envs/dev", "envs/dev: LocalExecutor", "examples/minimal", "examples/existing", "envs/prod")


def price(name, values):
    """What it costs, as a note, and a fault where that is above its target or not what the page says."""
    sys.path.insert(0, str(base.INFRA / "cost"))
    import cost
    prices = json.loads((base.INFRA / "cost" / "prices.json").read_text())
    rows, worker_hour = cost.bill(values, prices)
    total, target = sum(dollars for *_, dollars in rows), prices["targets"].get(name)
    faults = [f"costs ${total:.0f} a month, above the target of ${target}"] if target and total > target else []
    if name in COLUMNS:
        faults += told(COLUMNS.index(name), rows, total, worker_hour)
    return f", ${total:.0f} a month", faults


def told(column, rows, total, worker_hour):
    """Where docs/infra.md says something else, in whole dollars."""
    text = (base.REPOSITORY / "docs/infra.md").read_text()
    section = text[text.index("\n## What it costs"):text.index("\n## What others complain about")]
    said = {}
    for row in re.findall(r"^\| (.+?) \|(.*)\|$", section, re.M):
        cells = [c.strip(" *") for c in row[1].split("|")]
        if len(cells) == len(COLUMNS):
            said[row[0].strip(" *").split(":")[0]] = cells[column]
    parts = {part: sum(d for p, _, d in rows if p == part) for part in ("network", "tasks", "data", "web", "keys", "watching")}
    wanted = {**{part: f"{dollars:.0f}" for part, dollars in parts.items()}, "sum": f"{total:.0f}", "a day": f"{total / 30:.1f}",
              "each worker-hour more": f"{worker_hour:.3f}" if worker_hour else ""}
    return [f"docs/infra.md says {said.get(part)} for '{part}', and it is {is_}" for part, is_ in wanted.items() if said.get(part) != is_]


def real_arns(text):
    """The stand-in's ARNs in the shapes that AWS gives them, by which policies are checked."""
    for kind, shape in (("kms_key", "key"), ("ssm_parameter", "parameter"), ("ecr_repository", "repository"),
                        ("sns_topic", ""), ("efs_access_point", "access-point")):
        text = re.sub(rf"(arn:aws:)\w+(:[a-z0-9-]*:[0-9]*:)aws_{kind}/",
                      lambda m, k=kind, s=shape: m[1] + {"efs_access_point": "elasticfilesystem"}.get(k, k.split("_")[0]) + m[2] + (s and s + "/"), text)
    text = re.sub(r"arn:aws:cloudwatch(:[a-z0-9-]*:[0-9]*:)aws_cloudwatch_log_group/", r"arn:aws:logs\1log-group:", text)
    return re.sub(r"arn:aws:s3:[a-z0-9-]*:[0-9]*:aws_s3_bucket/", "arn:aws:s3:::bucket-", text)


def option(root, variables):
    """A root that calls the module with one combination of options."""
    shutil.copytree(root.parent.parent / "examples" / "minimal", root)
    for file in ("outputs.tf", "variables.tf", "main.tf"):
        (root / file).unlink()
    versions = (root / "versions.tf").read_text().replace("var.region", '"eu-west-1"')
    (root / "versions.tf").write_text(versions)
    body = {"source": "../../modules/airflow", "name": "airflow-option", "release": COMMON["release"],
            "repository_arns": COMMON["repository_arns"], **variables}
    (root / "main.tf.json").write_text(json.dumps({"module": {"airflow": body}}))
