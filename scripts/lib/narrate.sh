# shellcheck shell=bash
# Telling a story whose every claim is checked: what is asked, the command, the answer, what was expected.

CHECKS_PASSED=0
CHECKS_FAILED=0
STORY_CHAPTER=0

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

chapter() {
    STORY_CHAPTER=$((STORY_CHAPTER + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$STORY_CHAPTER" "$*" "$plain"
}

note() { printf '   %s\n' "$@"; }

# What people would type.
command_line() { printf '   %s$ %s%s\n' "$dim" "$*" "$plain"; }
# What came back, from stdin.
block() { sed 's/^/     /'; }

# verdict OK WHAT [EXPLANATION]: counts, and says so. OK is 0 or not.
verdict() {
    if [ "$1" -eq 0 ]; then
        CHECKS_PASSED=$((CHECKS_PASSED + 1))
        printf '   %sok%s    %s\n' "$green" "$plain" "$2"
    else
        CHECKS_FAILED=$((CHECKS_FAILED + 1))
        printf '   %sWRONG%s %s\n' "$red" "$plain" "$2"
        [ -z "${3:-}" ] || printf '         %s\n' "$3"
    fi
}

# answers EXPECTED COMMAND…: shows the command and its answer, which must contain EXPECTED (when that is
# empty, it is enough that the command succeeds).
# SHOWN, when set, is what to print for the command.
answers() {
    local expected=$1 answer status=0
    shift
    command_line "${SHOWN:-$*}"
    answer=$(timeout 20 "$@" 2>&1) || status=$?
    [ -z "$answer" ] || block <<<"$answer"
    if [ "$status" -eq 0 ] && [[ $answer == *"$expected"* ]]; then
        verdict 0 "${expected:-done}"
    else
        verdict 1 "expected ${expected:-success}" "exit status $status"
    fi
}

# is EXPECTED ACTUAL WHAT: one value that was measured.
is() {
    if [ "$1" = "$2" ]; then verdict 0 "$3: $2"; else verdict 1 "$3: $2" "expected $1"; fi
}

story_ends() {
    printf '\n%s%d checks passed, %d failed%s\n' "$bold" "$CHECKS_PASSED" "$CHECKS_FAILED" "$plain"
    [ "$CHECKS_FAILED" -eq 0 ] && [ "$CHECKS_PASSED" -gt 0 ]
}
