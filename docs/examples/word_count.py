"""A task type of one's own: `word_count`."""

from collections import Counter
from typing import Any

from pydantic import Field

from runner.tasks import Progress, task_type
from runner.tasks.inputs import Integer, TaskInput


class WordCountInput(TaskInput):
    """A text, and how many of its words are wanted."""

    text: str = Field(max_length=100_000, description="The text whose words are counted")
    most: Integer = Field(default=10, ge=1, le=1000, description="How many words, the most frequent first")


@task_type("word_count", example={"text": "to be or not to be", "most": 2})
def word_count(task_input: WordCountInput, progress: Progress) -> dict[str, Any]:
    """Count the words of a text."""
    counts: Counter[str] = Counter()
    lines = task_input.text.splitlines()
    for number, line in enumerate(lines, start=1):
        counts.update(line.lower().split())
        progress(100 * number / len(lines))
    return {"words": counts.total(), "most": counts.most_common(task_input.most)}
