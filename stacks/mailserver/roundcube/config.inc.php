<?php
// Roundcube. What is not here is as in defaults.inc.php.

// nginx counts POST ?_task=login and says so in HOMEPORT_LOGIN. Roundcube would take a login in other forms of request as well: those
// would be uncounted, so there is no such login. It reads _action loosely ("login!" is login to it), but a password only here.
if (isset($_POST['_pass']) && ($_SERVER['HOMEPORT_LOGIN'] ?? '') !== 'counted') {
    http_response_code(400);
    exit;
}

$secret = static function (string $name): string {
    $value = @file_get_contents("/run/secrets/$name");
    if ($value === false || trim($value) === '') {
        throw new RuntimeException("the secret $name is missing or empty");
    }
    return trim($value);
};
$config = [];

$config['db_dsnw'] = 'mysql://roundcube:' . rawurlencode($secret('mail_db_roundcube_password')) . '@mail-db/roundcube';
$config['des_key'] = $secret('roundcube_des_key'); // 24 characters; roundcube.sh has checked

// The certificate names the host as people reach it, and it may be self-signed. On the network mail_webmail there are Dovecot, Postfix and
// this container alone; to verify, PHP would have to be given the directory in which the private key lies.
$unverified = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$config['imap_host'] = 'ssl://mail-dovecot.webmail:10993';
$config['imap_conn_options'] = $unverified;
$config['imap_timeout'] = 30; // after wrong passwords Dovecot lets whatever comes from this container wait, up to 17 s
$config['smtp_host'] = 'tls://mail-postfix.webmail:10587';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['smtp_conn_options'] = $unverified;
$config['smtp_timeout'] = 30;

$config['plugins'] = ['archive', 'managesieve', 'markasjunk'];
$config['skin'] = 'elastic';
$config['product_name'] = 'Homeport';
$config['language'] = null; // the browser's: Japanese, English and all others that Roundcube has
$config['timezone'] = 'auto';

$config['use_https'] = true; // the session's cookies are for HTTPS only
$config['session_samesite'] = 'Lax';
$config['session_lifetime'] = 30;
$config['x_frame_options'] = 'sameorigin';
$config['login_rate_limit'] = 5; // failures a minute of one account; nginx counts by address
$config['login_lc'] = 2;
$config['log_logins'] = true;
$config['log_driver'] = 'stdout';
$config['enable_installer'] = false;
$config['enable_spellcheck'] = false; // it would send what is written elsewhere
$config['show_images'] = 0; // remote pictures only when asked for, message by message
$config['prefer_html'] = true;
$config['mdn_requests'] = 2; // a sender's wish for a receipt is never followed by itself
$config['compose_save_localstorage'] = false; // no draft stays in the browser
$config['http_received_header'] = false;

$config['temp_dir'] = '/var/lib/roundcube/temp';
$config['max_message_size'] = '25M';
$config['drafts_mbox'] = 'Drafts';
$config['junk_mbox'] = 'Junk';
$config['sent_mbox'] = 'Sent';
$config['trash_mbox'] = 'Trash';
$config['archive_mbox'] = 'Archive';
$config['lock_special_folders'] = true;
$config['create_default_folders'] = false; // Dovecot makes them
