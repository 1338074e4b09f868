"""The runner: the program in a task's Job or process. It computes, reports, and makes the first delivery try."""
