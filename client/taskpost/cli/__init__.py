"""The command line `taskpost`: one module for each few verbs, loaded when asked for."""
