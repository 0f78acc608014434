#!/bin/sh
# Become Redis, with the accounts of the current generation.
set -eu
# shellcheck source=/dev/null
. /usr/local/share/homeport/accounts.sh
umask 077
draw_password
accounts current > /run/redis/users.acl
exec redis-server /etc/homeport/redis.conf --maxmemory "${BLOG_REDIS_CACHE:?}"
