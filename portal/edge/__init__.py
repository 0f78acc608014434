"""The edge at Cloudflare: the Email Worker, what it stands on, and what turns mail to it."""
