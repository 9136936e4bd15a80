#!/usr/bin/env bash
# Installs what a bare Debian lacks, and does nothing where it is all there.
#   ci/deps.sh build   to build and to run the demo
#   ci/deps.sh test    the tests and the bench too
#   ci/deps.sh images  what images need besides
#   ci/deps.sh stack   what a test of the laptop's stack needs besides
set -euo pipefail

missing=()
names=()
# need PACKAGES WHAT: called when WHAT was not found.
need() {
    read -ra packages <<<"$1"
    missing+=("${packages[@]}")
    names+=("$2")
}
have() { command -v "$1" >/dev/null 2>&1; }

# The programs are static, so libc.a has to be there and not only a compiler.
links_static() {
    have cc && echo 'int main(void) { return 0; }' | cc -static -x c -o /dev/null - 2>/dev/null
}

have make || need make make
links_static || need "gcc libc6-dev" "a C compiler with a static C library"
[ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates "certificates of authorities"
case "${1:-test}" in
build) ;;
test)
    have git || need git git
    # uv makes environments without the two modules.
    python3 -c 'import ensurepip, venv' 2>/dev/null || { have python3 && have uv; } ||
        need "python3 python3-venv" "Python with venv"
    have strace || need strace strace
    # The server's programs are not on the PATH in Debian. Its metapackage names the release's version.
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres ||
        need postgresql "PostgreSQL's server"
    have redis-server || need redis-server "Redis's server"
    ;;
images)
    # A daemon that answers may be elsewhere; without one there must be one to start.
    docker version >/dev/null 2>&1 || have dockerd || need docker.io Docker
    ;;
stack)
    docker version >/dev/null 2>&1 || have dockerd || need docker.io Docker
    docker compose version >/dev/null 2>&1 || have docker-compose || need docker-compose "docker compose"
    have debootstrap || need debootstrap debootstrap
    ;;
*)
    echo "deps: '$1' is none of build, test, images and stack" >&2
    exit 64
    ;;
esac

[ ${#missing[@]} -gt 0 ] || exit 0
list=$(printf '%s, ' "${names[@]}")
echo "deps: not found: ${list%, }" >&2
if ! have apt-get; then
    echo "deps: no apt-get here; install these with the system's own package manager" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif ! have sudo; then
    echo "deps: run as root: apt-get install ${missing[*]}" >&2
    exit 1
elif [ -t 0 ]; then
    as_root=(sudo)
else
    # Nobody is there to type a password.
    as_root=(sudo -n)
fi
echo "deps: installing ${missing[*]}" >&2
# Given by env, because sudo passes no variables on.
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q)
"${apt_get[@]}" update

# The tests start servers of their own. The packages' postinst would start the system's too and leave
# them running: this refuses it, and no cluster is made, for as long as the installation takes.
put_back=()
refuse_services() {
    local policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf
    if [ ! -e "$policy" ]; then
        put_back+=("$policy")
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    if [ ! -e "$cluster" ]; then
        "${as_root[@]}" mkdir -p "${cluster%/*}"
        echo 'create_main_cluster = false' | "${as_root[@]}" tee "$cluster" >/dev/null
    fi
}
allow_services() {
    [ ${#put_back[@]} -eq 0 ] || "${as_root[@]}" rm -f "${put_back[@]}"
}
case " ${missing[*]} " in
*" postgresql "* | *" redis-server "* | *" docker.io "*)
    trap allow_services EXIT
    refuse_services
    ;;
esac
"${apt_get[@]}" install -y --no-install-recommends "${missing[@]}"
