"""What the verbs of the service do, in one line each: `taskpost --help` shows them without importing the verbs."""

from __future__ import annotations

from typing import Final

DEMO: Final = "Run one task of each type, and show the signed callbacks."
SERVE: Final = "Run the service."
SIGNING_KEY: Final = "Print the key that receivers need."
