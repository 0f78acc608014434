"""A letter's whole way: workerd with the built Email Worker, `homeport mail`, a real Dovecot, and back by IMAP."""
