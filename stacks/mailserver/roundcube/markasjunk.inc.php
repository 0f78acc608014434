<?php
// The button only moves: Dovecot sees the message go into Junk, or out of it, and tells Rspamd.
$config = [];
$config['markasjunk_learning_driver'] = null;
$config['markasjunk_spam_mbox'] = 'Junk';
$config['markasjunk_ham_mbox'] = 'INBOX';
$config['markasjunk_move_spam'] = true;
$config['markasjunk_move_ham'] = true;
