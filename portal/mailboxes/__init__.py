"""Domains, mailboxes and aliases of the mail server: their schema, and `homeport mailboxes`.

The mail server's database is another one than the portal's, with a metadata and an Alembic environment of its own
(docs/adr/0019). Dovecot and Postfix read it through three views and nothing else:

    dovecot_users(username, password, quota_bytes)    active mailboxes of active domains; `dovecot` may read it
    dovecot_addresses(address, username)              every address that takes mail -> its mailbox; `dovecot`
    postfix_senders(address, login)                   which login may send as which address; `postfix`

The views are the contract, the tables are not. Addresses are ASCII and in lower case, and compared byte by byte: both
daemons lower what they look up.

A mailbox is disabled, never deleted: Dovecot files mail under the address, so a new owner of the address would find the
mail of the one before. Deleting comes with a command that puts the mail away first.
"""
