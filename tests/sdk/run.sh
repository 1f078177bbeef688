#!/usr/bin/env bash
# Runs the real OpenAI packages for Python and Node against a started `silica` binary.
#
# usage: SILICA_BIN=target/debug/silica tests/sdk/run.sh [python|node]
#
# The server runs on free ports with an empty data folder and the models of this repository, and is
# stopped at the end. The packages are installed once and again when their lock files change.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
suite=${1:-all}
binary=${SILICA_BIN:-${CARGO_TARGET_DIR:-$repository/target}/debug/silica}
work=$(mktemp -d)
server=

fail() {
    echo "tests/sdk: $*" >&2
    exit 1
}

fail_with_log() {
    cat "$work/stderr" >&2
    fail "$@"
}

stop() {
    status=$?
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill "$server"
        wait "$server" || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT

# Runs the commands after the two arguments unless the file's checksum is the one of the last run.
once_per_version() { # file, stamp, command...
    local checksum
    checksum=$(sha256sum <"$1")
    [ -f "$2" ] && [ "$(cat "$2")" = "$checksum" ] && return
    "${@:3}"
    echo "$checksum" >"$2"
}

install_python() {
    rm -rf "$here/python/.venv"
    python3 -m venv "$here/python/.venv" || fail "python3-venv is missing; run: apt-get install -y python3-venv"
    "$here/python/.venv/bin/pip" install --quiet --requirement "$here/python/requirements.txt"
}

prepare() {
    [ -x "$binary" ] || fail "$binary is missing; run: cargo build --package silica-server"
    if [ "$suite" != node ]; then
        command -v python3 >/dev/null || fail "python3 is missing; run: apt-get install -y python3 python3-venv"
        once_per_version "$here/python/requirements.txt" "$here/python/.venv/requirements.sha256" install_python
    fi
    if [ "$suite" != python ]; then
        command -v npm >/dev/null || fail "node and npm are missing; run: apt-get install -y nodejs npm"
        once_per_version "$here/node/package-lock.json" "$here/node/node_modules/.package-lock.sha256" \
            npm ci --prefix "$here/node" --no-audit --no-fund --loglevel=error
    fi
}

start() {
    # The caller's own SILICA variables must not reach it.
    env -i PATH="$PATH" HOME="$HOME" SILICA__ADMIN__LISTEN=127.0.0.1:0 SILICA__MODELS__DIR="$repository/models" \
        "$binary" serve --data "$work/data" --listen 127.0.0.1:0 >"$work/stdout" 2>"$work/stderr" &
    server=$!
    # The terminal's last line comes when the models are loaded.
    for _ in $(seq 600); do
        grep -q '^Silica is ready on ' "$work/stdout" && break
        kill -0 "$server" 2>/dev/null || fail_with_log "the server did not start"
        sleep 0.1
    done
    SILICA_BASE_URL=$(sed -n 's/^Silica is ready on //p' "$work/stdout")
    [ -n "$SILICA_BASE_URL" ] || fail_with_log "the server was not ready within a minute"
    SILICA_API_KEY=$(grep -o 'sk-[a-z]\{48\}' "$work/stdout") || fail_with_log "the server printed no API key"
    SILICA_ADMIN_URL=$(sed -n 's/.*"admin":"\([^"]*\)".*/\1/p' "$work/data/addresses.json")
    SILICA_ADMIN_KEY=$(cat "$work/data/admin.key")
    [ -n "$SILICA_ADMIN_URL" ] || fail_with_log "the server wrote no admin address"
    export SILICA_BASE_URL SILICA_API_KEY SILICA_ADMIN_URL SILICA_ADMIN_KEY SILICA_MODEL=silica/tiny-chat
}

prepare
start
failed=0
if [ "$suite" != node ]; then
    (cd "$here/python" && .venv/bin/python -m pytest -q) || failed=1
fi
if [ "$suite" != python ]; then
    (cd "$here/node" && node --test --test-reporter=spec) || failed=1
fi
if [ $failed -ne 0 ]; then
    echo "--- the server's last log lines ---" >&2
    tail -n 20 "$work/stderr" >&2
fi
exit $failed
