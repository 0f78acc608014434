# shellcheck shell=sh
# Puts the accounts together that Redis reads: nobody without a login, our own one, and the sites' as the portal rendered them.

password=/run/redis/password # drawn at each start

draw_password() {
    head -c 32 /dev/urandom | sha256sum | cut -d ' ' -f 1 > "$password"
}

accounts() { # current or candidate
    printf 'user default off resetpass resetkeys resetchannels -@all\n'
    printf 'user _homeport on #%s resetkeys resetchannels -@all +ping +acl|load\n' "$(tr -d '\n' < "$password" | sha256sum | cut -d ' ' -f 1)"
    file=/etc/homeport/web/$1/redis/users.acl
    if [ -e "$file" ]; then
        if grep -nvE '^user [a-z0-9][a-z0-9-]* ' "$file" || grep -nE '^user default ' "$file"; then
            echo "$file: this line is not the account of a site" >&2
            return 1
        fi
        cat "$file"
    fi
}

ask() { # COMMAND ...: as ourselves
    REDISCLI_AUTH=$(cat "$password") timeout 8 redis-cli -s /run/redis/redis.sock --user _homeport --no-auth-warning -e "$@"
}
