#!/bin/bash
# Healthy: submission greets (which it does while Rspamd's milter answers), and speaks TLS on both ports with our certificate.
set -euo pipefail
read -r _ _ address _ < <(grep '^inet_interfaces' "$MAIL_CONFIG/main.cf")
address=${address%,}

ask() { # URL
    curl --silent --ssl-reqd --insecure --max-time 8 --output /dev/null --request NOOP "$1"
}
ask "smtp://$address:10587/health"
ask "smtps://$address:10465/health"
