"""Pure parts of the security core: throttle, CSRF, sessions, targets, at and beside each limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.security import csrf, passwords, sessions, throttle
from server.web.routes.login import safe_target

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
LIMITS = sessions.SessionLimits()


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (4, 0), (5, 2), (6, 4), (7, 8), (13, 512), (14, 900), (500, 900)]
)
def test_wait_doubles_past_the_fifth_failure_and_ends_at_fifteen_minutes(failures: int, seconds: int) -> None:
    wait = throttle.wait_before_login(account_failures=[NOW] * failures, address_failures=[], now=NOW)

    assert wait == timedelta(seconds=seconds)


@pytest.mark.parametrize(("age", "left"), [(1, 1), (2, 0), (3, 0)])
def test_wait_runs_from_the_last_failure(age: int, left: int) -> None:
    failed = NOW - timedelta(seconds=age)

    wait = throttle.wait_before_login(account_failures=[failed] * 5, address_failures=[], now=NOW)

    assert wait == timedelta(seconds=left)


@pytest.mark.parametrize(("failures", "waits"), [(19, False), (20, True)])
def test_one_address_may_fail_more_often_than_one_account(failures: int, waits: bool) -> None:
    wait = throttle.wait_before_login(account_failures=[], address_failures=[NOW] * failures, now=NOW)

    assert bool(wait) is waits


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "null"}, None),
        ({"sec-fetch-site": "cross-site"}, "cross-site"),
        ({"sec-fetch-site": "same-site"}, "cross-site"),
        ({"sec-fetch-site": "none"}, "cross-site"),
        ({"origin": "https://ours.example", "host": "ours.example"}, None),
        ({"origin": "https://ours.example:8443", "host": "ours.example"}, "cross-site"),
        ({"origin": "https://evil.example", "host": "ours.example"}, "cross-site"),
        ({"origin": "null", "host": "ours.example"}, "cross-site"),
        ({"host": "ours.example"}, None),
    ],
)
def test_origin_of_an_unsafe_request(headers: dict[str, str], refusal: str | None) -> None:
    assert csrf.origin_refusal(headers) == refusal


@pytest.mark.parametrize(
    ("expected", "sent", "refusal"),
    [
        ("a", "a", None),
        ("a", "b", "token-wrong"),
        ("a", None, "token-missing"),
        ("a", "", "token-missing"),
        ("", "x", "token-wrong"),
    ],
)
def test_token_of_an_unsafe_request(expected: str, sent: str | None, refusal: str | None) -> None:
    assert csrf.token_refusal(expected=expected, sent=sent) == refusal


@pytest.mark.parametrize(("idle_seconds", "live"), [(899, True), (900, False), (901, False)])
def test_session_is_idle_for_fifteen_minutes(idle_seconds: int, live: bool) -> None:
    seen = NOW - timedelta(seconds=idle_seconds)

    assert (
        sessions.is_live(
            now=NOW, last_seen_at=seen, expires_at=NOW + timedelta(hours=1), revoked_at=None, limits=LIMITS
        )
        is live
    )


@pytest.mark.parametrize(("left_seconds", "live"), [(1, True), (0, False), (-1, False)])
def test_session_ends_at_its_absolute_limit_whatever_is_done(left_seconds: int, live: bool) -> None:
    ends = NOW + timedelta(seconds=left_seconds)

    assert sessions.is_live(now=NOW, last_seen_at=NOW, expires_at=ends, revoked_at=None, limits=LIMITS) is live


def test_session_id_is_256_bits_and_stored_only_as_a_hash() -> None:
    session_id = sessions.new_session_id()

    assert len(session_id) == 43  # 32 octets in unpadded base64
    assert session_id.encode() not in sessions.session_hash(session_id)


def test_argon2id_with_the_library_defaults() -> None:
    stored = passwords.hash_password("a long enough sentence")

    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.verify_password(stored, "a long enough sentence")
    assert not passwords.verify_password(stored, "another sentence")
    assert not passwords.verify_password(None, "a login that does not exist")
    assert not passwords.needs_rehash(stored)


def test_hash_of_older_parameters_is_to_be_renewed() -> None:
    old = "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzb21l$Nf5hcvpYlLNsSL4uvQ2xBA"

    assert passwords.needs_rehash(old)


@pytest.mark.parametrize(
    ("target", "safe"),
    [
        ("/worklist", "/worklist"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/login?next=/login", "/"),
        ("/a\r\nset-cookie: x", "/"),
        ("", "/"),
    ],
)
def test_log_in_leads_only_to_our_own_pages(target: str, safe: str) -> None:
    assert safe_target(target) == safe
