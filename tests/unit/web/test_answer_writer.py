"""The head of an answer goes with the beginning of its body."""

from __future__ import annotations

from api.web.exchange import AnswerWriter


def _written() -> tuple[AnswerWriter, list[bytes]]:
    sent: list[bytes] = []
    return AnswerWriter(sent.append), sent


def test_head_and_body_go_in_one_write() -> None:
    writer, sent = _written()
    writer.begin()
    writer.write(b"head ")
    assert sent == []
    writer.write(b"body")
    writer.write(b"more")
    assert sent == [b"head body", b"more"]


def test_head_alone_goes_at_flush_once() -> None:
    writer, sent = _written()
    writer.begin()
    writer.write(b"head")
    writer.flush()
    writer.flush()
    assert sent == [b"head"]


def test_large_body_is_not_copied() -> None:
    writer, sent = _written()
    body = b"x" * (AnswerWriter.JOINED_BYTES + 1)
    writer.begin()
    writer.write(b"head")
    writer.write(body)
    assert sent[0] == b"head"
    assert sent[1] is body


def test_write_between_answers_goes_at_once() -> None:
    writer, sent = _written()
    writer.write(b"HTTP/1.1 100 Continue")
    writer.begin()
    writer.flush()
    writer.write(b"closing answer")
    assert sent == [b"HTTP/1.1 100 Continue", b"closing answer"]
