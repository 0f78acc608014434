#!/bin/sh
# Become nginx, listening where ports are published and for the health check. SIGHUP reads a renewed certificate.
set -eu
address=$(getent ahostsv4 mail-webmail.public | awk 'NR == 1 { print $1 }')
[ -n "$address" ] || { echo "mail-webmail: no address by the name mail-webmail.public: is mailserver_network attached, with this alias?" >&2; exit 1; }
for file in fullchain.pem privkey.pem; do
    [ -r "/run/tls/$file" ] || { echo "mail-webmail: cannot read $file in MAIL_TLS_DIR; uid 33 has to be able to" >&2; exit 1; }
done
printf 'listen %s:8443 ssl;\nlisten 127.0.0.1:8443 ssl;\n' "$address" > /run/nginx/listen.conf
exec nginx -c /etc/homeport/nginx.conf -e /dev/stderr -g 'daemon off;'
