#!/bin/sh
# test: would Redis take the accounts of the candidate? reload: use those of the current generation. Run by the broker.
set -eu
# shellcheck source=/dev/null
. /usr/local/share/homeport/accounts.sh
umask 077

case ${1-} in
    test)
        trial=$(mktemp -d /tmp/accounts.XXXXXX)
        trap 'rm -rf "$trial"' EXIT
        accounts candidate > "$trial/users.acl"
        # A server of its own reads them: none else knows all the rules.
        redis-server --port 0 --unixsocket "$trial/socket" --save "" --dir "$trial" --aclfile "$trial/users.acl" > "$trial/said" 2>&1 &
        server=$!
        tries=100
        while [ ! -S "$trial/socket" ] && kill -0 "$server" 2> /dev/null && [ "$tries" -gt 0 ]; do
            sleep 0.1
            tries=$((tries - 1))
        done
        if [ ! -S "$trial/socket" ]; then
            cat "$trial/said" >&2
            exit 1
        fi
        kill -KILL "$server"
        ;;
    reload)
        accounts current > /run/redis/users.acl.new
        mv /run/redis/users.acl.new /run/redis/users.acl
        ask ACL LOAD
        ;;
    *)
        echo "usage: web-config test|reload" >&2
        exit 2
        ;;
esac
