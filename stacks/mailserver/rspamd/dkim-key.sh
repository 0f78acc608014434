#!/bin/sh
# Make the key that signs a domain's mail (RSA, 2048 bits), unless there is one, and print the DNS record that publishes it.
#
#   docker compose exec mail-rspamd dkim-key example.org [SELECTOR]
#
# Rspamd finds a new key by itself. Publish the record before MAIL_DKIM=local is set.
set -eu
domain=${1:-}
selector=${2:-${MAIL_DKIM_SELECTOR:-homeport}}
case $domain in
    '' | .* | -* | *[!a-z0-9.-]*) echo "usage: dkim-key DOMAIN [SELECTOR], both of a-z, 0-9, - (and . in the domain)" >&2; exit 2 ;;
esac
case $selector in
    '' | *[!a-z0-9-]*) echo "dkim-key: the selector $selector is not of a-z, 0-9 and -" >&2; exit 2 ;;
esac
umask 077
key=/var/lib/dkim/$domain.$selector.key
record=/var/lib/dkim/$domain.$selector.txt
if [ ! -s "$key" ]; then
    new=$(mktemp -d /var/lib/dkim/.new.XXXXXX)
    trap 'rm -rf "$new"' EXIT
    rspamadm dkim_keygen --domain "$domain" --selector "$selector" --bits 2048 --privkey "$new/key" > "$new/record"
    mv "$new/record" "$record"
    ln "$new/key" "$key" 2> /dev/null || echo "dkim-key: another one was made at the same moment; run this again" >&2
fi
cat "$record"
