"""The mail pipe: flat files, in the order a message meets them; docs/design/spool.md says what a crash leaves."""
