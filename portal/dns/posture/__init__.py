"""The posture of mail domains: what the world's resolvers say of MX, SPF, DKIM, DMARC, MTA-STS and TLS-RPT."""
