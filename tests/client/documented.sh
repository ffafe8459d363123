#!/usr/bin/env bash
# documented.sh ROOT PAGE: whatever the library exports is declared in its header, and in its manual page, which
# man(1) reads without a complaint; so is every code that it returns, and every member of its structs.
set -euo pipefail
root=$1 page=$2
complaints=$(man --warnings -l "$page" 2>&1 >/dev/null)
[ -z "$complaints" ] || { echo "$page: $complaints" >&2; exit 1; }
text=$(MANWIDTH=120 man -l "$page")
header=$(gcc -fpreprocessed -E -P -x c "$root/include/sluice/sluice.h" 2>/dev/null) # without comments

missing=0
want() {
    grep -q -- "$1" <<<"$text" || { echo "$page does not have $1" >&2; missing=1; }
}
declared=$(grep -o '\bsluice_[a-z_]*(' <<<"$header" | tr -d '(' | LC_ALL=C sort)
exported=$(sed 's/@.*//' "$root/agent/client/libsluice.symbols")
diff -u <(echo "$exported") <(echo "$declared") || { echo "the header declares other functions" >&2; missing=1; }
for function in $exported; do want "$function("; done

codes=$(sed -n 's/^ *\(SLUICE_[A-Z]*\) = \([0-9]\),\{0,1\}$/\1 (\2)/p' <<<"$header")
[ "$(wc -l <<<"$codes")" -eq 6 ] || { echo "six codes, not: $codes" >&2; missing=1; }
while read -r code; do want "$code"; done <<<"$codes"

members=$(sed -n '/^struct sluice_[a-z]* {/,/^}/s/^ .*[ *]\([a-z_]*\)\(\[.*\]\)\{0,1\};$/\1/p' <<<"$header" | grep -v reserved)
[ "$(wc -l <<<"$members")" -eq 11 ] || { echo "eleven members, not: $members" >&2; missing=1; }
for member in $members; do want "\\b$member\\b"; done
echo "$(wc -l <<<"$exported") functions, $(wc -l <<<"$codes") codes, $(wc -l <<<"$members") members"
exit $missing
