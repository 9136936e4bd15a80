#!/usr/bin/env bash
# In a GitHub workflow with `id-token: write`: credentials of ROLE for the steps that follow, by GitHub's
# signed token and without a stored key. The token goes to a file that the AWS CLI and Terraform read.
#   aws-login.sh ROLE_ARN REGION
set -euo pipefail

role=${1:?aws-login.sh ROLE_ARN REGION}
region=${2:?aws-login.sh ROLE_ARN REGION}
file="${RUNNER_TEMP:?only in a workflow}/aws-token"
umask 077
curl --silent --show-error --fail --retry 3 \
    --header "Authorization: bearer ${ACTIONS_ID_TOKEN_REQUEST_TOKEN:?the job needs id-token: write}" \
    "${ACTIONS_ID_TOKEN_REQUEST_URL}&audience=sts.amazonaws.com" |
    python3 -c 'import json, sys; sys.stdout.write(json.load(sys.stdin)["value"])' >"$file"
{
    echo "AWS_WEB_IDENTITY_TOKEN_FILE=$file"
    echo "AWS_ROLE_ARN=$role"
    echo "AWS_ROLE_SESSION_NAME=github-${GITHUB_RUN_ID:?}"
    echo "AWS_REGION=$region"
} >>"${GITHUB_ENV:?}"
