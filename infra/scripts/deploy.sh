#!/usr/bin/env bash
# Brings an environment to a release, in the order that docs/runbooks/operations.md tells: task definitions,
# snapshot, one-off migration, services, smoke test. What fails goes back by itself only while the schema's
# heads are what they were; else it stops, and a person decides.
#   deploy.sh FOLDER RELEASE PREVIOUS [auto|major]
# RELEASE and PREVIOUS are release files (images by digest), and FOLDER is initialised.
set -euo pipefail

folder=${1:?deploy.sh FOLDER RELEASE PREVIOUS [auto|major]}
release=$(realpath "${2:?the release file}")
previous=$(realpath "${3:?the release file that runs now}")
migrate=${4:-auto}
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '\n=== %s\n' "$*" >&2; }
terraform() { command terraform -chdir="$folder" "$@"; }
apply() { terraform apply -auto-approve -input=false -var-file="$1" -var="migrate=$migrate" "${@:2}"; }
output() { terraform output -json airflow | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]] or "")' "$1"; }
web() { terraform output -json airflow | python3 -c 'import json, sys
d = json.load(sys.stdin)["task_definitions"]
print(d.get("api-server") or d["webserver"])'; }

say "task definition of the web tier"
before=$(web)
apply "$release" -target=module.airflow.module.web.aws_ecs_task_definition.this
new=$(aws ecs describe-task-definition --task-definition "$(sed 's/:[0-9]*$//; s|.*/||' <<<"$before")" --query taskDefinition.taskDefinitionArn --output text)

say "what the migration would do"
plan=$("$here/one-off.sh" "$folder" "$new" --dry-run --metrics none --migrate "$migrate" api-server) || {
    printf '%s\n' "$plan"
    echo "deploy: the new release finds something wrong; nothing was changed" >&2
    exit 65
}
printf '%s\n' "$plan"
# In doubt it changes: then there is a snapshot, and nothing goes back by itself.
changes=yes
if grep -qE '^migrate .*nothing to do' <<<"$plan"; then changes=no; fi

database=$(output database_identifier)
if [ "$changes" = yes ] && [ -n "$database" ]; then
    say "snapshot"
    snapshot="$database-$(date -u +%Y%m%d-%H%M%S)"
    aws rds create-db-snapshot --db-instance-identifier "$database" --db-snapshot-identifier "$snapshot" --query DBSnapshot.Status --output text
    aws rds wait db-snapshot-available --db-snapshot-identifier "$snapshot"
fi
if [ "$changes" = yes ]; then
    say "migration"
    "$here/one-off.sh" -e "ENTRYPOINT_MIGRATE=$migrate" -e ENTRYPOINT_INIT_ONLY=1 "$folder" "$new" api-server
fi

say "services"
ok=yes
if [ "$changes" = yes ]; then rollback=false; else rollback=true; fi
apply "$release" -var="rollback=$rollback" || ok=no

if [ "$ok" = yes ]; then
    say "smoke test"
    "$here/one-off.sh" "$folder" "$new" python -c "
import json, urllib.request
base = 'http://$(output api_host):8080'
health = json.load(urllib.request.urlopen(base + '/api/v2/monitor/health', timeout=20))
print(health)
wrong = [n for n in ('metadatabase', 'scheduler', 'dag_processor') if health[n]['status'] != 'healthy']
raise SystemExit(f'not healthy: {wrong}' if wrong else 0)" || ok=no
fi
if [ "$ok" = yes ]; then
    say "done"
    exit 0
fi

if [ "$changes" = yes ]; then
    echo "deploy: failed after the schema was changed; the older release may not know it. docs/runbooks/stuck-migration.md" >&2
    exit 71
fi
say "back to the release that ran"
apply "$previous"
echo "deploy: failed, and the previous release runs again" >&2
exit 1
