#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own:
#
#     scripts/postgres-for-tests.sh cargo nextest run
#
# The server lives in a temporary folder on a free port of 127.0.0.1, never syncs to disk, and is
# stopped and deleted when the command ends, and on SIGINT, SIGTERM and SIGHUP. SIGKILL cannot be
# handled: it leaves the server and /tmp/silica-postgres.* behind. The command finds its address in
# SILICA_TEST_POSTGRES_URL. Needs the `postgresql` package of Debian, nothing that runs already.
set -euo pipefail

fail() {
    echo "postgres-for-tests: $*" >&2
    exit 1
}

[ $# -gt 0 ] || fail "name the command to run"

# Debian keeps the server's programs out of PATH, in one folder for each version; take the newest.
find_programs() {
    local folder
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            echo "$folder"
            return
        fi
    done
    if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
        dirname "$(command -v initdb)"
    fi
}

programs=$(find_programs)
[ -n "$programs" ] || fail "no initdb and pg_ctl in /usr/lib/postgresql/*/bin or in PATH; install them with: apt-get install postgresql"

# initdb and postgres refuse to run as root.
drop_root=()
if [ "$(id -u)" = 0 ]; then
    user=
    for candidate in postgres nobody; do
        if id "$candidate" >/dev/null 2>&1; then
            user=$candidate
            break
        fi
    done
    [ -n "$user" ] || fail "running as root, and there is neither a user postgres nor a user nobody to run the server as"
    if command -v setpriv >/dev/null; then
        drop_root=(setpriv "--reuid=$(id -u "$user")" "--regid=$(id -g "$user")" --clear-groups)
    elif command -v runuser >/dev/null; then
        drop_root=(runuser -u "$user" --)
    else
        fail "running as root without setpriv or runuser; install them with: apt-get install util-linux"
    fi
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/silica-postgres.XXXXXX")

# The server's programs, as the user who owns the folder.
as_owner() {
    (cd "$folder" && exec env HOME="$folder" "${drop_root[@]}" "$@")
}

command=

stop() {
    local status=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [ -n "$command" ] && kill -0 "$command" 2>/dev/null; then
        kill -TERM "$command" 2>/dev/null || true
        wait "$command" 2>/dev/null || true
    fi
    as_owner "$programs/pg_ctl" --pgdata="$folder/data" --mode=immediate --wait stop >/dev/null 2>&1 || true
    rm -rf "$folder"
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && printf '%s' "$password" >"$folder/password")
if [ ${#drop_root[@]} -gt 0 ]; then
    # The temporary folder itself must be open to that user too, or initdb cannot reach its own.
    chown -R "$user" "$folder"
fi

as_owner "$programs/initdb" --pgdata="$folder/data" --username=silica --pwfile="$folder/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$folder/initdb.log" 2>&1 ||
    fail "initdb failed: $(tail -n 5 "$folder/initdb.log")"

# Nothing here must survive a crash, so nothing waits for the disk.
cat >>"$folder/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
shared_buffers = 64MB
CONF

# A port can be taken between looking and listening, so the server itself tries.
port=
for _ in 1 2 3 4 5 6 7 8 9 10; do
    candidate=$((20000 + (RANDOM * 32768 + RANDOM) % 40000))
    if as_owner "$programs/pg_ctl" --pgdata="$folder/data" --log="$folder/data/server.log" \
        --options="-p $candidate" --wait --timeout=60 start >/dev/null 2>&1; then
        port=$candidate
        break
    fi
done
[ -n "$port" ] || fail "the server does not start: $(tail -n 5 "$folder/data/server.log")"

export SILICA_TEST_POSTGRES_URL="postgres://silica:$password@127.0.0.1:$port/postgres"
# In the background, because bash runs traps only between foreground commands. It stays in the
# terminal's process group, so Ctrl-C reaches it too; bash would let it ignore that, and take its
# standard input, unless told otherwise.
(
    trap - INT QUIT
    exec "$@"
) <&0 &
command=$!
wait "$command"
