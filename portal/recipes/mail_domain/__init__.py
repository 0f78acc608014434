"""A domain that receives mail, in one action: Email Routing, records, Worker rule, mail domain, recipients, canary."""
