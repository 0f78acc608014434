# Runs before every user's own script.
require ["duplicate", "fileinto", "index", "mailbox", "variables"];

# Looking at Junk makes it, and with it the home of a mailbox that has never received anything. Without a home Dovecot cannot lock the list of
# ids below (it logs an error, and two first copies at the same moment would both be shown).
if mailboxexists "Junk" {
    set "home" "is there";
}

# The ingress stamps each message it accepts with its own id, on top of everything. After an answer that was lost (RFC 1047) it delivers again
# with the same id; only the first copy is shown. Only the topmost field counts: those below were written by whoever sent the message.
# Dovecot remembers an id when the delivery has succeeded, so a mailbox that was full gets the message once there is room.
if header :index 1 :matches "X-Homeport-Id" "?*" {
    if duplicate :handle "homeport" :uniqueid "${1}${2}" :seconds 3024000 { # 35 days; the ledger keeps its rows for 30
        discard;
        stop;
    }
}

# The ingress removes every X-Spam field that a message came with, so this one is Rspamd's verdict.
if header :is "X-Spam" "Yes" {
    fileinto :create "Junk";
    stop;
}
