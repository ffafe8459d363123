# shellcheck shell=bash
# Two network namespaces joined by a cable: a client, and an edge server that answers for whole prefixes.
#
#   client 198.51.100.2 ── 198.51.100.1 edge    192.0.2.0/24 and 2001:db8::/32 are routed to the edge,
#   client fd51:1::2    ── fd51:1::1    edge    and no interface of the edge has any of those addresses.
#
# Commands enter a namespace by nsenter: `ip netns exec` would mount a new /sys, without the pins.

CLIENT=sluice-qs-client-$$
EDGE=sluice-qs-edge-$$

in_client() { nsenter --net="/run/netns/$CLIENT" "$@"; }
in_edge() { nsenter --net="/run/netns/$EDGE" "$@"; }

two_hosts_up() {
    ip netns add "$CLIENT"
    ip netns add "$EDGE"
    ip link add to-edge netns "$CLIENT" type veth peer name to-client netns "$EDGE"
    in_client ip link set lo up
    in_edge ip link set lo up
    in_client ip address add 198.51.100.2/24 dev to-edge
    in_edge ip address add 198.51.100.1/24 dev to-client
    in_client ip address add fd51:1::2/64 dev to-edge nodad
    in_edge ip address add fd51:1::1/64 dev to-client nodad
    in_client ip link set to-edge up
    in_edge ip link set to-client up

    in_client ip route add 192.0.2.0/24 via 198.51.100.1
    in_client ip route add 2001:db8::/32 via fd51:1::1
    # What makes the edge take the packets as its own. Without it the client would time out.
    in_edge ip route add local 192.0.2.0/24 dev lo
    in_edge ip route add local 2001:db8::/32 dev lo
}

two_hosts_down() {
    local name
    for name in "$CLIENT" "$EDGE"; do
        [ ! -e "/run/netns/$name" ] || ip netns delete "$name"
    done
}
