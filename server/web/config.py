"""Settings of the web process. Input: the server's settings. Output: one frozen value, read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from server.security.sessions import SessionLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """`tls` says that browsers reach us over https (ours or a proxy's): it turns on Secure cookies and HSTS."""

    dsn: str
    tls: bool = False
    limits: SessionLimits = field(default_factory=SessionLimits)
    pool_size: int = 8
    alerts_pool_size: int = 2
    billing_pool_size: int = 2
    # JSON file, device id to control address, of running simulators; only a simulated practice's testers use it.
    sim_control: Path | None = None
