#!/bin/bash
# Healthy: LMTP takes a recipient, which asks the database, and IMAP's login process answers over TLS.
set -euo pipefail
settings=/run/homeport/dovecot.conf

lmtp=$(awk '$1 == "inet_listener" { name = $2 } name == "lmtp" && $1 == "listen" { print $3 }' "$settings")
imaps=$(awk '$1 == "inet_listener" { name = $2 } name == "imaps" && $1 == "listen" { print $3 }' "$settings")

exec 3<> "/dev/tcp/$lmtp/2424"
say() { # LINE EXPECTED-CODE; an empty line only listens
    local reply
    if [ -n "$1" ]; then
        printf '%s\r\n' "$1" >&3
    fi
    while IFS= read -r -t 5 -u 3 reply; do
        if [[ $reply == ???" "* ]]; then
            [[ $reply == "$2"* ]]
            return
        fi
    done
    return 1
}
say '' 220
say 'LHLO health' 250
say 'MAIL FROM:<>' 250
say 'RCPT TO:<sentinel@homeport.invalid>' 250
say 'QUIT' 221

curl --silent --insecure --max-time 5 --output /dev/null --request CAPABILITY "imaps://$imaps:10993/"
