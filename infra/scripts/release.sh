#!/usr/bin/env bash
# Pushes the images that `make images images-airflow` built, with an SBOM and a signature each, and writes the
# release file, which is all that a deployment and a rollback take.
#   release.sh [--unsigned] REGISTRY VERSION s3://BUCKET/releases
# VERSION begins with v. --unsigned does without syft and cosign, for a trial from one's own machine.
set -euo pipefail

usage="release.sh [--unsigned] REGISTRY VERSION s3://BUCKET/releases"
signed=yes
if [ "${1:-}" = --unsigned ]; then
    signed=no
    shift
fi
registry=${1:?$usage}
version=${2:?$usage}
place=${3:?$usage}
# The repositories keep ten tags of this form.
if ! [[ "$version" =~ ^v[0-9A-Za-z._-]+$ ]]; then
    echo "release: '$version' does not begin with v: $usage" >&2
    exit 64
fi
here=$(cd "$(dirname "$0")" && pwd)
region=$(cut -d. -f4 <<<"$registry")
aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"

pairs=()
for name in airflow s3sync queue-metrics; do
    built=$(docker image ls --format '{{.Repository}}:{{.Tag}}' --filter "reference=$registry/$name" | head -n 1)
    if [ -z "$built" ]; then
        echo "release: no image $registry/$name: make images images-airflow" >&2
        exit 69
    fi
    docker tag "$built" "$registry/$name:$version"
    docker push --quiet "$registry/$name:$version"
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$registry/$name:$version" | grep "^$registry/$name@" | head -n 1)
    if [ "$signed" = yes ]; then
        syft scan --quiet "$digest" --output "spdx-json=$name.spdx.json"
        # Without a key: signed in the name of this workflow, by its token.
        cosign sign --yes "$digest"
        cosign attest --yes --type spdxjson --predicate "$name.spdx.json" "$digest"
    fi
    pairs+=("$name=$digest")
done
python3 -B "$here/release_file.py" write "${pairs[@]}" >"$version.tfvars.json"
cat "$version.tfvars.json"
aws s3 cp "$version.tfvars.json" "$place/$version.tfvars.json"
