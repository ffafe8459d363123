# shellcheck shell=bash
# Background processes that end with the script that started them, by pid and never by name.

STARTED_PIDS=()

# start LOG COMMAND…: in the background. The pid is in STARTED. COMMAND must be a program, not a function,
# so that the pid is its own.
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    STARTED=$!
    STARTED_PIDS+=("$STARTED")
}

# stop PID [SIGNAL]: and wait for its end, five seconds at most, then by SIGKILL.
stop() {
    local pid=$1
    kill -s "${2:-TERM}" "$pid" || true
    within 5 ended "$pid" || kill -s KILL "$pid" || true
    wait "$pid" || true
} 2>/dev/null # bash says "Killed" when it reaps one

ended() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }

stop_all() {
    local pid
    for pid in "${STARTED_PIDS[@]}"; do kill -s TERM "$pid" 2>/dev/null || true; done
    for pid in "${STARTED_PIDS[@]}"; do stop "$pid"; done
    STARTED_PIDS=()
}

# within SECONDS COMMAND…: asks until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}
