#!/bin/sh
# Healthy: FPM answers, and if there is a generation, it is served.
set -eu
answer=$(REQUEST_METHOD=GET SCRIPT_NAME=/ping SCRIPT_FILENAME=/ping timeout 5 cgi-fcgi -bind -connect /run/homeport/health.sock)
case $answer in
    *pong*) ;;
    *) echo "php-fpm answered: $answer" >&2; exit 1 ;;
esac
[ ! -e /etc/homeport/web/current ] || /usr/local/bin/web-config served
