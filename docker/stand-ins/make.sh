#!/usr/bin/env bash
# Makes images that stand in for those of Docker Hub, under their names, where only Debian's and PyPI's
# packages can be had: the stack of compose.yaml then runs from them. Root, debootstrap and some minutes.
#   docker/stand-ins/make.sh ARCHITECTURE MOTO AIRFLOW FLIT    the directories of three Python environments
set -euo pipefail
cd "$(dirname "$0")"

architecture=$1 moto=$2 airflow=$3 flit=$4
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A service's image as compose.yaml names it.
named() { sed -n "s|^ *image: \($1:.*\)|\1|p" ../compose.yaml | head -n 1; }

debian() {
    debootstrap --variant=minbase --include=python3,python3-venv,dumb-init,postgresql,redis-server \
        "$suite" "$work/debian" >"$work/log" || {
        tail -n 5 "$work/log" >&2
        exit 1
    }
    rm -rf "$work"/debian/var/{cache/apt/archives,lib/apt/lists}/* "$work"/debian/usr/share/{doc,man,locale}
    tar --directory "$work/debian" --numeric-owner --create . | docker import - "stand-in/debian:$suite"
}

# copy ENVIRONMENT PATH: so that its programs find its Python there, and without bytecode, as in Airflow's
# own image.
copy() {
    cp -a "$1" "$work/context/environment"
    find "$work/context/environment" -name __pycache__ -type d -prune -exec rm -rf {} +
    grep --recursive --files-with-matches --binary-files=without-match "$1" \
        "$work/context/environment"/{bin,pyvenv.cfg} | xargs sed -i "s#$1#$2#g"
    ln -sf /usr/bin/python3 "$work/context/environment/bin/python3"
    ln -sf python3 "$work/context/environment/bin/python"
}

# A container that is built here reaches no PyPI: what builds a package of ours lies in the image.
wheel() {
    local packages version
    packages=$(echo "$flit"/lib/python3*/site-packages)
    version=$(basename "$packages"/flit_core-*.dist-info .dist-info)
    find "$packages/flit_core" -name __pycache__ -type d -prune -exec rm -rf {} +
    mkdir "$work/context/wheels"
    (cd "$packages" && python3 -m zipfile --create "$work/context/wheels/$version-py3-none-any.whl" \
        flit_core "$version.dist-info")
}

docker image inspect "stand-in/debian:$suite" >/dev/null 2>&1 || debian
for image in postgres redis motoserver/moto apache/airflow; do
    name=$(basename "$image")
    rm -rf "$work/context"
    mkdir "$work/context"
    case "$name" in
    moto) copy "$moto" /opt/moto ;;
    airflow)
        copy "$airflow" /home/airflow/.local
        wheel
        ;;
    postgres) cp postgres.sh "$work/context/" ;;
    esac
    tag=$(named "$image")
    docker build --quiet --network none --platform "linux/$architecture" --build-arg "SUITE=$suite" \
        --file "$name.Dockerfile" --tag "${tag:-$image:stand-in}" "$work/context"
done
