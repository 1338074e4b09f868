"""Redis: one typed method for each Lua verb."""
