"""Domains, mailboxes and aliases of the mail server: their schema, and `homeport mailboxes`."""
