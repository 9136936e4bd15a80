#!/bin/bash
# What Docker Hub's image does with its three variables.
set -euo pipefail
data=/var/lib/postgresql/data
as_postgres() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
# Debian has the programs below a directory of the version.
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
mkdir -p "$data"
chown postgres "$data"
chmod 700 "$data"
if [ ! -e "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    chown postgres /tmp/password
    as_postgres initdb --pgdata "$data" --username "$POSTGRES_USER" --auth scram-sha-256 --pwfile /tmp/password >/dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    as_postgres postgres --single -D "$data" postgres <<<"CREATE DATABASE $POSTGRES_DB" >/dev/null
fi
exec setpriv --reuid postgres --regid postgres --init-groups postgres -D "$data" -c listen_addresses='*'
