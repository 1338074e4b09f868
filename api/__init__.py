"""The service: HTTP in, attempts out."""
