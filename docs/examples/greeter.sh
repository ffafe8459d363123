#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# greeter.sh SERVICE [RUN_DIR]: a service in shell whose socket systemd opened and passed on (LISTEN_FDS). As units:
#
#     # greeter.socket                       # greeter.service
#     [Socket]                               [Service]
#     ListenStream=127.0.0.1:9000            ExecStart=/usr/local/bin/greeter.sh www
#                                            [Install]
#                                            WantedBy=multi-user.target
#
# or by hand: systemd-socket-activate -l 127.0.0.1:9000 greeter.sh www
#
# systemd keeps the socket open while the service restarts, so it stays registered, and clients wait instead of
# being refused. Enable the service, not only the socket: until it has registered, nothing comes to wake it.
set -eu

if [ "$1" = --greet ]; then # one client, on standard input and output
    echo "$2 here, process $$"
    exit
fi
service=$1
run_dir=${2:-/run/sluice}

# The descriptors are for the process that LISTEN_PID names, so it must name sluicectl: `exec` keeps the
# process that this inner shell is. Without --fd it registers all that were passed.
# shellcheck disable=SC2016  # the inner shell's own process number
sh -c 'LISTEN_PID=$$ exec sluicectl --run-dir "$1" register "$2"' sh "$run_dir" "$service"

# Who serves takes the descriptors over: this process is still the one that LISTEN_PID names. Here it is a
# super-server, which starts a program for each connection; a real service does its accept(2) itself.
exec systemd-socket-activate --accept --inetd "$0" --greet "$service"
