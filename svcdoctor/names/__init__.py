"""DNS: what CoreDNS is configured with, and what was answered."""
