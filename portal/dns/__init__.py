"""The DNS room: zones and records, planned, applied and taken back; the tunnel's routes; what mail needs of DNS."""
