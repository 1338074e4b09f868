"""The computations that acme offers."""

from collections import Counter
from typing import Any

from pydantic import Field

from runner import Fail, Progress, task_type
from runner.tasks.inputs import Integer, TaskInput


class WordCountInput(TaskInput):
    """A text, and how many of its words are wanted."""

    text: str = Field(max_length=100_000, description="The text whose words are counted")
    most: Integer = Field(default=10, ge=1, le=1000, description="How many words, the most frequent first")


@task_type("word_count", example={"text": "to be or not to be", "most": 2})
def word_count(task_input: WordCountInput, progress: Progress) -> dict[str, Any]:
    """Count the words of a text."""
    lines = task_input.text.splitlines()
    if not lines:
        raise Fail("no_text", "There is nothing to count in an empty text")
    counts: Counter[str] = Counter()
    for line in progress.track(lines):
        counts.update(line.lower().split())
    return {"words": counts.total(), "most": counts.most_common(task_input.most)}
