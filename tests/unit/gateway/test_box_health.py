"""What the box says of itself and of its devices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from device_drivers.driver import SessionPolicy, SessionWarning, Urgency
from gateway import contract
from gateway.context import Notes
from gateway.health import READING_MAY_BE_LOST, DeviceHealth, after_session, build_status, is_news, warning_of
from gateway.journal_rows import Counts
from gateway.journal_writer import _TROUBLE
from gateway.registry import Bond, KnownDevice, RegistryView
from gateway.schedule import Remedy
from gateway.session import SessionResult
from gateway.words import SENTENCES, sentence

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CUFF = SessionPolicy(urgency=Urgency.CUFF)
METER = SessionPolicy(urgency=Urgency.METER)


def device(bond: Bond = Bond.BONDED) -> KnownDevice:
    return KnownDevice(config=contract.DeviceConfig(id="bp-1", kind="blood-pressure"), bond=bond.value)


def result(**changes: object) -> SessionResult:
    return SessionResult(device_id="bp-1", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bond", "policy", "outcome", "warning"),
    [
        (Bond.BONDED, CUFF, result(), READING_MAY_BE_LOST),
        (Bond.BONDED, CUFF, result(readings=1), None),
        (Bond.UNPAIRED, CUFF, result(), None),  # the contact that made the bond
        (Bond.BONDED, METER, result(), None),  # a meter with nothing new
        (Bond.BONDED, CUFF, result(held=("not-from-wearer",)), "reading-held"),
        (Bond.BONDED, CUFF, result(quarantined=1), "packet-not-understood"),
        (Bond.BONDED, CUFF, result(remedy=Remedy.RETRY_NOW, problem="link-lost"), "link-lost"),
        (Bond.BONDED, METER, result(readings=3, notes=Notes(warnings=["memory-reset"])), "memory-reset"),
    ],
)
def test_most_important_word_of_a_contact(
    bond: Bond, policy: SessionPolicy, outcome: SessionResult, warning: str | None
) -> None:
    assert warning_of(device(bond), policy, outcome) == warning


def test_failed_contact_keeps_what_was_known() -> None:
    before = DeviceHealth(battery_percent=80, clock_offset_seconds=Decimal(7), last_contact_at=AT)

    after = after_session(
        before,
        device(),
        CUFF,
        result(remedy=Remedy.RETRY_NOW, problem="link-lost", notes=Notes()),
        at=AT + timedelta(1),
    )

    assert after == DeviceHealth(
        battery_percent=80, clock_offset_seconds=Decimal(7), last_contact_at=AT, warning="link-lost"
    )


def status(**changes: object) -> contract.Status:
    health = DeviceHealth(battery_percent=80, rssi_dbm=-60, last_seen_at=AT, warning=None)
    counts = Counts(pending=2, sent=1, stored=9, rejected=0, quarantined=0, held=0, undecoded=0, oldest_pending_at=AT)
    fields: dict[str, object] = {
        "online": True,
        "at": AT,
        "counts": counts,
        "registry": RegistryView(version=4, devices=(device(),)),
        "health": {"bp-1": health},
        "warnings": (),
        **changes,
    }
    return build_status(**fields)  # type: ignore[arg-type]


def test_status_is_the_message_of_the_contract() -> None:
    said = contract.decode_status(contract.encode(status()))

    assert (said.state, said.outbox_depth, said.oldest_pending_at, said.config_version) == ("online", 3, AT, 4)
    assert said.software.startswith("vitalwire/")
    assert said.devices == (
        contract.DeviceStatus(
            id="bp-1", battery_percent=80, rssi_dbm=-60, last_seen_at=AT, bond="bonded", warning=None
        ),
    )


def test_signal_strength_is_no_news_and_a_warning_is() -> None:
    before = status()

    assert not is_news(before, status(at=AT + timedelta(seconds=5), health={"bp-1": DeviceHealth(battery_percent=80)}))
    assert is_news(before, status(warnings=("journal-full",)))
    assert is_news(before, status(online=False))
    assert is_news(None, before)


def test_every_word_has_a_sentence_that_says_what_to_do() -> None:
    from_drivers = {warning.value for warning in SessionWarning}
    from_the_disk = {word for word, _ in _TROUBLE.values()}

    assert from_drivers | from_the_disk <= set(SENTENCES)
    assert sentence("journal-full").startswith("The disk is full.")
    assert sentence("some-new-word") == "some new word"
