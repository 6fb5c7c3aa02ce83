# Shared by scripts/isa-tests and scripts/arch-test; not a program.
# shellcheck shell=bash

# get_ready: builds what is needed; a folder for the rest.
get_ready() {
    has riscv64-unknown-elf-gcc || install gcc-riscv64-unknown-elf || exit 1
    need_build_tools
    cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p compiler -p replay
    compiler=$target/release/compiler replay=$target/release/replay
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    export HARTLOG_QUIET=1
}

# run NAME WANTED: all ways to execute $dir/elf, each of which has to end with the status wanted; then the trace checks.
# Their output is in $dir/WAY.out.
run() {
    local name=$1 wanted=$2 status way
    for way in interpreter fast trace compiled interpreted; do
        status=0
        case $way in
        interpreter) "$replay" interpret "$dir/elf" --trace "$dir/expected" --chunk-steps 100 ;;
        fast) "$compiler" "$dir/elf" --quiet --mode fast --link -o "$dir/fast" && "$dir/fast" ;;
        trace)
            "$compiler" "$dir/elf" --quiet --link -o "$dir/trace" &&
                HARTLOG_CHUNK_STEPS=100 HARTLOG_TRACE=$dir/found "$dir/trace"
            ;;
        *) wanted=0 && "$replay" check "$dir/found" --elf "$dir/elf" --engine "$way" ;;
        esac >"$dir/$way.out" 2>"$dir/$way.err" || status=$?
        [ $status = "$wanted" ] || {
            echo "$name: $way ends with $status" >&2
            return 1
        }
    done
    cmp -s "$dir/expected" "$dir/found" || {
        echo "$name: the trace is not the interpreter's" >&2
        return 1
    }
}
