#!/bin/bash
# Makes the directories of the stack's bind mounts, each for the user of the one container that writes there. Runs to its end before anything
# else starts, at every `up`. What exists with the right owner is not touched; nothing is ever done below such a directory.
#
# /ssd and /hdd are ${HOMEPORT_SSD}/mailserver and ${HOMEPORT_HDD}/mailserver.
set -euo pipefail

while read -r directory uid gid mode; do
    if [ -L "$directory" ] || { [ -e "$directory" ] && [ ! -d "$directory" ]; }; then
        echo "mail-prepare: $directory is not a directory" >&2
        exit 1
    fi
    if [ ! -d "$directory" ]; then
        mkdir -m 700 "$directory"
    fi
    if [ "$(stat -c %u:%g "$directory")" != "$uid:$gid" ]; then
        chmod "$mode" "$directory"
        chown "$uid:$gid" "$directory"
        echo "mail-prepare: $directory is for $uid:$gid now"
    fi
done << 'TABLE'
/ssd/mariadb 999 999 0750
/ssd/mail-api 10001 10001 0750
/ssd/rspamd 11333 11333 0750
/ssd/dkim 11333 11333 0750
/ssd/valkey 6379 6379 0750
/ssd/clamav 3310 3310 0750
/ssd/postfix 0 5025 0750
/ssd/roundcube 33 33 0750
/hdd/vmail 5000 5000 0750
TABLE
