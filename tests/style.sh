#!/bin/sh
# Checks how comments in Rust files begin: with a noun or a verb that names the thing.
#
#   tests/style.sh            fails where a file has more bad beginnings than tests/style.baseline allows
#   tests/style.sh --update   lowers the baseline to what is there now; never raises it
#
# The first line of each comment block counts, for //!, /// and // alike. Comments behind code do not count.
# A file that is not in the baseline may have none. After a rename, change the path in the baseline by hand.
set -eu

cd "$(dirname "$0")/.."
words='It|That|Of|The same|Who|As|This|What|They|There|Its|Be'
baseline=tests/style.baseline

# Prints FILE:LINE:TEXT for each bad beginning.
beginnings() {
    find . \( -name target -o -name '.?*' \) -prune -o -name '*.rs' -type f -print | sed 's|^\./||' |
        LC_ALL=C sort | tr '\n' '\0' |
        xargs -0 awk -v words="^ *($words)([^A-Za-z0-9_]|\$)" '
            FNR == 1 { before = "" }
            {
                mark = ""
                if (match($0, /^[ \t]*\/\/[\/!]?/)) {
                    mark = substr($0, 1, RLENGTH)
                    gsub(/[ \t]/, "", mark)
                    text = substr($0, RLENGTH + 1)
                    if (mark != before && text ~ words) print FILENAME ":" FNR ":" text
                }
                before = mark
            }'
}

found=$(mktemp)
trap 'rm -f "$found" "$found.new"' EXIT
beginnings >"$found"
touch "$baseline"

case ${1-} in
--update)
    # A lower count replaces the old one, zero removes the line, and no line is ever added.
    awk -F: 'FILENAME == ARGV[1] { count[$1]++; next }
        { split($0, old, " "); now = count[old[1]] + 0
          if (now > old[2]) now = old[2]
          if (now > 0) print old[1], now }' "$found" "$baseline" >"$found.new"
    # Written to and not replaced, so that the file keeps its mode.
    cat "$found.new" >"$baseline"
    awk '{ sum += $2 } END { printf "%s: %d left in %d files\n", FILENAME, sum, NR }' "$baseline"
    ;;
'')
    awk -F: -v words="$words" -v quote="'" '
        FILENAME != ARGV[2] { split($0, old, " "); allowed[old[1]] = old[2]; next }
        { if (!count[$1]++) files[++seen] = $1
          lines[$1] = lines[$1] "  " $0 "\n" }
        END {
            gsub(/\|/, ", ", words)
            for (place = 1; place <= seen; place++) {
                file = files[place]
                if (count[file] <= allowed[file] + 0) continue
                bad++
                printf "%s: %d comments begin with a forbidden word, %d allowed\n%s", \
                    file, count[file], allowed[file] + 0, lines[file]
            }
            if (bad) {
                print "Begin a comment with a noun or a verb that names the thing, and not with " words "."
                print "CONTRIBUTING.md has the rule. An old comment that is mended makes room for none: --update."
                exit 1
            }
        }' "$baseline" "$found" >&2
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
