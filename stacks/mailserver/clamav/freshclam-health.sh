#!/bin/sh
# Healthy: the signatures were compared with the mirror's within the last eight hours.
[ -n "$(find /var/lib/clamav -maxdepth 1 -name .checked -mmin -480)" ] && echo "signatures are current" && exit 0
echo "signatures have not been compared with the mirror's for more than eight hours" >&2
exit 1
