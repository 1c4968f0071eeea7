"""Response headers every page carries.

Input: whether the site is served over TLS, and whether the body may be kept. Output: header pairs. Pure.
"""

from __future__ import annotations

from typing import Final

# No inline script or style and no foreign origin: an injected tag can load and send nothing.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
IMMUTABLE: Final = "public, max-age=31536000, immutable"


def security_headers(*, tls: bool) -> tuple[tuple[str, str], ...]:
    """HSTS only under TLS: on plain loopback it would lock a developer out of http://localhost."""
    common = (
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    )
    return (*common, ("strict-transport-security", "max-age=31536000; includeSubDomains")) if tls else common
