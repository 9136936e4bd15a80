#!/usr/bin/env bash
# Pushes the images that `make images images-airflow` built, with an SBOM and a signature each, and writes the
# release file, which is all that a deployment and a rollback take.
#   release.sh REGISTRY VERSION s3://BUCKET/releases
set -euo pipefail

registry=${1:?release.sh REGISTRY VERSION S3_URI}
version=${2:?release.sh REGISTRY VERSION S3_URI}
place=${3:?release.sh REGISTRY VERSION S3_URI}
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
    syft scan --quiet "$digest" --output "spdx-json=$name.spdx.json"
    # Without a key: signed in the name of this workflow, by its token.
    cosign sign --yes "$digest"
    cosign attest --yes --type spdxjson --predicate "$name.spdx.json" "$digest"
    pairs+=("${name//-/_}=$digest")
done
python3 -c 'import json, sys; print(json.dumps({"release": dict(p.split("=", 1) for p in sys.argv[1:])}, indent=2))' \
    "${pairs[@]}" >"$version.tfvars.json"
cat "$version.tfvars.json"
aws s3 cp "$version.tfvars.json" "$place/$version.tfvars.json"
