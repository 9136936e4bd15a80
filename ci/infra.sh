#!/usr/bin/env bash
# What CI checks of infra/. Terraform takes its providers from a stand-in that TFSCHEMA names, else from
# one that is kept beside the checkout; where it is missing, or Terraform is, what needs neither is checked.
set -euo pipefail
cd "$(dirname "$0")/.."

stand_in=${TFSCHEMA:-../shared/tfschema}
if command -v terraform >/dev/null && [ -d "$stand_in" ]; then
    TFSCHEMA=$stand_in make check-infra
else
    echo "no Terraform, or no stand-in for its providers at $stand_in: modules and plans are not checked here" >&2
    env -u TFSCHEMA make check-infra PARTS="checkov policies texts"
fi
