"""The floor of a submission: a bare FastAPI handler with one Lua round trip that writes. `argv[1]`: a Redis URL."""

from __future__ import annotations

import json
import socket
import sys
import uuid
from typing import Any

import redis.asyncio
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

SCRIPT = """
redis.call('HSET', KEYS[1], 'type', ARGV[1], 'input', ARGV[2], 'result_url', ARGV[3], 'priority', ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[4], KEYS[1])
return redis.call('ZCARD', KEYS[2])
"""


class Submission(BaseModel):
    """The fields of a submission."""

    result_url: str | None
    task_type: str
    task_input: Any = None
    priority: int = 0
    timeout_seconds: float = 0.0


def bare_application(client: redis.asyncio.Redis) -> FastAPI:
    app = FastAPI()
    loaded: list[str] = []

    @app.post("/api/tasks", status_code=202, response_model=None)
    async def submit(submission: Submission) -> dict[str, Any]:
        if not loaded:
            loaded.append(await client.script_load(SCRIPT))
        task_id, task_input = str(uuid.uuid4()), json.dumps(submission.task_input)
        arguments = (submission.task_type, task_input, submission.result_url or "", submission.priority)
        position = await client.evalsha(loaded[0], 2, f"floor:{task_id}", "floor", *arguments)
        return {"task_id": task_id, "task_type": submission.task_type, "queue_position": position}

    return app


def main() -> None:
    """Say the address in one line, then serve with the options of `api.commands.serve`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        app = bare_application(redis.asyncio.Redis.from_url(sys.argv[1]))
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
