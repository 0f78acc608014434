#!/bin/bash
# Starts MariaDB. On an empty volume it makes the system tables first; at every start it sets the accounts from the secret files.
#
# The volume holds data/ when it is complete. A first start works in new/ and renames it at the end, so one that was killed half way begins
# again at nothing, and a data directory that exists is never initialised a second time.
#
# Accounts: root (only through the socket), mail_owner (owns the schema `mail`, may pass its rights on: mail-migrate grants the daemons their
# views), dovecot and postfix (nothing here), roundcube (its own database), homeport_backup (reads everything, for dumps), homeport_restore (may
# do everything, for restores alone: it makes scratch databases and an account for each load). A changed secret takes effect at the next start.
set -euo pipefail

volume=/var/lib/mysql
accounts=/run/mysqld/accounts.sql # a tmpfs; gone with the container
client=/run/mysqld/client.cnf     # what the health check logs in with

main() {
    umask 077
    make_data
    write_accounts > "$accounts"
    write_client > "$client"
    exec mariadbd --defaults-file=/etc/mysql/homeport.cnf --init-file="$accounts"
}

make_data() {
    if [ -d "$volume/data" ]; then
        return
    fi
    echo "mail-db: the volume is empty, making the system tables" >&2
    rm -rf "$volume/new"
    mariadb-install-db --no-defaults --datadir="$volume/new" --auth-root-authentication-method=socket --skip-test-db > /dev/null
    sync -f "$volume/new"
    mv "$volume/new" "$volume/data"
    sync -f "$volume"
}

# The init file wants one statement on each line.
write_accounts() {
    local password
    password=$(secret mail_db_root_password)
    echo "CREATE DATABASE IF NOT EXISTS mail CHARACTER SET utf8mb4;"
    echo "CREATE DATABASE IF NOT EXISTS roundcube CHARACTER SET utf8mb4;"
    echo "CREATE USER IF NOT EXISTS root@localhost;"
    echo "ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD($(quoted "$password"));"
    account mail_owner mail_db_owner_password
    account dovecot mail_db_dovecot_password
    account postfix mail_db_postfix_password
    account roundcube mail_db_roundcube_password
    account homeport_backup mail_db_backup_password
    account homeport_restore mail_db_restore_password
    echo "GRANT ALL PRIVILEGES ON mail.* TO mail_owner@'%' WITH GRANT OPTION;"
    echo "GRANT ALL PRIVILEGES ON roundcube.* TO roundcube@'%';"
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
    password=$(secret mail_db_owner_password)
    password=${password//\\/\\\\}
    printf '[client]\nhost=127.0.0.1\nport=3306\nuser=mail_owner\npassword="%s"\n' "${password//\"/\\\"}"
}

secret() { # NAME: the one line that the file holds
    local value
    value=$(cat "/run/secrets/$1")
    if [ -z "$value" ] || [[ $value == *[[:cntrl:]]* ]]; then
        echo "mail-db: the secret $1 is empty or more than one line" >&2
        return 1
    fi
    printf '%s' "$value"
}

quoted() { # TEXT as an SQL string
    local text=${1//\\/\\\\}
    printf "'%s'" "${text//\'/\'\'}"
}

main
