"""The verbs that the service adds to the command line `taskpost`."""
