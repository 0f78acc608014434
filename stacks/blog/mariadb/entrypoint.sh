#!/bin/bash
# Starts MariaDB. On an empty volume it makes the system tables first; at every start it sets the accounts from the secret files.
#
# The volume holds data/ when it is complete. A first start works in new/ and renames it at the end, so one that was killed half way begins
# again at nothing, and a data directory that exists is never initialised a second time.
#
# Accounts: root (only through the socket, as the container's root), homeport_admin (the databases room: makes databases wp_... and the accounts
# of sites, shows processes and slow queries), homeport_console (reads the sites' databases), homeport_write (the console's write mode),
# homeport_backup (reads everything, for dumps), homeport_restore (may do everything, for restores alone). Each site has an account of its own,
# which homeport_admin makes. A changed secret takes effect at the next start.
set -euo pipefail

volume=/var/lib/mysql
accounts=/run/mysqld/accounts.sql # a tmpfs; gone with the container
client=/run/mysqld/client.cnf     # what the health check logs in with
# shellcheck disable=SC2016 # those are SQL's
sites='`wp\_%`.*'                 # the databases of sites; \_ is an underscore and not any character

main() {
    umask 077
    [[ ${BLOG_DB_BUFFER_POOL-} =~ ^[0-9]{1,6}M$ ]] || fail "BLOG_DB_BUFFER_POOL is not a size such as 256M"
    make_data
    write_accounts > "$accounts"
    write_client > "$client"
    exec mariadbd --defaults-file=/etc/mysql/homeport.cnf --init-file="$accounts" --innodb-buffer-pool-size="$BLOG_DB_BUFFER_POOL"
}

make_data() {
    if [ -d "$volume/data" ]; then
        return
    fi
    echo "blog-db: the volume is empty, making the system tables" >&2
    rm -rf "$volume/new"
    mariadb-install-db --no-defaults --datadir="$volume/new" --auth-root-authentication-method=socket --skip-test-db > /dev/null
    sync -f "$volume/new"
    mv "$volume/new" "$volume/data"
    sync -f "$volume"
}

# The init file wants one statement on each line.
write_accounts() {
    echo "CREATE USER IF NOT EXISTS root@localhost;"
    echo "ALTER USER root@localhost IDENTIFIED VIA unix_socket;"
    account homeport_admin blog_db_admin_password
    account homeport_console blog_db_console_password
    account homeport_write blog_db_write_password
    account homeport_backup blog_db_backup_password
    account homeport_restore blog_db_restore_password
    # Whoever grants a right needs it. The sites' databases, nothing else: not mysql.*, so no account of another's can be changed by a table.
    echo "GRANT ALL PRIVILEGES ON $sites TO homeport_admin@'%' WITH GRANT OPTION;"
    echo "GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO homeport_admin@'%';"
    echo "GRANT SELECT ON mysql.* TO homeport_admin@'%';"
    echo "GRANT SELECT, SHOW VIEW ON $sites TO homeport_console@'%';"
    echo "GRANT SELECT, INSERT, UPDATE, DELETE ON $sites TO homeport_write@'%';"
    echo "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.* TO homeport_backup@'%';"
    echo "GRANT ALL PRIVILEGES ON *.* TO homeport_restore@'%' WITH GRANT OPTION;"
}

account() { # NAME SECRET
    local password
    password=$(secret "$2")
    echo "CREATE USER IF NOT EXISTS $1@'%';"
    echo "ALTER USER $1@'%' IDENTIFIED BY $(quoted "$password");"
}

write_client() {
    local password
    password=$(secret blog_db_console_password)
    password=${password//\\/\\\\}
    printf '[client]\nhost=127.0.0.1\nport=3306\nuser=homeport_console\npassword="%s"\n' "${password//\"/\\\"}"
}

secret() { # NAME: the one line that the file holds
    local value
    value=$(cat "/run/secrets/$1")
    if [ -z "$value" ] || [[ $value == *[[:cntrl:]]* ]]; then
        fail "the secret $1 is empty or more than one line"
    fi
    printf '%s' "$value"
}

quoted() { # TEXT as an SQL string
    local text=${1//\\/\\\\}
    printf "'%s'" "${text//\'/\'\'}"
}

fail() {
    echo "blog-db: $*" >&2
    exit 1
}

main
