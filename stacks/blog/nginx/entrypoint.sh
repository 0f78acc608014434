#!/bin/sh
# Become nginx. Whoever comes by the network `edge` is the tunnel: the alias blog-nginx.edge finds our own address there, and so the network.
set -eu
address=$(getent ahostsv4 blog-nginx.edge | awk 'NR == 1 { print $1 }')
[ -n "$address" ] || { echo "blog-nginx: no address by the name blog-nginx.edge: is edge attached, with this alias?" >&2; exit 1; }
network=$(ip -4 -oneline route show scope link src "$address" | awk 'NR == 1 { print $1 }')
[ -n "$network" ] || { echo "blog-nginx: the network of $address is not to be found" >&2; exit 1; }
printf 'set_real_ip_from %s;\n' "$network" > /run/nginx/real-ip.conf
exec nginx -c /etc/homeport/nginx.conf -e /dev/stderr -g 'daemon off;'
