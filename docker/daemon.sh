#!/usr/bin/env bash
# Runs a command with a Docker daemon: the one that answers, or one of its own, which ends with the
# command and whose images are gone then.
#   docker/daemon.sh make images
set -euo pipefail

if docker version >/dev/null 2>&1; then
    exec "$@"
fi
if ! command -v dockerd >/dev/null; then
    echo "daemon: no Docker daemon answers, and there is no dockerd to start: apt-get install docker.io" >&2
    exit 69
fi
if [ "$(id -u)" != 0 ]; then
    echo "daemon: no Docker daemon answers this user; only root can start one" >&2
    exit 77
fi

directory=$(mktemp -d)
daemon=
stop() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
    # The network namespace of the host's containers stays mounted when the daemon has ended.
    umount "$directory"/exec/netns/* 2>/dev/null || true
    rm -rf "$directory"
}
trap stop EXIT

# start DRIVER: nothing of the machine's network is touched, containers use the host's or none. A
# daemon that cannot run ends at once; its log says why.
start() {
    dockerd --host "unix://$directory/socket" --data-root "$directory/data" --exec-root "$directory/exec" \
        --pidfile "$directory/pid" --storage-driver "$1" --bridge none \
        --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >"$directory/log" 2>&1 &
    daemon=$!
    for _ in {1..150}; do
        if docker --host "unix://$directory/socket" version >/dev/null 2>&1; then
            return 0
        fi
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.2
    done
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" || true
    daemon=
    return 1
}

# overlay2 does not work on every file system, vfs works on all and copies each layer.
if ! start overlay2 && ! start vfs; then
    echo "daemon: a Docker daemon cannot run here; the end of its log:" >&2
    tail -n 5 "$directory/log" >&2
    exit 69
fi
# A command that is stopped must stop the daemon too, so it is no exec.
DOCKER_HOST="unix://$directory/socket" "$@"
