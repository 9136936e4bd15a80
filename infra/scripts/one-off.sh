#!/usr/bin/env bash
# Runs one command in a task of its own inside the VPC, waits for it, shows its log, and ends with its code.
#   one-off.sh [-e NAME=VALUE]... FOLDER TASK_DEFINITION COMMAND [ARG...]
# FOLDER is an environment (infra/envs/prod), whose outputs say where tasks run.
set -euo pipefail

variables=()
while [ "${1:-}" = -e ]; do
    variables+=("$2")
    shift 2
done
if [ $# -lt 3 ]; then
    echo "one-off.sh [-e NAME=VALUE]... FOLDER TASK_DEFINITION COMMAND [ARG...]" >&2
    exit 64
fi
folder=$1 definition=$2
shift 2

outputs=$(terraform -chdir="$folder" output -json airflow)
cluster=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["cluster"])' <<<"$outputs")
network=$(python3 -c '
import json, sys
o = json.load(sys.stdin)
print(json.dumps({"awsvpcConfiguration": {"subnets": o["subnet_ids"], "securityGroups": [o["security_group_id"]], "assignPublicIp": "DISABLED"}}))' <<<"$outputs")
overrides=$(python3 -c '
import json, sys
cut = int(sys.argv[1])
pairs = [p.split("=", 1) for p in sys.argv[2:2 + cut]]
print(json.dumps({"containerOverrides": [{"name": "airflow", "command": sys.argv[2 + cut:],
                                          "environment": [{"name": n, "value": v} for n, v in pairs]}]}))' \
    "${#variables[@]}" "${variables[@]}" "$@")

task=$(aws ecs run-task --cluster "$cluster" --task-definition "$definition" --capacity-provider-strategy capacityProvider=FARGATE,weight=1 \
    --network-configuration "$network" --overrides "$overrides" --started-by one-off --query 'tasks[0].taskArn' --output text)
if [ -z "$task" ] || [ "$task" = None ]; then
    echo "one-off: ECS started no task: look at the cluster's events" >&2
    exit 69
fi
echo "one-off: $task" >&2
# The waiter gives up after ten minutes, and a migration may take half an hour.
for _ in 1 2 3 4; do
    if aws ecs wait tasks-stopped --cluster "$cluster" --tasks "$task"; then break; fi
done

group=$(aws ecs describe-task-definition --task-definition "$definition" \
    --query "taskDefinition.containerDefinitions[?name=='airflow'].logConfiguration.options.\"awslogs-group\" | [0]" --output text)
aws logs get-log-events --log-group-name "$group" --log-stream-name "airflow/airflow/${task##*/}" --limit 200 \
    --query 'events[].message' --output text | tr '\t' '\n' || true
code=$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" \
    --query "tasks[0].containers[?name=='airflow'].exitCode | [0]" --output text)
if ! [[ "$code" =~ ^[0-9]+$ ]]; then
    aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --query 'tasks[0].[stopCode,stoppedReason]' --output text >&2
    exit 70
fi
exit "$code"
