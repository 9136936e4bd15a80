#!/usr/bin/env python3
"""What an environment costs a month, from its plan and prices.json.

  terraform show -json plan.bin > plan.json ;  infra/cost/cost.py plan.json [NAME]

NAME is the row of `targets` in prices.json that the sum is held to; above it the exit is 1.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def resources(plan):
    def walk(module):
        yield from module.get("resources", [])
        for child in module.get("child_modules", []):
            yield from walk(child)
    return [r for r in walk((plan.get("planned_values") or plan["values"])["root_module"]) if r["mode"] == "managed"]


def bill(plan, prices):
    """(part, what, dollars a month), in the order of a screen; and what a worker-hour adds."""
    hour, month, assumed, hours = prices["hour"], prices["month"], prices["assumed"], prices["hours"]
    every = resources(plan)
    of = lambda kind: [r["values"] for r in every if r["type"] == kind]  # noqa: E731
    prod = any(d.get("deletion_protection") for d in of("aws_db_instance"))
    stage = "prod" if prod else "dev"
    rows, worker_hour = [], 0.0

    def row(part, what, dollars):
        if dollars:
            rows.append((part, what, dollars))

    private = len([r for r in every if r["type"] == "aws_subnet" and ".private[" in r["address"]]) or 2
    endpoints = [v for v in of("aws_vpc_endpoint") if v["vpc_endpoint_type"] == "Interface"]
    # Subnets are not known at plan; zones follow from the environment's choice, which dev makes to be one.
    zones = len((endpoints or [{}])[0].get("subnet_ids") or []) or (private if prod else 1)
    row("network", f"{len(endpoints)} interface endpoints in {zones} zone(s)", len(endpoints) * zones * hour["interface endpoint, a zone"] * hours)

    services = {(r["values"]["name"], r["address"].rsplit(".aws_ecs_service", 1)[0]): r["values"] for r in every if r["type"] == "aws_ecs_service"}
    tasks = {r["address"].rsplit(".aws_ecs_task_definition", 1)[0]: r["values"] for r in every if r["type"] == "aws_ecs_task_definition"}
    for (name, module), service in sorted(services.items()):
        task = tasks[module]
        kind = "Fargate " + task["runtime_platform"][0]["cpu_architecture"]
        price = int(task["cpu"]) / 1024 * hour[f"{kind} vCPU"] + int(task["memory"]) / 1024 * hour[f"{kind} GB"]
        if any(c["capacity_provider"] == "FARGATE_SPOT" for c in service["capacity_provider_strategy"]):
            price *= hour["Fargate Spot, share of the price"]
        if name == "worker":
            worker_hour = price
            busy = assumed["worker hours a month"][stage]
            row("tasks", f"workers, {busy} hours", price * (busy + service["desired_count"] * hours))
        else:
            row("tasks", f"{name}, {service['desired_count']} of {task['cpu']} units and {task['memory']} MiB", price * service["desired_count"] * hours)

    for d in of("aws_db_instance"):
        copies = 2 if d["multi_az"] else 1
        row("data", f"{d['instance_class']}{', two zones' if copies == 2 else ''}", copies * hour[d["instance_class"]] * hours)
        row("data", f"{d['allocated_storage']} GB of gp3", copies * d["allocated_storage"] * month["RDS gp3 GB"])
    for c in of("aws_elasticache_replication_group"):
        row("data", f"{c['num_cache_clusters']} {c['node_type']}", c["num_cache_clusters"] * hour[f"{c['node_type']} {c['engine']}"] * hours)
    for f in of("aws_efs_file_system"):
        one = len(of("aws_efs_mount_target")) == 1
        row("data", f"EFS, {assumed['EFS GB']} GB", assumed["EFS GB"] * month["EFS One Zone GB" if one else "EFS GB"])
    row("data", f"S3, {assumed['S3 GB']} GB", assumed["S3 GB"] * month["S3 GB"])
    row("data", "LISTs of s3sync", assumed["LISTs a month"] / 1000 * month["S3 LIST, 1000"])
    row("web", "load balancer", len(of("aws_lb")) * (hour["load balancer"] + hour["load balancer, one LCU"]) * hours)
    row("keys", f"{len(of('aws_kms_key'))} KMS keys", len(of("aws_kms_key")) * month["KMS key"])
    row("keys", f"{len(of('aws_secretsmanager_secret'))} secrets", len(of("aws_secretsmanager_secret")) * month["secret"])

    alarms = of("aws_cloudwatch_metric_alarm")
    fast = [a for a in alarms if a["period"] < 60]
    row("watching", f"{len(alarms) - len(fast)} alarms", max(0, len(alarms) - len(fast) - assumed["free alarms"]) * month["alarm"])
    row("watching", f"{len(fast)} alarms of 10 s", len(fast) * month["alarm of 10 s"])
    # Each of Airflow's containers publishes its own, whether or not it has a task of its own.
    containers = [c for _, module in services for c in json.loads(tasks[module]["container_definitions"])]
    metrics = assumed["metrics of each of Airflow's containers"] * sum(c.get("entryPoint") == ["/entrypoint"] for c in containers) + assumed["metrics of s3sync"] + \
        (assumed["metrics of queue-metrics"] if any(name == "worker" for name, _ in services) else 0)
    row("watching", f"{metrics} metrics", max(0, metrics - assumed["free metrics"]) * month["metric"])
    row("watching", f"logs, {assumed['log GB a month'][stage]} GB", assumed["log GB a month"][stage] * month["log GB in"])
    row("watching", "dashboard", max(0, len(of("aws_cloudwatch_dashboard")) - assumed["free dashboards"]) * month["dashboard"])
    row("network", "name inside the VPC", len(of("aws_service_discovery_private_dns_namespace")) * month["hosted zone"])
    return rows, worker_hour


def table(rows, worker_hour):
    lines = ["| part | what | dollars a month |", "|---|---|---|"]
    lines += [f"| {part} | {what} | {dollars:.2f} |" for part, what, dollars in sorted(rows, key=lambda r: r[0])]
    lines.append(f"| **sum** | | **{sum(d for *_, d in rows):.0f}** |")
    if worker_hour:
        lines.append(f"| each worker-hour more | | {worker_hour:.3f} |")
    return "\n".join(lines)


def main():
    prices = json.loads((HERE / "prices.json").read_text())
    with open(sys.argv[1], encoding="utf-8") as f:
        rows, worker_hour = bill(json.load(f), prices)
    print(f"{prices['region']}, prices as recalled in {prices['recalled']}, to be checked\n")
    print(table(rows, worker_hour))
    target = prices["targets"].get(sys.argv[2]) if len(sys.argv) > 2 else None
    return 1 if target and sum(d for *_, d in rows) > target else 0


if __name__ == "__main__":
    sys.exit(main())
