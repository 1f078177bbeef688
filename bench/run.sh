#!/usr/bin/env bash
# Measures the embedded engine through HTTP: silica/tiny-chat and a random-weight model of
# Qwen2.5-0.5B's shape, at 1, 4 and 16 streams. Prints the tables and keeps them in target/bench.
# See bench/README.md for the method.
#
# usage: bench/run.sh [tiny-chat] [qwen2.5-0.5b]
#        DTYPE=bf16 bench/run.sh qwen2.5-0.5b      keep the weights in bf16 instead of f32
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
results=$target/bench
silica=$target/release/silica
dtype=${DTYPE:-f32}
work=$(mktemp -d)
server=

stop_server() {
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill "$server"
        wait "$server" || true
    fi
    server=
}

finish() {
    status=$?
    stop_server
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# Starts a server on the models in a folder; sets base_url and SILICA_API_KEY.
start_server() { # models folder
    rm -rf "$work/data"
    SILICA__ADMIN__LISTEN=127.0.0.1:0 SILICA__MODELS__DIR="$1" SILICA__ENGINE__DTYPE="$dtype" \
        "$silica" serve --data "$work/data" --listen 127.0.0.1:0 >"$work/stdout" 2>"$work/stderr" &
    server=$!
    until grep -q '^Silica is ready on ' "$work/stdout"; do
        kill -0 "$server" 2>/dev/null || { cat "$work/stderr" >&2; exit 1; }
        sleep 0.2
    done
    base_url=$(sed -n 's/^Silica is ready on //p' "$work/stdout")
    SILICA_API_KEY=$(grep -o 'sk-[a-z]\{48\}' "$work/stdout")
    export SILICA_API_KEY
}

measure() { # name, models folder, arguments of silica bench chat...
    local name=$1
    start_server "$2"
    shift 2
    {
        echo "\`silica bench chat $* --probe\`, $dtype, $(nproc) cores"
        echo
        "$silica" bench chat --base-url "$base_url/v1" "$@" --probe
        echo
        awk '/^VmHWM/ { printf "Memory of the server at its peak: %d MB\n", $2 / 1000 }' "/proc/$server/status"
    } | tee "$results/$name-$dtype.md"
    echo
    stop_server
}

tiny_chat() {
    mkdir -p "$results/tiny-chat"
    ln -sfn "$PWD/models/tiny-chat" "$results/tiny-chat/tiny-chat"
    measure tiny-chat "$results/tiny-chat" --model silica/tiny-chat --requests 64
}

qwen() {
    local folder=$results/qwen/qwen2.5-0.5b
    [ -f "$folder/model.safetensors" ] || cargo run --release --locked --package xtask -- \
        random-model --shape qwen2.5-0.5b --out "$folder"
    # The id stands in the manifest that the generator writes.
    local model
    model=$(sed -n 's/^id = "\(.*\)"$/\1/p' "$folder/model.toml")
    measure qwen2.5-0.5b "$results/qwen" --model "$model" --requests 16 --max-tokens 64
}

mkdir -p "$results"
cargo build --release --locked --package silica-server
[ $# -gt 0 ] || set -- tiny-chat qwen2.5-0.5b
for name in "$@"; do
    case $name in
    tiny-chat) tiny_chat ;;
    qwen2.5-0.5b) qwen ;;
    *) echo "bench/run.sh: unknown model $name; known are tiny-chat and qwen2.5-0.5b" >&2; exit 1 ;;
    esac
done
