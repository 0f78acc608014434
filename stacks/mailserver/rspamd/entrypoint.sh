#!/bin/sh
# Write what only the start knows into override.d, which lies on a tmpfs, then become Rspamd.
#
# Rspamd reads override.d last, so what stands there wins over local.d and Debian's defaults. It holds: the addresses to listen on,
# the controller's password, the limit of a sender, whether to sign, and the modules that RSPAMD_DISABLED_MODULES switches off.
set -eu
umask 077
override=/run/rspamd/override.d
mkdir -p "$override"

# A port is open only on the network that it is for: each network gives this container a name of its own.
address() {
    found=$(getent ahostsv4 "$1" | awk 'NR == 1 { print $1 }')
    [ -n "$found" ] || { echo "mail-rspamd: no address by the name $1: is the network attached, with this alias?" >&2; exit 1; }
    echo "$found"
}
scan=$(address mail-rspamd.scan)
learn=$(address mail-rspamd.learn)
milter=$(address mail-rspamd.milter)
echo "bind_socket = [\"127.0.0.1:11333\", \"$scan:11333\"];" > "$override/worker-normal.inc"
echo "bind_socket = \"$milter:11332\";" > "$override/worker-proxy.inc"

# Not hashed: rspamadm would take it on its command line, where everybody on the host can read it; here only this user can, who can
# read the secret itself as well.
password=$(cat /run/secrets/rspamd_controller_password)
case $password in
    '' | *[!A-Za-z0-9_-]*) echo "mail-rspamd: the secret rspamd_controller_password has to be of A-Z, a-z, 0-9, _ and -" >&2; exit 1 ;;
esac
printf 'bind_socket = "%s:11334";\npassword = "%s";\nenable_password = "%s";\n' "$learn" "$password" "$password" \
    > "$override/worker-controller.inc"

rate=${MAIL_SUBMISSION_RATE:-200}
case $rate in
    '' | 0 | *[!0-9]*) echo "mail-rspamd: MAIL_SUBMISSION_RATE=$rate is not a number of recipients an hour" >&2; exit 1 ;;
esac
printf 'rates { submission { selector = "user.lower"; bucket { burst = %s; rate = "%s / 1h"; message = "%s"; } } }\n' \
    "$rate" "$rate" "Too many recipients within an hour; try again later" > "$override/ratelimit.conf"

case ${MAIL_DKIM:-relay} in
    relay) echo 'enabled = false;' > "$override/dkim_signing.conf" ;; # whoever relays signs
    local)
        selector=${MAIL_DKIM_SELECTOR:-homeport}
        case $selector in
            '' | *[!a-z0-9-]*) echo "mail-rspamd: MAIL_DKIM_SELECTOR=$selector is not of a-z, 0-9 and -" >&2; exit 1 ;;
        esac
        # shellcheck disable=SC2016 # $domain is Rspamd's own variable
        printf 'path = "/var/lib/dkim/$domain.%s.key";\nselector = "%s";\n' "$selector" "$selector" > "$override/dkim_signing.conf"
        set -- /var/lib/dkim/*."$selector".key
        [ -e "$1" ] || echo "mail-rspamd: MAIL_DKIM=local, but there is no key yet: what goes out is not signed; make one by dkim-key DOMAIN" >&2
        ;;
    *) echo "mail-rspamd: MAIL_DKIM=$MAIL_DKIM is neither relay nor local" >&2; exit 1 ;;
esac

for module in ${RSPAMD_DISABLED_MODULES:-}; do
    case $module in
        *[!a-z0-9_]*) echo "mail-rspamd: RSPAMD_DISABLED_MODULES: $module is no module's name" >&2; exit 1 ;;
    esac
    echo 'enabled = false;' > "$override/$module.conf"
done

# Rspamd looks its database up once, while it reads its configuration; what it does not find then is off until its next start: no limit of
# a sender, no learning. When the whole machine starts, the two containers come in any order.
until getent ahostsv4 mail-valkey > /dev/null; do
    [ -n "${told:-}" ] || echo "mail-rspamd: waiting for mail-valkey, which is not up yet; until then mail is queued" >&2
    told=yes
    sleep 1
done

exec rspamd --no-fork
