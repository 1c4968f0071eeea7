"""The brake: most readings refused, from several gateways, and enough of them to mean something."""

from __future__ import annotations

import pytest

from server.ingest.brake import RejectWindow

THREE = frozenset({"gw-a", "gw-b", "gw-c"})


@pytest.mark.parametrize(
    ("total", "rejected", "gateways", "expected"),
    [
        (200, 99, THREE, False),  # too few to say anything
        (200, 100, THREE, False),  # exactly half
        (200, 101, THREE, True),
        (1_000, 1_000, frozenset({"gw-a", "gw-b"}), False),  # two broken homes stop nobody
        (1_000, 1_000, frozenset({"gw-a", "gw-b", None}), False),
        (1_000, 1_000, THREE, True),
    ],
)
def test_brake_engages(total: int, rejected: int, gateways: frozenset[str | None], expected: bool) -> None:
    assert RejectWindow(0.5).record(total, rejected, gateways) is expected


def test_old_refusals_leave_the_window() -> None:
    window = RejectWindow(0.5)
    window.record(400, 150, THREE)

    results = [window.record(400, 0, frozenset()) for _ in range(4)]

    assert results == [False] * 4
    assert window.record(1_000, 501, THREE) is True
