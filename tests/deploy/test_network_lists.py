"""Where callbacks never go is one list: what the guard refuses, the NetworkPolicies leave out."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.delivery.guard import NEVER, Blocked, Policy, judge

ROOT = Path(__file__).parents[2]
NAT64 = int(IPv6Address("64:ff9b::"))
NETWORKS = [ip_network(network) for network, _ in NEVER]
FOUR = {network for network in NETWORKS if isinstance(network, IPv4Network)}
SIX = {network for network in NETWORKS if isinstance(network, IPv6Network)}
BEHIND_NAT64 = {IPv6Network((NAT64 + int(network.network_address), 96 + network.prefixlen)) for network in FOUR}


def left_out(peers: list[Any]) -> dict[str, set[Any]]:
    blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
    return {block["cidr"]: set(map(ip_network, block["except"])) for block in blocks}


def test_the_values_leave_out_what_the_guard_refuses() -> None:
    values = yaml.safe_load((ROOT / "helm/values.yaml").read_text())
    assert left_out(values["networkPolicy"]["callbacksTo"]) == {"0.0.0.0/0": FOUR, "::/0": SIX | BEHIND_NAT64}


@pytest.mark.parametrize("name", ["taskpost", "taskpost-tasks"])
def test_the_manifests_leave_out_the_same(name: str) -> None:
    policies = yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text())
    (policy,) = (one for one in policies if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == name)
    assert left_out(policy["spec"]["egress"][-1]["to"]) == {"0.0.0.0/0": FOUR, "::/0": SIX | BEHIND_NAT64}


@pytest.mark.parametrize("network", sorted(FOUR | SIX | BEHIND_NAT64, key=str), ids=str)
def test_the_guard_refuses_both_ends_of_each(network: Any) -> None:
    for address in (network[0], network[-1]):
        with pytest.raises(Blocked):
            judge(ip_address(str(address)), Policy(allow_loopback=True))
