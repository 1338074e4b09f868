"""U12: what a callback's URL may look like."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.web.result_url import masked, refusal
from runner.delivery.address import literal_address
from runner.delivery.guard import Policy

OPEN, CLOSED = Policy(allow_loopback=True), Policy(allow_loopback=False)

GOOD = [
    "http://example.com",
    "https://example.com/",
    "HTTPS://Example.COM/a/b?c=d&e=%20#f",
    "http://example.com.:8080/x",
    "http://release-redis:6379/",
    "http://my_service.default.svc.cluster.local/a;b=c,d/(e)'!*$@:+",
    "http://bücher.example/",
    "http://xn--bcher-kva.example:65535",
    "http://10.0.0.1/",
    "http://[2001:db8::1]:8080/x",
    "http://user:pass@h/",
    "http://token@h/?",
    "http://user:p%40ss@h:1?x",
    "http://" + ".".join(["a" * 63] * 3) + "/",
    "http://h/" + "x" * (2048 - len("http://h/")),
]
BAD = [
    "http://....127.0.0.1:8082/",
    f"http://{'a' * 64}.com/",
    f"http://{'ü' * 64}.com/",
    "http://" + ".".join(["a" * 63] * 4) + "/",
    "http:www.google.com",
    "http:/h/",
    "http:///x",
    "http://",
    "//h/",
    "h",
    "http://h:0/",
    "http://h:00/",
    "http://h:99999/",
    "http://h:65536/",
    "http://h:-1/",
    "http://h:+1/",
    "http://h:1.0/",
    "http://h:/",
    "http://h:\uff18\uff10/",
    "file:///etc/passwd",
    "ftp://h/",
    "unix:/x",
    "http+unix://%2Frun/x",
    "javascript:alert(1)",
    "",
    " http://x",
    "http://x ",
    "http://x y/",
    "http://h/a b",
    "http://h/\r\nX: y",
    "http://h\r\n/",
    "http://h/\x00",
    "http://h/é",
    "http://h\\@evil/",
    "http://h/\\x",
    "http://a@b@c/",
    "http://h/%",
    "http://h/%zz",
    "http://%6c/",
    'http://h/"',
    "http://h/{x}",
    "http://-a.com/",
    "http://a-.com/",
    "http://a..b/",
    "http://./",
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://h.0x7f/",
    "http://[::1/",
    "http://[::g]/",
    "http://[1.2.3.4]x/",
    "http://[fe80::1%25eth0]/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://a\u200db.example/",
    "http://ex ample.com/",
    "http://h/" + "x" * 10_000,
]
LOOPBACK = [
    "http://localhost",
    "http://LOCALHOST:8000/",
    "http://localhost./",
    "http://a.b.localhost/x",
    "http://127.0.0.1:8000/",
    "http://127.0.0.1./",
    "http://127.255.255.254/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7F.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://user:pass@127.0.0.1/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]:80/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://127。0。0。1/",
]


@pytest.mark.parametrize("url", GOOD)
def test_u12_good(url: str) -> None:
    assert refusal(url, CLOSED) is None


@pytest.mark.parametrize("url", BAD)
def test_u12_bad(url: str) -> None:
    why = refusal(url, OPEN)
    assert why
    assert why.isprintable()


@pytest.mark.parametrize("url", LOOPBACK)
def test_loopback_in_any_spelling_is_the_settings_business(url: str) -> None:
    assert refusal(url, OPEN) is None
    assert "not allowed" in (refusal(url, CLOSED) or "")


@given(st.text() | st.text().map("http://{}/".format) | st.text().map("http://h/{}".format))
def test_u12_no_text_raises(url: str) -> None:
    why = refusal(url, CLOSED)
    assert why is None or why


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/a@b:c@d", "http://h/a@b:c@d"),
        ("https://h/", "https://h/"),
        ("https://user:pass@h/x@y", "https://user:***@h/x@y"),
        ("https://user:@h/", "https://user:***@h/"),
        ("https://:pass@h/", "https://:***@h/"),
        ("https://token@h/", "https://***@h/"),
        ("https://u:a:b@h/?q=//x:y@z", "https://u:***@h/?q=//x:y@z"),
        ("http://h/?u=http://a:b@c/", "http://h/?u=http://a:b@c/"),
    ],
)
def test_credentials_are_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4.", "1.2.3.4"),
        ("1.2.772", "1.2.3.4"),
        ("0x1.0x2.0x304", "1.2.3.4"),
        ("01.02.01404", "1.2.3.4"),
        ("16909060", "1.2.3.4"),
        ("::1", "::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_literal_addresses(host: str, address: str) -> None:
    assert literal_address(host) == ip_address(address)


@pytest.mark.parametrize(
    "host", ["", ".", "example.com", "face", "1.2.3.4.5", "256.0.0.0", "1 .2", "1.2.3.4 x", "[::g]", "09"]
)
def test_names_are_no_addresses(host: str) -> None:
    assert literal_address(host) is None
