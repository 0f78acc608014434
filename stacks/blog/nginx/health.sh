#!/bin/sh
# Healthy: nginx answers, and if there is a generation, it is served.
set -eu
curl --silent --show-error --fail --max-time 5 http://127.0.0.1:8082/livez
[ ! -e /etc/homeport/web/current ] || /usr/local/bin/web-config served
