"""The callback in the OpenAPI document: the one request that Taskpost sends to its users."""

from __future__ import annotations

from typing import Any, Final

from api.web import schemas
from api.web.openapi import examples_of, header_parameter, schema_of

_DESCRIPTION: Final = """\
When a task with a `result_url` has ended, however it ended, its outcome is POSTed there: at least once, with the same
`webhook-id` and the same body at every attempt. `docs/callbacks.md` has the schedule of the attempts, and receivers to
copy.

**Signature.** By [Standard Webhooks](https://www.standardwebhooks.com): `v1,` and the HMAC-SHA256, in base64, over
`webhook-id`, `.`, `webhook-timestamp`, `.` and the body. Without signing keys in the settings there is none.
"""

WEBHOOKS: Final[dict[str, Any]] = {
    "taskEnded": {
        "post": {
            "tags": ["callbacks"],
            "operationId": "task_ended",
            "summary": "Receive the outcome of a task",
            "description": _DESCRIPTION,
            "parameters": [
                header_parameter(
                    "webhook-id",
                    "The same at every attempt: remember the ids you have dealt with.",
                    {"type": "string"},
                    f"msg_{schemas.EXAMPLE_ID}",
                    required=True,
                ),
                header_parameter(
                    "webhook-timestamp",
                    "When this attempt was made, in seconds since 1970. Refuse one that is more than 5 minutes old.",
                    {"type": "integer"},
                    1755595443,
                    required=True,
                ),
                header_parameter(
                    "webhook-signature",
                    "One for each signing key, separated by spaces: one that fits is enough.",
                    {"type": "string"},
                    "v1,+L3H4WY5/JAzSw1/W5jHeAn3C6opjWblZEv7qWas3rI=",
                ),
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": schema_of(schemas.Outcome),
                        "examples": examples_of("outcome", "failed"),
                    }
                },
            },
            "responses": {
                "2XX": {"description": "The outcome has arrived, and is not sent again."},
                "410": {"description": "The receiver is gone: there is no further attempt."},
                "default": {
                    "description": "Any other status, redirects included, and no answer: the outcome is sent again, "
                    "after longer and longer pauses. `Retry-After` with 429 or 503 makes a pause longer."
                },
            },
        }
    }
}
