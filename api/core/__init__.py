"""Pure decisions: what a task is, what may happen to it, and what an observation means. No I/O."""
