# A user has moved a message out of Junk. Into Trash says nothing about the message, nor does a copy from Junk to Junk.
require ["copy", "environment", "imapsieve", "vnd.dovecot.pipe"];

if not environment :is "imap.mailbox" ["Junk", "Trash"] {
    pipe :copy :try "rspamd-learn" ["ham"];
}
