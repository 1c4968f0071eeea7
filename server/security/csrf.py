"""Cross-site request forgery: an unsafe request must come from our own page and know the session's token.

Input: request headers and the token that was sent. Output: nothing, or the reason of the refusal. Pure.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_FIELD: Final = "csrf_token"
HEADER: Final = "x-csrf-token"

Refusal: TypeAlias = Literal["cross-site", "token-missing", "token-wrong"]


def new_token() -> str:
    return secrets.token_urlsafe(32)


def origin_refusal(headers: Mapping[str, str]) -> Refusal | None:
    """Judge where the request came from. Browsers say it themselves; a page cannot forge these two headers.

    `Sec-Fetch-Site` decides where it is sent; under our no-referrer policy `Origin` of our own forms is "null", so it
    counts only without the other. A request with neither is no browser's: the token alone decides.
    """
    fetch_site = headers.get("sec-fetch-site")
    if fetch_site is not None:
        return None if fetch_site == "same-origin" else "cross-site"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return "cross-site"
    return None


def token_refusal(*, expected: str, sent: str | None) -> Refusal | None:
    """Compare in constant time; an empty expectation never matches."""
    if not sent:
        return "token-missing"
    if not expected or not secrets.compare_digest(expected.encode(), sent.encode()):
        return "token-wrong"
    return None
