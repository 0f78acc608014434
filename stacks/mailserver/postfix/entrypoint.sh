#!/bin/bash
# Copies the configuration onto a tmpfs, adds the part that belongs to this host, then becomes Postfix's master.
#
# A container reaches all ports of its neighbour on any network they share, so smtpd listens on three addresses only: that of the published
# ports, that of Roundcube's network and that of the sites'. The network aliases of compose.yaml (mail-postfix.public, .webmail, .submission)
# find them at each start.
set -euo pipefail

main() {
    local password key
    must_match MAIL_HOSTNAME '^[A-Za-z0-9.-]+$'
    must_match MAIL_DOMAINS '^[A-Za-z0-9., -]*$'
    must_match MAIL_RELAY_HOST '^[A-Za-z0-9.-]+$'
    must_match MAIL_RELAY_PORT '^[0-9]{1,5}$'
    must_match MAIL_RELAY_USER '^[^[:space:]:]+$'
    must_match MAIL_RELAY_CA_FILE '^/[^[:space:]]+$'
    password=$(secret mail_db_postfix_password)
    key=$(secret sendgrid_api_key)
    umask 077
    write_senders "$password" > /run/homeport/senders.cf
    chown root:postfix /run/homeport/senders.cf # proxymap reads it, and has given up root by then
    chmod 640 /run/homeport/senders.cf
    printf '[%s]:%s %s:%s\n' "$MAIL_RELAY_HOST" "$MAIL_RELAY_PORT" "$MAIL_RELAY_USER" "$key" > /run/homeport/relay.password
    umask 022
    cp -R /etc/postfix "$MAIL_CONFIG"
    write_settings >> "$MAIL_CONFIG/main.cf"
    postfix check
    exec postfix start-fg
}

write_settings() {
    local public webmail submission first_domain
    public=$(address_on public)
    webmail=$(address_on webmail)
    submission=$(address_on submission)
    first_domain=${MAIL_DOMAINS%%[, ]*}
    cat << SETTINGS
myhostname = $MAIL_HOSTNAME
# Bounces come from MAILER-DAEMON at the first of our own domains: the one that the relay knows as ours.
myorigin = ${first_domain:-$MAIL_HOSTNAME}
inet_interfaces = $public, $webmail, $submission
relayhost = [$MAIL_RELAY_HOST]:$MAIL_RELAY_PORT
smtp_tls_CAfile = $MAIL_RELAY_CA_FILE
SETTINGS
    if [ "$MAIL_RELAY_PORT" = 465 ]; then
        echo "smtp_tls_wrappermode = yes"
    fi
}

write_senders() { # PASSWORD
    cat << SETTINGS
hosts = inet:mail-db:3306
dbname = mail
user = postfix
password = $1
query = SELECT login FROM postfix_senders WHERE address = '%s'
option_group =
SETTINGS
}

address_on() { # NETWORK: our own address there
    local address
    address=$(getent ahostsv4 "mail-postfix.$1" | awk 'NR == 1 { print $1 }')
    if [ -z "$address" ]; then
        echo "mail-postfix: no address under the network alias mail-postfix.$1" >&2
        return 1
    fi
    printf '%s' "$address"
}

must_match() { # VARIABLE PATTERN
    if ! [[ ${!1-} =~ $2 ]]; then
        echo "mail-postfix: $1 is missing or not of the form $2" >&2
        exit 1
    fi
}

secret() { # NAME: the one line that the file holds
    local value
    value=$(cat "/run/secrets/$1")
    if [ -z "$value" ] || [[ $value == *[[:cntrl:]]* ]]; then
        echo "mail-postfix: the secret $1 is empty or more than one line" >&2
        return 1
    fi
    printf '%s' "$value"
}

main
