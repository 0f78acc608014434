#!/bin/sh
# Bring the tables up to date, then become php-fpm, on the network of nginx only.
set -eu
key=$(cat /run/secrets/roundcube_des_key)
[ "${#key}" -eq 24 ] || { echo "mail-roundcube: the secret roundcube_des_key has ${#key} characters; it needs 24" >&2; exit 1; }

php /usr/local/share/homeport/schema.php
/usr/share/roundcube/bin/updatedb.sh --dir=/usr/share/roundcube/SQL --package=roundcube

address=$(getent ahostsv4 mail-roundcube.php | awk 'NR == 1 { print $1 }')
[ -n "$address" ] || { echo "mail-roundcube: no address by the name mail-roundcube.php: is mail_php attached, with this alias?" >&2; exit 1; }
export HOMEPORT_FPM_LISTEN="$address:9000"
exec php-fpm8.4 --nodaemonize --fpm-config /etc/php/8.4/fpm/php-fpm.conf
