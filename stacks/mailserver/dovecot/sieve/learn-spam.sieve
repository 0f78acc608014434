# A user has moved a message into Junk. `:try`: moving works also while Rspamd does not.
require ["copy", "imapsieve", "vnd.dovecot.pipe"];

pipe :copy :try "rspamd-learn" ["spam"];
