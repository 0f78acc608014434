#!/bin/sh
# Healthy: our own account logs in and is answered.
set -eu
# shellcheck source=/dev/null
. /usr/local/share/homeport/accounts.sh
[ "$(ask PING)" = PONG ]
