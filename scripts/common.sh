# Shared by the scripts beside it; not a program.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by those that source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

# usage SCRIPT: the comment at its start.
usage() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

# has PROGRAM ...: whether all are installed.
has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 || return 1
    done
}

# install PACKAGE ...: with apt-get where that is possible; else says so and fails.
install() {
    local sudo=()
    if ! has apt-get; then
        echo "not installed, there is no apt-get here: $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! { has sudo && sudo -n true; } 2>/dev/null; then
            echo "not installed, apt-get needs root: $*" >&2
            return 1
        fi
        sudo=(sudo -n)
    fi
    echo "installing: $*"
    # Old package lists often do: they are fetched anew only where they do not.
    if ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1; then
        "${sudo[@]}" apt-get update -q >/dev/null &&
            "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -q --no-install-recommends "$@" >/dev/null
    fi || {
        echo "apt-get could not install: $*" >&2
        return 1
    }
}

# need_build_tools: what cargo and the compiler call. Rust itself is not installed here.
need_build_tools() {
    if ! has cargo; then
        echo "cargo is not in PATH: install Rust 1.95 or later (https://rustup.rs)" >&2
        exit 1
    fi
    has cc || install gcc libc6-dev || exit 1
    has ld || install binutils || exit 1
}
