#!/usr/bin/env bash
# In a GitHub workflow: a tool of a version and digest that the repository's variables name, and no other.
#   tool.sh terraform|tflint|syft|cosign VERSION@sha256:DIGEST
# DIGEST is that of the file which the publisher offers for this machine; docs/infra.md says where it is read.
set -euo pipefail

usage="tool.sh terraform|tflint|syft|cosign VERSION@sha256:DIGEST"
name=${1:?$usage}
pin=${2:?"$usage: the repository's variable of $name is not set"}
if ! [[ "$pin" =~ ^([0-9]+\.[0-9]+\.[0-9]+)@sha256:([0-9a-f]{64})$ ]]; then
    echo "tool: '$pin' is no VERSION@sha256:DIGEST, such as 1.2.3@sha256:…" >&2
    exit 64
fi
version=${BASH_REMATCH[1]} digest=${BASH_REMATCH[2]}
case "$(uname -m)" in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*)
    echo "tool: no $name for $(uname -m)" >&2
    exit 69
    ;;
esac
case "$name" in
terraform) url=https://releases.hashicorp.com/terraform/$version/terraform_${version}_linux_$machine.zip ;;
tflint) url=https://github.com/terraform-linters/tflint/releases/download/v$version/tflint_linux_$machine.zip ;;
syft) url=https://github.com/anchore/syft/releases/download/v$version/syft_${version}_linux_$machine.tar.gz ;;
cosign) url=https://github.com/sigstore/cosign/releases/download/v$version/cosign-linux-$machine ;;
*)
    echo "$usage" >&2
    exit 64
    ;;
esac

bin=${RUNNER_TEMP:?only in a workflow}/bin
mkdir -p "$bin"
file=$(mktemp -p "$RUNNER_TEMP")
curl --silent --show-error --fail --location --retry 3 --output "$file" "$url"
if ! sha256sum --check --quiet <<<"$digest  $file"; then
    rm "$file"
    echo "tool: $url is not what the repository's variable names: $digest" >&2
    exit 65
fi
case "$url" in
*.zip) python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])' "$file" "$name" "$bin" ;;
*.tar.gz) tar --extract --gzip --file "$file" --directory "$bin" "$name" ;;
*) cp "$file" "$bin/$name" ;;
esac
rm "$file"
chmod 755 "$bin/$name"
echo "$bin" >>"${GITHUB_PATH:?only in a workflow}"
