<?php
/*
 * Make Roundcube's tables, or finish making them. What an update of Roundcube changes in them is updatedb.sh's matter (roundcube.sh).
 *
 * The version is the last row that Roundcube's own script writes. Tables without it are of an attempt that was interrupted: nobody has
 * ever logged in on them, so they are removed and made again. A lock in the server lets one container at a time do so.
 */

const TABLES = '/usr/share/roundcube/SQL/mysql.initial.sql';
const PATIENCE_S = 60;

function connect(string $password): PDO
{
    $until = microtime(true) + PATIENCE_S;
    for (;;) {
        try {
            return new PDO('mysql:host=mail-db;dbname=roundcube;charset=utf8mb4', 'roundcube', $password, [
                PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
                PDO::ATTR_TIMEOUT => 5,
            ]);
        } catch (PDOException $error) {
            if (microtime(true) > $until) {
                throw $error;
            }
            usleep(500_000);
        }
    }
}

$password = trim((string) file_get_contents('/run/secrets/mail_db_roundcube_password'));
try {
    $database = connect($password);
    if ($database->query("SELECT GET_LOCK('roundcube-schema', " . PATIENCE_S . ')')->fetchColumn() !== 1) {
        throw new RuntimeException('somebody else has been making the tables for too long');
    }
    $tables = $database->query('SHOW TABLES')->fetchAll(PDO::FETCH_COLUMN);
    $is_made = in_array('system', $tables, true)
        && $database->query("SELECT COUNT(*) FROM `system` WHERE name = 'roundcube-version'")->fetchColumn() > 0;
    if (!$is_made) {
        $database->exec('SET FOREIGN_KEY_CHECKS = 0');
        foreach ($tables as $table) {
            $database->exec('DROP TABLE `' . str_replace('`', '``', $table) . '`');
        }
        $database->exec('SET FOREIGN_KEY_CHECKS = 1');
        $made = $database->query((string) file_get_contents(TABLES));
        while ($made->nextRowset()) { // an error of a later statement is told only when its result is fetched
        }
        fwrite(STDERR, "mail-roundcube: the tables were made\n");
    }
} catch (Throwable $error) {
    fwrite(STDERR, 'mail-roundcube: the database cannot be used: ' . $error->getMessage() . "\n");
    exit(1);
}
