"""Which hosts a service answers for, and which pages may make a browser change something."""

from __future__ import annotations

import pytest

from api.web.origins import HostRule, refuses_sender

LOOPBACK = HostRule(loopback=True)
NAMED = HostRule(names=frozenset({"tasks.example.com", "*.apps.example.com"}))
LOOPBACK_HOSTS = [
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
    "127.0.0.1",
    "127.1.2.3:80",
    "[::1]",
    "[::1]:8000",
    "[0:0:0:0:0:0:0:1]",
]
OTHER_HOSTS = [
    "",
    ":80",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "0.0.0.0",
    "[::]",
    "[::2]",
    "[fe80::1]",
    "[::ffff:127.0.0.1]",
    "127.0.0.1:80:80",
    "localhost@evil.example",
    "2130706433",
    "127.1",
    "xlocalhost",
    "a.localhost",
]


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_names_of_loopback(host: str) -> None:
    assert LOOPBACK.allows(host)


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_names_are_not(host: str) -> None:
    assert not LOOPBACK.allows(host)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("tasks.example.com", True),
        ("TASKS.Example.com.:443", True),
        ("a.apps.example.com", True),
        ("a.b.apps.example.com", True),
        ("apps.example.com", False),
        ("x.tasks.example.com", False),
        ("evil.example", False),
        ("", False),
        ("10.1.2.3:8000", True),
        ("[fd00::1]:8000", True),
        ("localhost", True),
    ],
)
def test_the_names_of_the_settings(host: str, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Probes call by the address of the pod, which no page can have as its name."""
    assert NAMED.allows(host) is allowed


def test_names_besides_those_of_loopback() -> None:
    rule = HostRule(loopback=True, names=frozenset({"tasks.test"}))
    assert rule.allows("tasks.test")
    assert rule.allows("localhost")
    assert not rule.allows("10.0.0.1")


@pytest.mark.parametrize("rule", [HostRule(), HostRule(loopback=True, names=frozenset({"*"}))])
def test_nothing_to_check(rule: HostRule) -> None:
    assert rule.allows_all


@pytest.mark.parametrize(
    ("host", "origins", "sites", "refused"),
    [
        ("a:80", [], [], False),
        ("a", ["http://a"], [], False),
        ("a:80", ["http://a"], [], False),
        ("A.:80", ["http://a:80"], [], False),
        ("a", ["https://a"], [], False),
        ("[::1]:8000", ["http://[::1]:8000"], [], False),
        ("a", ["http://b"], [], True),
        ("a", ["http://a:8080"], [], True),
        ("a:8000", ["http://a"], [], True),
        ("a", ["http://sub.a"], [], True),
        ("a", ["null"], [], True),
        ("a", [""], [], True),
        ("a", ["http://a http://b"], [], True),
        ("a", ["http://a", "http://b"], [], True),
        ("", ["http://"], [], True),
        ("a", [], ["cross-site"], True),
        ("a", [], ["same-site"], True),
        ("a", [], ["nonsense"], True),
        ("a", [], ["none", "cross-site"], True),
        ("a", [], ["none"], False),
        ("a", [], ["same-origin"], False),
        ("upstream:8000", ["https://a"], ["same-origin"], False),
        ("a", ["null"], ["same-origin"], False),
        ("a", ["http://a"], ["cross-site"], True),
        ("a", ["https://good"], ["cross-site"], False),
        ("a", ["https://good"], [], False),
        ("a", ["https://good:444"], ["cross-site"], True),
    ],
)
def test_senders(host: str, origins: list[str], sites: list[str], refused: bool) -> None:  # noqa: FBT001 - a parameter
    assert refuses_sender(host, origins, sites, ("https://good",)) is refused
    assert not refuses_sender(host, origins[:1], sites[:1], ("*",)) or not origins
