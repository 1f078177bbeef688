#!/usr/bin/env bash
# Makes sure that what `make run` or `make test` needs is on this machine.
#
# usage: scripts/prerequisites.sh run|test
#
# Debian packages are installed when we are root (or may use sudo without a password); otherwise the
# one missing thing is named in one line with the command that brings it.
set -euo pipefail

purpose=${1:?usage: prerequisites.sh run|test}
manifest=$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml
node_at_least=20
packages=()

fail() {
    echo "silica: $*" >&2
    exit 1
}

need() { # command, package
    command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

# As scripts/postgres-for-tests.sh looks for them.
postgres_found() {
    local folder
    for folder in /usr/lib/postgresql/*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && return
    done
    command -v initdb >/dev/null 2>&1 && command -v pg_ctl >/dev/null 2>&1
}

# As crates/testkit/src/own_redis.rs looks for them.
redis_found() {
    command -v valkey-server >/dev/null 2>&1 || command -v redis-server >/dev/null 2>&1
}

venv_found() {
    # Debian ships python3 without ensurepip; `python3 -m venv` then fails half way.
    command -v python3 >/dev/null 2>&1 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

older() { # version, wanted version
    [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

need cc gcc
need c++ g++
if [ "$purpose" = test ]; then
    postgres_found || packages+=(postgresql)
    redis_found || packages+=(redis-server)
    venv_found || packages+=(python3-venv)
    need setpriv util-linux
fi

if [ ${#packages[@]} -gt 0 ]; then
    command -v apt-get >/dev/null 2>&1 ||
        fail "missing: ${packages[*]} (Debian package names); install them and run make again"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "missing packages, run: sudo apt-get install -y ${packages[*]}"
        as_root=(sudo)
    fi
    echo "silica: installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    # The cluster that Debian's package makes is not used: the tests start their own server.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

command -v cargo >/dev/null 2>&1 || fail "cargo is missing, see https://rustup.rs"
rust_at_least=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$manifest")
rust=$(cargo --version | cut -d ' ' -f 2)
older "${rust%%-*}" "$rust_at_least" &&
    fail "cargo is $rust, at least $rust_at_least is needed, run: rustup update"

if [ "$purpose" = test ]; then
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 ||
            fail "cargo $component is missing, run: rustup component add rustfmt clippy"
    done
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
        fail "node and npm are missing, run: apt-get install -y nodejs npm"
    node=$(node --version)
    node=${node#v}
    older "$node" "$node_at_least" &&
        fail "node is $node, at least $node_at_least is needed, see https://nodejs.org"
    if ! cargo nextest --version >/dev/null 2>&1; then
        echo "silica: installing cargo-nextest (once per machine)"
        cargo install --locked cargo-nextest
    fi
fi
exit 0
