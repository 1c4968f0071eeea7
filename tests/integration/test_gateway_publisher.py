"""Outbox → publisher → a real Mosquitto → a server that answers with receipts. Nothing lost, nothing settled early."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import contract
from gateway.config import Settings, load_settings
from gateway.journal_rows import NewEntry
from gateway.outbox import Outbox
from gateway.publisher import Publisher
from tests.support.broker import Broker, mosquitto
from tests.support.clocks import HeldClock
from tests.support.receiving_server import eventually, receiving_server, until

GATEWAY = "gw-0123456789"
OFFLINE = contract.Status(state="offline", at=datetime(2026, 3, 2, tzinfo=UTC))


def reading(number: int, device: str = "bp-1") -> NewEntry:
    message_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{device}/{number}")
    envelope = contract.encode(
        contract.Reading(
            message_id=message_id,
            device=contract.DeviceRef(id=device),
            kind="blood-pressure",
            measured_at=datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC),
            received_at=datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC),
            components=(contract.WireComponent(metric="systolic", value=Decimal(128), unit="mm[Hg]"),),
            sequence_number=number,
        )
    )
    return NewEntry(message_id=str(message_id), device_id=device, memory="live", envelope=envelope)


def settings_for(broker: Broker, folder: Path, **more: object) -> Settings:
    return load_settings({"gateway_id": GATEWAY, "gateway_data": folder, "mqtt_url": broker.url, **more})


class Box:
    """A gateway without a radio: journal and publisher."""

    def __init__(self, settings: Settings) -> None:
        self.outbox = Outbox(settings.journal_path, clock=HeldClock())
        self.outbox.open()
        self.configs: list[bytes] = []
        self.publisher = Publisher(
            settings, self.outbox, will=lambda: contract.encode(OFFLINE), on_config=self.configs.append
        )
        self.session = 0

    async def file(self, *entries: NewEntry) -> None:
        if not self.session:
            self.session = await self.outbox.begin_session(device_id="bp-1", driver="test", home_zone="UTC")
        await self.outbox.file_readings(self.session, entries, [])

    async def settled(self, *, seconds: float = 30.0) -> None:
        await eventually(self.outbox.counts, lambda counts: counts.depth == 0, seconds=seconds)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Box]:
    box = Box(settings)
    task = asyncio.create_task(box.publisher.run())
    try:
        yield box
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await box.outbox.close()


async def test_one_reading_goes_out_alone_and_is_settled_by_its_receipt(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(reading(1))
            await box.settled()

            assert server.messages == [(f"vw/1/gw/{GATEWAY}/up/readings", reading(1).envelope)]
            assert (await box.outbox.counts()).stored == 1


async def test_backlog_goes_out_in_order_in_batches_within_the_bounds(tmp_path: Path) -> None:
    backlog = [reading(number) for number in range(1050)]
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(*backlog)
            await box.settled()

        assert server.heard == [entry.message_id for entry in backlog]
        assert all(len(payload) <= contract.MAX_PAYLOAD_BYTES for _, payload in server.messages)
        assert 11 <= len(server.messages) <= 20


async def test_acknowledgement_of_the_broker_settles_nothing(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        server.answer = lambda _reading: None
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(reading(1))
            await until(lambda: server.heard == [reading(1).message_id])
            await until(lambda: len(box.publisher._flights) == 1)

            counts = await box.outbox.counts()
            assert (counts.sent, counts.stored) == (1, 0)

            server.answer = lambda _reading: ""
            await box.settled()  # sent again by itself


async def test_rejected_reading_is_kept_and_not_sent_again(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        server.answer = lambda found: "unknown-device" if found.device.id == "bp-2" else ""
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(reading(1), reading(1, "bp-2"), reading(2))
            await box.settled()

            assert [(r.device_id, r.reason) for r in await box.outbox.rejected()] == [("bp-2", "unknown-device")]
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(reading(3))
            await box.settled()
            assert server.heard.count(reading(1, "bp-2").message_id) == 1


async def test_broker_killed_again_and_again_in_a_burst_loses_nothing(tmp_path: Path) -> None:
    total = 2000
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            for first in range(0, total, 400):
                await box.file(*(reading(number) for number in range(first, first + 400)))
                # Connections that break early are made again after 15 s, and half as much by chance.
                await until(lambda limit=first: len(server.committed) > limit, seconds=60)  # type: ignore[misc]
                broker.restart()
            await box.settled(seconds=60)

        assert len(server.committed) == total
        assert set(server.committed) == {reading(number).message_id for number in range(total)}


async def test_readings_taken_while_the_broker_is_away_survive_a_restart_of_the_gateway(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        broker.kill()
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(reading(1), reading(2))
            await until(lambda: box.publisher.trouble == "broker-unreachable")
            assert not box.publisher.is_connected
        broker.restart()
        with receiving_server(broker) as server:
            async with running(settings_for(broker, tmp_path / "gw")) as box:
                await box.settled()
            assert server.heard[:2] == [reading(1).message_id, reading(2).message_id]


async def test_denied_topic_and_wrong_password_are_told_and_lose_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("right\n", encoding="utf-8")
    access = {"mqtt_username": "someone-else", "mqtt_password_file": secret}
    with mosquitto(tmp_path, passwords={"someone-else": "right"}) as broker:
        async with running(settings_for(broker, tmp_path / "gw", **access)) as box:
            await box.file(reading(1))
            await until(lambda: box.publisher.warning == "publish-refused")
            assert (await box.outbox.counts()).depth == 1
        secret.write_text("wrong\n", encoding="utf-8")
        async with running(settings_for(broker, tmp_path / "gw", **access)) as box:
            await until(lambda: box.publisher.trouble == "broker-refused-credentials")
            assert (await box.outbox.counts()).depth == 1


async def test_nobody_listening_is_told(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await box.file(reading(1))
            await until(lambda: box.publisher.warning == "nobody-listens")
            assert (await box.outbox.counts()).depth == 1


async def test_second_box_with_the_same_identity_is_told(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await until(lambda: box.publisher.is_connected)
            async with running(settings_for(broker, tmp_path / "clone")) as clone:
                await until(
                    lambda: "connection-keeps-breaking" in {box.publisher.warning, clone.publisher.warning}, seconds=60
                )


async def test_last_will_says_offline_when_the_box_dies(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await until(lambda: box.publisher.is_connected)
            client = box.publisher._broker._client
            assert client is not None
            sock = client.socket()
            assert sock is not None
            sock.close()  # the box is gone without a word
            await until(lambda: [status.state for status in server.statuses] == ["offline"])


async def test_configuration_arrives_retained(tmp_path: Path) -> None:
    config = contract.Config(version=3, at=datetime(2026, 3, 2, tzinfo=UTC))
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        server.configure(GATEWAY, config)
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await until(lambda: len(box.configs) == 1)
            assert contract.decode_config(box.configs[0]) == config


@pytest.mark.parametrize("payload", [b"", b"{", b'{"schema":"vitalwire.receipt/9"}', b"\xff" * 100])
async def test_nonsense_on_the_receipt_topic_is_ignored(tmp_path: Path, payload: bytes) -> None:
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        async with running(settings_for(broker, tmp_path / "gw")) as box:
            await until(lambda: box.publisher.is_connected)
            server._client.publish(f"vw/1/gw/{GATEWAY}/down/receipts", payload, qos=1)
            await box.file(reading(1))
            await box.settled()


async def test_mqtt_3_1_1_serves_a_loopback_demo(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        async with running(settings_for(broker, tmp_path / "gw", mqtt_version="3.1.1")) as box:
            await box.file(reading(1))
            await box.settled()
        assert server.heard == [reading(1).message_id]
