#!/usr/bin/env bash
# Installs what building llama.cpp needs on Debian and Ubuntu: cmake, a C++ compiler, libclang (for
# bindgen). Does nothing when all is there.
#
# usage: bench/llama-cpp/install.sh
set -euo pipefail

has_libclang() {
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || ldconfig -p | grep -q libclang
}

if command -v cmake >/dev/null && command -v c++ >/dev/null && has_libclang; then
    exit 0
fi
command -v apt-get >/dev/null || {
    echo "bench/llama-cpp: install cmake, a C++ compiler and libclang, and run this again" >&2
    exit 1
}
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends build-essential cmake libclang-dev clang
