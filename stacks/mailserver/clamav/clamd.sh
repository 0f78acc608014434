#!/bin/sh
# Become clamd as soon as there are signatures. On a new machine mail-freshclam is still fetching them; until then mail is queued.
set -eu
has_signatures() {
    for file in /var/lib/clamav/*.cvd /var/lib/clamav/*.cld /var/lib/clamav/*.ndb /var/lib/clamav/*.hdb; do
        [ -s "$file" ] && return 0
    done
    return 1
}
if ! has_signatures; then
    echo "mail-clamav: no signatures yet; waiting for mail-freshclam to fetch them"
    until has_signatures; do sleep 2; done
    echo "mail-clamav: signatures are there"
fi
exec clamd --config-file=/etc/homeport/clamd.conf
