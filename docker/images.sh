#!/usr/bin/env bash
# Puts the static programs of one architecture where the Dockerfiles find them, and builds the images.
#   docker/images.sh stage ARCHITECTURE DIRECTORY    amd64 or arm64, and the directory with the programs
#   docker/images.sh build ARCHITECTURE              trimtab/PROGRAM:VERSION and :latest
#   docker/images.sh build-airflow ARCHITECTURE      trimtab/airflow:VERSION and :latest
#   docker/images.sh test ARCHITECTURE               builds the small ones, and runs each
#   docker/images.sh test-stack ARCHITECTURE         builds all, on stand-ins, and runs compose.yaml
# TRIMTAB_REGISTRY stands in place of `trimtab`, TRIMTAB_SOURCE is the label of that name, AIRFLOW_IMAGE
# the image that Airflow's is made from.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=(s3sync queue-metrics entrypoint healthcheck)
staged=docker/staged

stage() {
    local architecture=$1 from=$2 machine program
    # The byte of an ELF header that names the machine: a program for another one fails only in a container.
    case "$architecture" in
    amd64) machine=62 ;;
    arm64) machine=183 ;;
    *)
        echo "images: '$architecture' is neither amd64 nor arm64" >&2
        exit 64
        ;;
    esac
    for program in "${programs[@]}"; do
        if [ ! -x "$from/$program" ]; then
            echo "images: $from/$program is not there: build it first" >&2
            exit 1
        fi
        if [ "$(od -An -tu1 -j18 -N1 "$from/$program" | tr -d ' ')" != "$machine" ]; then
            echo "images: $from/$program is not for $architecture" >&2
            exit 1
        fi
        install -D -m 0755 "$from/$program" "$staged/$architecture/$program"
    done
    directories
}

# Owner and mode are written into the archive, so that who runs this need not be root.
directories() {
    local empty archive=$staged/directories.tar
    empty=$(mktemp -d)
    mkdir -p "$empty/run/trimtab" "$empty/tmp"
    local tar=(tar --file "$archive" --format ustar --mtime @0 --numeric-owner --no-recursion --directory "$empty" --group 0)
    "${tar[@]}" --create --owner 0 --mode 0755 run
    "${tar[@]}" --append --owner 50000 --mode 0775 run/trimtab
    "${tar[@]}" --append --owner 50000 --mode 1777 tmp
    rm -r "$empty"
}

# image ARCHITECTURE NAME OPTIONS...: what docker is told for every image.
image() {
    local architecture=$1 name=${TRIMTAB_REGISTRY:-trimtab}/$2 version source=()
    shift 2
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    [ -z "${TRIMTAB_SOURCE:-}" ] || source=(--label "org.opencontainers.image.source=$TRIMTAB_SOURCE")
    docker build --quiet --platform "linux/$architecture" --build-arg "TARGETARCH=$architecture" \
        --build-arg "VERSION=$version" \
        --build-arg "REVISION=${TRIMTAB_COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}" \
        --build-arg "CREATED=$(git log -1 --format=%cI 2>/dev/null || date --utc --iso-8601=seconds)" \
        "${source[@]}" --tag "$name:$version" --tag "$name:latest" "$@" .
}

build() {
    local program
    for program in "${programs[@]}"; do
        image "$1" "$program" --file docker/Dockerfile --target "$program"
    done
    docker image ls --filter label=org.opencontainers.image.vendor=Trimtab
}

build-airflow() {
    local base=()
    [ -z "${AIRFLOW_IMAGE:-}" ] || base=(--build-arg "AIRFLOW_IMAGE=$AIRFLOW_IMAGE")
    image "$1" airflow --file docker/airflow/Dockerfile "${base[@]}"
}

test-images() {
    # The tests know no other names.
    TRIMTAB_REGISTRY='' build "$1"
    cargo test --locked -p images --test containers -- --ignored --nocapture
}

test-stack() {
    TRIMTAB_REGISTRY='' build "$1"
    TRIMTAB_ARCHITECTURE=$1 cargo test --locked -p images --test stack -- --ignored --nocapture
}

case "${1:-}" in
stage | build | build-airflow) "$@" ;;
test) test-images "$2" ;;
test-stack) test-stack "$2" ;;
*)
    sed -n '2,9s/^# //p' "$0" >&2
    exit 64
    ;;
esac
