"""The retained configuration of each gateway, published from its rows.

Input: `gateway_config` and `device`. Output: one retained message for each gateway whose version this connection has
not published yet. Passkeys travel nowhere else.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from gateway.contract import Config, DeviceConfig, config_topic, encode
from server.db.pool import AsyncConnection

# One row a gateway: its version and the devices its gateway may read.
CONFIGURATION_SQL: Final = """
SELECT
    c.gateway_id,
    c.version,
    c.changed_at,
    c.prompts,
    coalesce(
        jsonb_agg(
            jsonb_build_object('id', d.id, 'kind', d.kind, 'address', d.address, 'name', d.local_name,
                'passkey', d.passkey, 'set_clock', d.set_clock)
            ORDER BY d.id
        ) FILTER (WHERE d.id IS NOT NULL),
        '[]'
    )
FROM gateway_config c
JOIN gateway g ON g.id = c.gateway_id
LEFT JOIN device d ON d.gateway_id = c.gateway_id
WHERE g.revoked_at IS NULL
GROUP BY c.gateway_id
ORDER BY c.gateway_id
"""


class Publisher(Protocol):
    """What is asked of the link. `published` belongs to one connection: a broker may forget what it retained."""

    published: dict[str, int]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool: ...


async def publish_configurations(conn: AsyncConnection, link: Publisher) -> int:
    """Publish what changed since this connection to the broker was made. Returns how many."""
    cursor = await conn.execute(CONFIGURATION_SQL)
    sent: list[str] = []
    for gateway_id, version, changed_at, prompts, devices in await cursor.fetchall():
        if link.published.get(gateway_id) == version:
            continue
        config = Config(
            version=version,
            at=changed_at,
            devices=msgspec.convert(tuple(devices), tuple[DeviceConfig, ...]),
            prompts=tuple(prompts),
        )
        if link.publish(config_topic(gateway_id), encode(config), retain=True):
            link.published[gateway_id] = version
            sent.append(gateway_id)
    if sent:
        await conn.execute(
            "UPDATE gateway_config SET published_at = clock_timestamp() WHERE gateway_id = ANY(%s)", (sent,)
        )
    return len(sent)
