<?php
$config = [];
$config['managesieve_host'] = 'tls://mail-dovecot.webmail:14190';
$config['managesieve_conn_options'] = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]; // config.inc.php says why
// Nothing may be sent from a filter: Dovecot has no way out, and refuses such a script.
$config['managesieve_disabled_actions'] = ['redirect', 'redirect_copy', 'reject', 'ereject', 'vacation', 'notify'];
$config['managesieve_vacation'] = 0;
$config['managesieve_forward'] = 0;
$config['managesieve_raw_editor'] = false;
