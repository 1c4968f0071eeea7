"""What one web process holds: settings, pools, assets, templates, the live hub. Made once by `create_app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from server.db.pool import AsyncConnection, Connection
from server.security.passwords import PasswordGate
from server.web.assets import Assets
from server.web.config import WebSettings
from server.web.sse import Hub


@dataclass(slots=True, kw_only=True)
class WebState:
    """Collaborators of the routes. The pools open with the app's lifespan."""

    settings: WebSettings
    now: Callable[[], datetime]
    assets: Assets
    templates: Environment
    passwords: PasswordGate
    pool: AsyncConnectionPool[AsyncConnection]
    alerts_pool: AsyncConnectionPool[AsyncConnection]
    hub: Hub
    # Blocking: months are read and adjudicated in a thread.
    billing_pool: ConnectionPool[Connection]
