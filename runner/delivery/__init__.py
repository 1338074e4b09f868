"""The callback: signing it, judging where it may go, and posting it. Used by the runner and by the service."""
