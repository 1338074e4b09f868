"""`python -m runner`: run the attempt that the environment names. In a pod a process beside it copies what it writes.

With `sidecar`: be the runner beside an attempt's program. With `keep`: be the parent of an attempt on one machine, and
the attempt itself in a child. With `describe`: tell of task types.
"""

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["describe"]:
        from runner.describe import main as describe

        sys.exit(describe(sys.argv[2:]))

    if sys.argv[1:2] == ["keep"]:
        from runner.keeper import main as keep

        exit_code = keep(sys.argv[2:])
    else:
        output = None
        if len(sys.argv) == 1 and os.environ.get("TASKPOST_COPY_OUTPUT"):
            from runner.copier import divide

            output = divide()

        from runner.signals import end_at_once_on_sigterm

        end_at_once_on_sigterm()

        if sys.argv[1:2] == ["sidecar"]:
            from runner.sidecar import main as accompany

            exit_code = accompany()
        else:
            from runner.execute import main as execute

            exit_code = execute(output)

    from runner.signals import end_soon

    end_soon(exit_code)
    sys.exit(exit_code)
