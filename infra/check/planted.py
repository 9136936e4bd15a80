"""Faults planted into a state that is sound: each must be seen, or the check of it is worth nothing."""
import copy
import json

import check as base
import containers
import state


def unseen(values, folder):
    """A message for each planted fault that nothing saw."""
    for what, expected, plant in FAULTS:
        wrong = copy.deepcopy(values)
        plant(wrong)
        found = [*state.faults(wrong), *(containers.faults(wrong, base.REPOSITORY, folder) if "setting" in expected or "health check" in expected else [])]
        if not any(expected in f for f in found):
            yield f"planted and not seen: {what} (expected '{expected}', found {found[:3]})"


def first(values, kind, part=""):
    return next(r["values"] for r in state.resources(values) if r["type"] == kind and part in r["address"])


def container(values, part, name, change):
    definition = first(values, "aws_ecs_task_definition", part)
    listed = json.loads(definition["container_definitions"])
    change(next(c for c in listed if c["name"] == name))
    definition["container_definitions"] = json.dumps(listed)


def variable(name, value):
    return lambda c: c["environment"].append({"name": name, "value": value})


def policy(values, part, change):
    p = first(values, "aws_iam_role_policy", part)
    text = json.loads(p["policy"])
    change(text["Statement"])
    p["policy"] = json.dumps(text)


def without(values, kind, service):
    def walk(module):
        module["resources"] = [r for r in module.get("resources", []) if not (r["type"] == kind and service in r["values"]["service_name"])]
        for child in module.get("child_modules", []):
            walk(child)
    walk(values["values"]["root_module"])


WORKER = "module.worker[0]"
FAULTS = [
    ("a password in the state", "is in the state", lambda v: first(v, "aws_db_instance").update(password="x")),
    ("a secret in a plain parameter", "a secret in a plain parameter",
     lambda v: first(v, "aws_ssm_parameter", 'layout["fernet-key"]').update(value="k")),
    ("a grace as long as stopTimeout", "is not below stopTimeout",
     lambda v: container(v, WORKER, "airflow", lambda c: c.update(stopTimeout=60))),
    ("a load balancer that judges at once", "does not cover wait and start",
     lambda v: first(v, "aws_ecs_service", "module.web").update(load_balancer=[{}], health_check_grace_period_seconds=0)),
    ("a task in a zone without its files", "where there is no mount target",
     lambda v: first(v, "aws_ecs_service", "triggerer")["network_configuration"][0].update(subnets=["subnet-elsewhere"])),
    ("nothing for s3sync to find", "is empty after the first apply",
     lambda v: first(v, "aws_s3_object").update(key="elsewhere/.airflowignore")),
    ("generations that Airflow does not read", "reads generations of []",
     lambda v: container(v, "dag-processor", "s3sync", lambda c: [e.update(value="generations") for e in c["environment"] if e["name"] == "S3SYNC_LAYOUT"])),
    ("a wait for a file of the other layout", "waits for /opt/airflow/dags/current",
     lambda v: container(v, WORKER, "airflow", variable("ENTRYPOINT_WAIT_FILES", "/opt/airflow/dags/current"))),
    ("a role that allows more", "allows what no program calls: s3:DeleteObject",
     lambda v: policy(v, f"{WORKER}.aws_iam_role_policy.task", lambda s: s.append({"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "*"}))),
    ("a role that lacks a call", "lacks what a program calls", lambda v: policy(v, f"{WORKER}.aws_iam_role_policy.task", lambda s: s.clear())),
    ("no endpoint for parameters", "endpoints are missing for what is switched on: ssm", lambda v: without(v, "aws_vpc_endpoint", ".ssm")),
    ("metrics without their endpoint", "endpoints are missing for what is switched on: monitoring",
     lambda v: container(v, WORKER, "airflow", variable("ENTRYPOINT_METRICS", "cloudwatch"))),
    ("an alarm with another dimension", "the dimensions are exactly",
     lambda v: first(v, "aws_cloudwatch_metric_alarm", "queue-silent").update(dimensions={"Environment": "airflow-dev"})),
    ("an alarm for a service that publishes nothing", "nothing publishes SampleAge",
     lambda v: first(v, "aws_cloudwatch_metric_alarm", "queue-silent").update(dimensions={"Environment": "airflow-dev", "Service": "workers"})),
    ("an alarm on a metric that there is not", "no program documents a metric",
     lambda v: first(v, "aws_cloudwatch_metric_alarm", "queue-silent").update(metric_name="SampleAges")),
    ("an alarm of a service that is not there", "which is not there",
     lambda v: first(v, "aws_cloudwatch_metric_alarm", "scheduler-cpu").update(dimensions={"ClusterName": "airflow-dev", "ServiceName": "schedulers"})),
    ("a graph of nothing", "nothing publishes SyncLag",
     lambda v: first(v, "aws_cloudwatch_dashboard").update(dashboard_body=first(v, "aws_cloudwatch_dashboard")["dashboard_body"].replace('"s3sync"', '"sync"'))),
    ("a setting that entrypoint has not", "a setting is odd: ENTRYPOINT_STOP_GRACES",
     lambda v: container(v, WORKER, "airflow", variable("ENTRYPOINT_STOP_GRACES", "5s"))),
    ("a setting that queue-metrics refuses", "its settings are refused",
     lambda v: container(v, "scheduler", "queue-metrics", variable("QUEUE_METRICS_HOLD", "soon"))),
    ("a profile that healthcheck has not", "the health check cannot be read",
     lambda v: container(v, "triggerer", "airflow", lambda c: c["healthCheck"].update(command=["CMD", "/healthcheck", "airflow:trigger"]))),
    ("a setting that s3sync has not", "a setting is odd: S3SYNC_MAX_DELETES",
     lambda v: container(v, "dag-processor", "s3sync", variable("S3SYNC_MAX_DELETES", "5"))),
]
