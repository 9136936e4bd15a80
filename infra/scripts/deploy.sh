#!/usr/bin/env bash
# Brings an environment to a release, in the order that docs/runbooks/operations.md tells: task definition,
# snapshot, one-off migration, services, smoke test. What fails goes back by itself only while the schema's
# heads are what they were; else it stops, tells the alarm topic, and a person decides.
#   deploy.sh FOLDER RELEASE PREVIOUS [auto|major]
# RELEASE and PREVIOUS are release files (images by digest), and FOLDER is initialised.
# Exit: 0 done; 1 failed, and PREVIOUS runs again; 64 usage; 65 refused before anything changed; 70 failed,
# and so did the way back; 71 stopped with a changed schema.
set -euo pipefail

usage="deploy.sh FOLDER RELEASE PREVIOUS [auto|major]"
folder=${1:?$usage}
release=$(realpath "${2:?$usage}")
previous=$(realpath "${3:?$usage}")
migrate=${4:-auto}
case "$migrate" in auto | major) ;; *)
    echo "$usage" >&2
    exit 64
    ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
python3 -B "$here/release_file.py" check "$release" "$previous"

say() { printf '\n=== %s\n' "$*" >&2; }
terraform() { command terraform -chdir="$folder" "$@"; }
apply() { terraform apply -auto-approve -input=false -var-file="$1" -var="migrate=$migrate" "${@:2}"; }
output() { terraform output -json airflow | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]] or "")' "$1"; }
# From the state and not by family: an upgrade from 2.x changes the family's name.
web() {
    terraform show -json | python3 -c 'import json, sys
def walk(module):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from walk(child)
address = "module.airflow.module.web.aws_ecs_task_definition.this"
found = next(r["values"] for r in walk(json.load(sys.stdin)["values"]["root_module"]) if r["address"] == address)
print(found["arn"], "webserver" if found["family"].endswith("-webserver") else "api-server")'
}
# stop CODE WHY: for a person, who may not be looking here.
stop() {
    echo "deploy: $2" >&2
    local topic
    topic=$(output alarm_topic || true)
    [ -z "$topic" ] || aws sns publish --topic-arn "$topic" --subject "deployment to $(basename "$folder") stopped" \
        --message "$2" --query MessageId --output text >&2 || echo "deploy: and the alarm topic could not be told" >&2
    exit "$1"
}

say "task definition of the web tier"
apply "$release" -target=module.airflow.module.web.aws_ecs_task_definition.this
read -r new service < <(web)

say "what the migration would do"
plan=$("$here/one-off.sh" "$folder" "$new" --dry-run --metrics none --migrate "$migrate" "$service") || {
    printf '%s\n' "$plan"
    echo "deploy: the new release finds something wrong; no service was changed" >&2
    exit 65
}
printf '%s\n' "$plan"
# In doubt it changes: then there is a snapshot, and nothing goes back by itself.
changes=yes
if grep -qE '^migrate .*(nothing to do|the service would run)' <<<"$plan"; then changes=no; fi

database=$(output database_identifier)
if [ "$changes" = yes ] && [ -n "$database" ]; then
    say "snapshot"
    snapshot="$database-$(date -u +%Y%m%d-%H%M%S)"
    aws rds create-db-snapshot --db-instance-identifier "$database" --db-snapshot-identifier "$snapshot" --query DBSnapshot.Status --output text
    aws rds wait db-snapshot-available --db-snapshot-identifier "$snapshot"
fi
if [ "$changes" = yes ]; then
    say "migration"
    "$here/one-off.sh" -e "ENTRYPOINT_MIGRATE=$migrate" -e ENTRYPOINT_INIT_ONLY=1 "$folder" "$new" "$service" ||
        stop 71 "the migration failed; services are as they were. docs/runbooks/stuck-migration.md"
fi

say "services"
ok=yes
if [ "$changes" = yes ]; then rollback=false; else rollback=true; fi
apply "$release" -var="rollback=$rollback" || ok=no

if [ "$ok" = yes ]; then
    say "smoke test"
    # A scheduler that has just started has not yet told the database so.
    "$here/one-off.sh" "$folder" "$new" python -c "
import json, time, urllib.request
url = 'http://$(output api_host):8080' + ('/health' if '$service' == 'webserver' else '/api/v2/monitor/health')
end = time.monotonic() + 120
while True:
    health = json.load(urllib.request.urlopen(url, timeout=20))
    wrong = [n for n in ('metadatabase', 'scheduler', 'dag_processor') if health[n]['status'] != 'healthy']
    if not wrong or time.monotonic() > end:
        break
    time.sleep(5)
print(health)
raise SystemExit(f'not healthy: {wrong}' if wrong else 0)" || ok=no
fi
if [ "$ok" = yes ]; then
    say "done"
    exit 0
fi

if [ "$changes" = yes ]; then
    stop 71 "failed after the schema was changed; the older release may not know it. docs/runbooks/stuck-migration.md"
fi
say "back to the release that ran"
apply "$previous" || stop 70 "failed, and the way back to the previous release failed too. docs/runbooks/service-healthy.md"
echo "deploy: failed, and the previous release runs again" >&2
exit 1
