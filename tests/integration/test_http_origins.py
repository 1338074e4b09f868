"""DNS rebinding, requests from other sites, framing: what a browser can be made to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.web.origins import HostRule
from tests.support.raw import connection, post
from tests.support.web import VALID, services_of, web_client

if TYPE_CHECKING:
    from api.queue.queue import Queue
    from tests.support.service import ServiceProcess

LOOPBACK = HostRule(loopback=True)
ID = "01a21244-d648-7000-ab85-19190c5f608e"
CHANGES = [
    ("POST", "/api/tasks", VALID, 202),
    ("POST", "/api/deliveries/redeliver", {}, 202),
    ("POST", f"/api/tasks/{ID}/redeliver", None, 404),
    ("DELETE", f"/api/tasks/{ID}", None, 404),
]


async def test_a_service_bound_to_loopback_answers_for_its_own_names(queue: Queue) -> None:
    async with web_client(services_of(queue, hosts=LOOPBACK)) as client:
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "127.8.8.8", "LOCALHOST."):
            assert (await client.get("/api/tasks", headers={"Host": host})).status_code == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""):
            for path in ("/api/tasks", "/livez", "/docs", "/nope"):
                response = await client.get(path, headers={"Host": host})
                assert (response.status_code, response.json()["code"]) == (421, "misdirected")
                assert "TASKPOST_ALLOWED_HOSTS" in response.json()["detail"]
        assert (await client.post("/api/tasks", json=VALID, headers={"Host": "evil.example"})).status_code == 421
        assert (await client.get("/api/tasks")).json() == []


async def test_the_host_of_an_absolute_target_counts(queue: Queue) -> None:
    async with web_client(services_of(queue, hosts=LOOPBACK)) as client:
        for target, status in (("http://evil.example/livez", 421), ("http://localhost:1/livez", 200)):
            async with connection(str(client.base_url)) as raw:
                await raw.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert (await raw.answer()).status == status


async def test_no_check_where_nothing_is_set(queue: Queue) -> None:
    """Kubernetes' probes call by the address of the pod."""
    async with web_client(services_of(queue)) as client:
        assert (await client.get("/livez", headers={"Host": "any.example"})).status_code == 200


async def test_the_service_takes_the_rule_from_its_settings(service: ServiceProcess) -> None:
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/livez", headers={"Host": "evil.example"})).status_code == 421


@pytest.mark.parametrize(("method", "path", "body", "status"), CHANGES)
async def test_pages_of_other_sites_change_nothing(
    queue: Queue, method: str, path: str, body: Any, status: int
) -> None:
    async with web_client(services_of(queue, cors_origins=("https://good.example",))) as client:

        async def send(**headers: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, json=body, headers=named)

        here = str(client.base_url).rstrip("/")
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "https://good.example:444"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site", "Origin": here},
        ):
            response = await send(**headers)
            assert (response.status_code, response.json()["code"]) == (403, "cross_site")
        for headers in (
            {},
            {"Origin": here},
            {"Origin": "https://good.example", "Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "none"},
            {"Sec_Fetch_Site": "same-origin", "Origin": "https://public.example"},
        ):
            assert (await send(**headers)).status_code == status


async def test_reading_is_not_changing(queue: Queue) -> None:
    async with web_client(services_of(queue)) as client:
        response = await client.get("/api/tasks", headers={"Origin": "https://evil.example"})
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


async def test_redeliver_checks_the_body_that_it_does_not_need(queue: Queue) -> None:
    path = f"/api/tasks/{ID}/redeliver"
    async with web_client(services_of(queue)) as client:
        for content, content_type, status in (
            (b"", None, 404),
            (b"{}", "application/json", 404),
            (b"", "application/json", 404),
            (b"", "text/plain", 415),
            (b"", "application/x-www-form-urlencoded", 404),
            (b"a=b", "application/x-www-form-urlencoded", 400),
            (b"{}", "application/x-www-form-urlencoded", 404),
            (b"{}", None, 404),
            (b"{}", "text/plain", 415),
            (b"{}", "multipart/form-data; boundary=x", 415),
            (b" " * (2**20 + 1), "application/json", 413),
        ):
            headers = {} if content_type is None else {"Content-Type": content_type}
            assert (await client.post(path, content=content, headers=headers)).status_code == status


async def test_a_fault_of_ours_carries_cors_too(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(queue, "submit", broken)
    async with web_client(services_of(queue, cors_origins=("https://a.example",))) as client:
        response = await client.post("/api/tasks", json=VALID, headers={"Origin": "https://a.example"})
        assert response.status_code == 500
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        async with connection(str(client.base_url)) as raw:
            await raw.send(post(), post())
            assert [(await raw.answer()).status for _ in range(2)] == [500, 500]


async def test_the_documentation_is_not_framed(queue: Queue) -> None:
    async with web_client(services_of(queue)) as client:
        page = await client.get("/docs")
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert page.headers["x-content-type-options"] == "nosniff"
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
            asset = await client.get(f"/docs/assets/{name}")
            assert asset.headers["x-content-type-options"] == "nosniff"
            assert asset.headers["content-type"].split("/")[0] == ("image" if name.endswith("png") else "text")
