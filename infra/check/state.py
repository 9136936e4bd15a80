"""What an applied state must hold: no secret, actions equal to calls, endpoints for what is on, known dimensions."""
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs"


def resources(values):
    def walk(module):
        yield from module.get("resources", [])
        for child in module.get("child_modules", []):
            yield from walk(child)
    return [r for r in walk(values["values"]["root_module"]) if r["mode"] == "managed"]


def faults(values):
    every = resources(values)
    by_type = {}
    for r in every:
        by_type.setdefault(r["type"], []).append(r)
    return [*secrets(every), *grace(by_type), *calls(by_type), *endpoints(by_type), *dimensions(by_type), *things(by_type), *first_files(by_type),
            *mounts(by_type), *layouts(by_type)]


def definitions(by_type):
    for r in by_type.get("aws_ecs_task_definition", []):
        yield r, {c["name"]: c for c in json.loads(r["values"]["container_definitions"])}


def is_airflow(container):
    return container.get("entryPoint") == ["/entrypoint"]


def variables(container):
    return {e["name"]: e["value"] for e in container.get("environment", [])}


# ---- no secret ------------------------------------------------------------------------------------------

def secrets(every):
    """A write-only argument leaves nothing; whatever else could hold a secret must be empty or a name."""
    for r in every:
        v = r["values"]
        for name in ("password", "secret_string", "auth_token", "passwords", "client_secret"):
            if v.get(name):
                yield f"{r['address']}: {name} is in the state"
        if r["type"] == "random_password":
            yield f"{r['address']}: a random_password keeps its value in the state; take the ephemeral one"
        if r["type"] == "aws_ssm_parameter":
            if v["type"] == "SecureString" and v.get("value") and not v["value"].startswith("value-"):
                yield f"{r['address']}: a SecureString's value is in the state; take value_wo"
            secret = re.search(r"password|fernet-key|secret-key|jwt-secret", v["name"])
            if v["type"] == "String" and secret and not v["value"].startswith("secretsmanager://"):
                yield f"{r['address']}: a secret in a plain parameter"


# ---- grace ----------------------------------------------------------------------------------------------

def grace(by_type):
    for r, listed in definitions(by_type):
        for name, c in listed.items():
            asked = variables(c).get("ENTRYPOINT_STOP_GRACE")
            if asked and not int(asked.rstrip("s")) < c.get("stopTimeout", 30):
                yield f"{r['address']} {name}: ENTRYPOINT_STOP_GRACE={asked} is not below stopTimeout {c.get('stopTimeout')}"
    # entrypoint's default wait, and a minute to start: a load balancer that judges earlier has ECS end the task.
    for r in by_type.get("aws_ecs_service", []):
        if r["values"].get("load_balancer") and (r["values"].get("health_check_grace_period_seconds") or 0) < 360:
            yield f"{r['address']}: health_check_grace_period_seconds does not cover wait and start (360)"


# ---- IAM ------------------------------------------------------------------------------------------------

def calls(by_type):
    known = json.loads((HERE / "calls.json").read_text())
    roles = {r["values"]["arn"]: r["values"]["name"] for r in by_type.get("aws_iam_role", [])}
    ids = {r["values"]["id"]: r["values"]["name"] for r in by_type.get("aws_iam_role", [])}
    allowed = {}
    for p in by_type.get("aws_iam_role_policy", []):
        role = ids.get(p["values"]["role"], p["values"]["role"])
        for s in json.loads(p["values"]["policy"])["Statement"]:
            actions = s["Action"] if isinstance(s["Action"], list) else [s["Action"]]
            allowed.setdefault(role, set()).update(actions if s["Effect"] == "Allow" else [])
    for r, listed in definitions(by_type):
        role = roles.get(r["values"]["task_role_arn"])
        wanted = {a for topic in topics(r, listed) for a in known[topic]}
        has = allowed.get(role, set())
        if has - wanted:
            yield f"{r['address']}: the task role allows what no program calls: {', '.join(sorted(has - wanted))} (calls.json)"
        if wanted - has:
            yield f"{r['address']}: the task role lacks what a program calls: {', '.join(sorted(wanted - has))} (calls.json)"


def topics(definition, listed):
    """The rows of calls.json that hold for this task definition."""
    for c in filter(is_airflow, listed.values()):
        yield "entrypoint"
        environment, command = variables(c), c["command"]
        if environment.get("ENTRYPOINT_TASK_PROTECTION"):
            yield "entrypoint task protection"
        runs = command[0] in ("celery", "triggerer") or \
            (command[0] == "scheduler" and environment.get("AIRFLOW__CORE__EXECUTOR") == "LocalExecutor")
        if runs:
            yield "airflow writes logs"
        if command[0] in ("api-server", "webserver"):
            yield "airflow reads logs"
    if "queue-metrics" in listed and listed["queue-metrics"]["command"] == ["protect"]:
        yield "queue-metrics protect"
        if variables(listed["queue-metrics"]).get("QUEUE_METRICS_WANTED_REVISION"):
            yield "queue-metrics wanted revision"
    if "s3sync" in listed:
        yield "s3sync"
        if variables(listed["s3sync"]).get("S3SYNC_REPORT"):
            yield "s3sync report"
    if any("cloudwatch" == v for c in listed.values() for k, v in variables(c).items() if k.endswith("_METRICS")):
        yield "metrics cloudwatch"
    mounts = {m["sourceVolume"]: m for c in listed.values() for m in c.get("mountPoints", [])}
    shared = {v["name"] for v in definition["values"].get("volume", []) if v.get("efs_volume_configuration")}
    if shared:
        yield "mount"
    if any(not m.get("readOnly") for c in listed.values() for m in c.get("mountPoints", []) if m["sourceVolume"] in shared):
        yield "mount to write"
    if set(mounts) & shared != shared:
        raise AssertionError(f"{definition['address']}: an EFS volume that no container mounts")
    if (definition["values"].get("tags") or {}).get("trimtab:writable-root"):
        yield "ECS Exec"


# ---- endpoints ------------------------------------------------------------------------------------------

def endpoints(by_type):
    made = {r["values"]["service_name"].split(".", 3)[3] for r in by_type.get("aws_vpc_endpoint", [])}
    if not made:
        return
    needed = {"s3", "ecr.api", "ecr.dkr", "logs", "ssm"}
    for r, listed in definitions(by_type):
        for c in listed.values():
            if "cloudwatch" in [v for k, v in variables(c).items() if k.endswith("_METRICS")]:
                needed.add("monitoring")
            if any(":secretsmanager:" in s["valueFrom"] for s in c.get("secrets", [])):
                needed.add("secretsmanager")
        if (r["values"].get("tags") or {}).get("trimtab:writable-root"):
            needed.add("ssmmessages")
    if needed - made:
        yield f"endpoints are missing for what is switched on: {', '.join(sorted(needed - made))}"


# ---- alarms ---------------------------------------------------------------------------------------------

def emitted():
    """Metrics as the pages document them (each page is tested against its program)."""
    found = {}
    for page, program in (("s3sync.md", "s3sync"), ("entrypoint.md", "entrypoint"), ("autoscaling.md", "queue-metrics")):
        text = (DOCS / page).read_text()
        section = text[text.index("\n## Metrics"):]
        section = section[:section.find("\n## ", 5)]
        for row in re.findall(r"^\| (`[A-Z][^|]*)\|", section, re.M):
            for metric in re.findall(r"`(\w+)`", row):
                found.setdefault(metric, set()).add(program)
    return found


def watched(by_type):
    """(who asks, namespace, metric, dimensions) of alarms and of the dashboard's graphs."""
    for a in by_type.get("aws_cloudwatch_metric_alarm", []):
        yield a["address"], a["values"]["namespace"], a["values"]["metric_name"], a["values"]["dimensions"]
    for d in by_type.get("aws_cloudwatch_dashboard", []):
        for widget in json.loads(d["values"]["dashboard_body"])["widgets"]:
            for namespace, metric, *pairs in widget["properties"].get("metrics", []):
                yield f"{d['address']} '{widget['properties']['title']}'", namespace, metric, dict(zip(pairs[::2], pairs[1::2]))


def dimensions(by_type):
    known, publishers = emitted(), {}
    for r, listed in definitions(by_type):
        for name, c in listed.items():
            v = variables(c)
            program = "entrypoint" if is_airflow(c) else name
            publishers.setdefault((program, v.get("TRIMTAB_ENVIRONMENT"), v.get("TRIMTAB_SERVICE")), c)
    for who, namespace, metric, has in watched(by_type):
        if namespace != "Trimtab":
            continue
        if metric not in known:
            yield f"{who}: no program documents a metric {metric}"
            continue
        if set(has) != {"Environment", "Service"}:
            yield f"{who}: the dimensions are exactly Environment and Service"
        where = (has.get("Environment"), has.get("Service"))
        if not any((program, *where) in publishers for program in known[metric]):
            yield f"{who}: nothing publishes {metric} with {where}"


def mounts(by_type):
    """A task that mounts EFS runs where the file system has a mount target: its name is found in those zones alone."""
    targets = {r["values"]["subnet_id"] for r in by_type.get("aws_efs_mount_target", [])}
    mounting = {r["values"]["arn"] for r in by_type.get("aws_ecs_task_definition", [])
                if any(v.get("efs_volume_configuration") for v in r["values"].get("volume", []))}
    for r in by_type.get("aws_ecs_service", []):
        v = r["values"]
        if targets and v["task_definition"] in mounting and not set(v["network_configuration"][0]["subnets"]) <= targets:
            yield f"{r['address']}: mounts EFS, and may run where there is no mount target"


def first_files(by_type):
    """Where s3sync runs, its prefix has a file after an apply: it is not healthy with none, and nobody that waits for it starts."""
    there = {f"s3://{r['values']['bucket']}/{r['values']['key']}" for r in by_type.get("aws_s3_object", [])}
    for r, listed in definitions(by_type):
        source = listed["s3sync"]["command"][1] if "s3sync" in listed else None
        if source and not any(t.startswith(f"{source}/") for t in there):
            yield f"{r['address']}: {source} is empty after the first apply, and s3sync would not be healthy"


def layouts(by_type):
    """Who reads DAGs reads them as s3sync lays them out, from where it does, and waits for a file that comes to be."""
    writers = [listed["s3sync"] for _, listed in definitions(by_type) if "s3sync" in listed]
    for writer in writers:
        place, generations = writer["command"][2], variables(writer).get("S3SYNC_LAYOUT") == "generations"
        ready = f"{place}/current" if generations else f"{place}/.s3sync/manifest.jsonl"
        for r, listed in definitions(by_type):
            for name, c in listed.items():
                if not is_airflow(c):
                    continue
                bundles = json.loads(variables(c).get("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", "[]"))
                roots = [b["kwargs"]["root"] for b in bundles if b["classpath"] == "trimtab_airflow.GenerationBundle"]
                if roots != ([place] if generations else []):
                    yield f"{r['address']} {name}: reads generations of {roots}, and s3sync has S3SYNC_LAYOUT={variables(writer).get('S3SYNC_LAYOUT')} in {place}"
                waits = [f for f in variables(c).get("ENTRYPOINT_WAIT_FILES", "").split(",") if f.startswith(f"{place}/")]
                if waits not in ([], [ready]):
                    yield f"{r['address']} {name}: waits for {', '.join(waits)}, and s3sync makes {ready}"


def things(by_type):
    """What AWS's own metrics are asked of is there, where Terraform made its kind."""
    made = {kind: {r["values"][name] for r in by_type.get(resource, [])} for kind, resource, name in (
        ("ServiceName", "aws_ecs_service", "name"), ("DBInstanceIdentifier", "aws_db_instance", "identifier"),
        ("LoadBalancer", "aws_lb", "arn_suffix"), ("TargetGroup", "aws_lb_target_group", "arn_suffix"), ("FileSystemId", "aws_efs_file_system", "id"))}
    made["CacheClusterId"] = {f"{r['values']['replication_group_id']}-{n + 1:03}" for r in by_type.get("aws_elasticache_replication_group", [])
                              for n in range(r["values"]["num_cache_clusters"])}
    for who, namespace, metric, has in watched(by_type):
        for kind, value in has.items():
            if namespace.startswith("AWS/") and made.get(kind) and value not in made[kind]:
                yield f"{who}: {metric} of {kind} {value}, which is not there"
