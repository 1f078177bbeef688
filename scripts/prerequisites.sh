#!/usr/bin/env bash
# Makes sure that what `make run` or `make test` needs is on this machine.
#
# usage: scripts/prerequisites.sh run|test
#
# Debian packages are installed when we are root (or may use sudo without a password); otherwise the
# one missing thing is named in one line with the command that brings it.
set -euo pipefail

purpose=${1:?usage: prerequisites.sh run|test}
packages=()

need() { # command, package
    command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

postgres_found() {
    command -v postgres >/dev/null 2>&1 || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}

venv_found() {
    # Debian ships python3 without ensurepip; `python3 -m venv` then fails half way.
    command -v python3 >/dev/null 2>&1 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

need cc gcc
need c++ g++
if [ "$purpose" = test ]; then
    postgres_found || packages+=(postgresql)
    venv_found || packages+=(python3-venv)
    need setpriv util-linux
fi

if [ ${#packages[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "silica: missing: ${packages[*]} (Debian package names); install them and run make again" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if sudo -n true 2>/dev/null; then
            as_root=(sudo)
        else
            echo "silica: missing packages, run: sudo apt-get install -y ${packages[*]}" >&2
            exit 1
        fi
    fi
    echo "silica: installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    # The cluster that Debian's package makes is not used: the tests start their own server.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "silica: cargo is missing, see https://rustup.rs" >&2
    exit 1
fi
if [ "$purpose" = test ]; then
    if ! command -v npm >/dev/null 2>&1; then
        echo "silica: node and npm are missing, run: apt-get install -y nodejs npm" >&2
        exit 1
    fi
    if ! cargo nextest --version >/dev/null 2>&1; then
        echo "silica: installing cargo-nextest (once per machine)"
        cargo install --locked cargo-nextest
    fi
fi
