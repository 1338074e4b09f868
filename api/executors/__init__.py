"""How an attempt is run: one interface, an executor for each kind of place."""
