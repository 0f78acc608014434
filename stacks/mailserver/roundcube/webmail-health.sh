#!/bin/sh
# Healthy: the login page comes, through php-fpm and with a session from the database.
set -eu
curl --silent --show-error --fail --insecure --max-time 8 https://127.0.0.1:8443/ | grep -q 'id="rcmloginuser"' && echo "login page"
