#!/bin/sh
# Tells stories on every kind of server, one kind after the other, with a line of summary for each.
#
#   tests/matrix.sh [-s SERVER]... [FILTER]...
#
# SERVER is a name that `lab servers` lists (default: all of them). A FILTER is a part of a story's path, as
# `cargo test` takes it (default: all stories). What the stories print is in .lab/matrix-SERVER.log.
# The exit code is 1 where any story failed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
: "${RUST_TEST_THREADS:=2}"
export RUST_TEST_THREADS

main() {
    servers=
    while getopts s:h option; do
        case $option in
            s) servers="$servers $OPTARG" ;;
            *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        esac
    done
    shift $((OPTIND - 1))

    cd "$root"
    # Nothing is built twice where `make test` has built the same.
    cargo build --quiet --locked --workspace --all-targets
    if [ -z "$servers" ]; then
        servers=$("${CARGO_TARGET_DIR:-target}/debug/lab" servers | cut -d' ' -f1)
    fi
    failed=0
    for server in $servers; do
        tell "$server" "$@" || failed=1
    done
    return $failed
}

# Prints the summary of one kind of server.
tell() {
    server=$1 log=$root/.lab/matrix-$1.log begun=$(date +%s) code=0
    shift
    IDO_PROXY_LAB_SERVER=$server cargo test --locked --workspace --test stories -- "$@" \
        >"$log" 2>&1 || code=$?
    took=$(($(date +%s) - begun))
    verdict=$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]* passed; [0-9]* failed\).*/\1/p' "$log")
    printf '%-12s %s, %d s' "$server" "${verdict:-no story was told}" "$took"
    if [ $code != 0 ]; then
        printf ': see %s\n' "${log#"$root/"}"
        sed -n 's/^test \(.*\) \.\.\. FAILED$/    \1/p' "$log"
    else
        printf '\n'
    fi
    return $code
}

main "$@"
