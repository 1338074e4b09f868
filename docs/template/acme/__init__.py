"""Task types of acme."""
