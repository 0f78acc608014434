#!/bin/bash
# Writes the part of the configuration that belongs to this host onto a tmpfs, then becomes Dovecot.
#
# A container reaches all ports of its neighbour on any network they share, so each listener is bound to the container's address on the
# networks that it is for. These addresses change; the network aliases of compose.yaml (mail-dovecot.lmtp and so on) find them at each start.
set -euo pipefail

main() {
    umask 077
    local password
    password=$(secret mail_db_dovecot_password)
    must_match MAIL_HOSTNAME '^[A-Za-z0-9.-]+$'
    must_match MAIL_DEFAULT_QUOTA '^[0-9]+[KMGT]?$'
    write_settings "$password" > /run/homeport/dovecot.conf
    printf 'Password: %s\n' "$(secret rspamd_controller_password)" > /run/homeport/rspamd.header
    exec dovecot -F
}

write_settings() { # PASSWORD
    local auth lmtp public webmail
    auth=$(address_on auth)
    lmtp=$(address_on lmtp)
    public=$(address_on public)
    webmail=$(address_on webmail)
    cat << SETTINGS
hostname = $MAIL_HOSTNAME
quota_storage_size = $MAIL_DEFAULT_QUOTA
mysql mail-db {
  port = 3306
  user = dovecot
  password = $(quoted "$1")
  dbname = mail
  connect_timeout = 3 secs
  connection_limit = 1
}
service lmtp {
  inet_listener lmtp {
    listen = $lmtp
  }
}
service auth {
  inet_listener postfix {
    listen = $auth
  }
}
service imap-login {
  inet_listener imaps {
    listen = $public $webmail
  }
}
service pop3-login {
  inet_listener pop3s {
    listen = $public
  }
}
service managesieve-login {
  inet_listener sieve {
    listen = $public $webmail
  }
}
SETTINGS
}

address_on() { # NETWORK: our own address there
    local address
    address=$(getent ahostsv4 "mail-dovecot.$1" | awk 'NR == 1 { print $1 }')
    if [ -z "$address" ]; then
        echo "mail-dovecot: no address under the network alias mail-dovecot.$1" >&2
        return 1
    fi
    printf '%s' "$address"
}

must_match() { # VARIABLE PATTERN
    if ! [[ ${!1:-} =~ $2 ]]; then
        echo "mail-dovecot: $1 is missing or not of the form $2" >&2
        exit 1
    fi
}

secret() { # NAME: the one line that the file holds
    local value
    value=$(cat "/run/secrets/$1")
    if [ -z "$value" ] || [[ $value == *[[:cntrl:]]* ]]; then
        echo "mail-dovecot: the secret $1 is empty or more than one line" >&2
        return 1
    fi
    printf '%s' "$value"
}

quoted() { # TEXT as a string of Dovecot's configuration, where %{...} would be a variable even inside quotes
    local text=${1//\\/\\\\}
    text=${text//%\{/%%\{}
    printf '"%s"' "${text//\"/\\\"}"
}

main
