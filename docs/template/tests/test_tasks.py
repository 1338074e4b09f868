"""Tests of acme's task types, in a service of their own: `pytest`."""


def test_words_are_counted(taskpost_service):
    outcome = taskpost_service.run("word_count", {"text": "to be or not to be", "most": 1})
    assert outcome.result == {"words": 6, "most": [["to", 2]]}


def test_an_empty_text_fails_with_a_code_of_ours(taskpost_service):
    outcome = taskpost_service.run("word_count", {"text": ""})
    assert (outcome.status, outcome.error.code) == ("failed", "no_text")


def test_the_checksum_is_that_of_the_input(taskpost_service):
    outcome = taskpost_service.run("checksum", {"text": "to be"})
    assert outcome.result == {"crc": 3777899594, "bytes": 16}
