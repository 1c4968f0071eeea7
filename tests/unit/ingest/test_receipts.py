"""Receipts: who is told what, and that each fits into a message."""

from __future__ import annotations

import json
import uuid

from gateway.contract import MAX_PAYLOAD_BYTES, encode
from server.ingest.accept import Accepted, Rejected, accept
from server.ingest.consumer import receipts
from tests.support.ingest import reading


def accepted(gateway: str) -> Accepted:
    topic = f"vw/1/gw/{gateway}/up/readings"
    [item] = accept(topic, json.dumps(reading("bp-1")).encode(), {gateway: "pr-a"})
    assert isinstance(item, Accepted)
    return item


def test_each_gateway_of_a_batch_gets_one_receipt() -> None:
    one, two, other = accepted("gw-aaaaaaaaaa"), accepted("gw-aaaaaaaaaa"), accepted("gw-bbbbbbbbbb")

    told = dict(receipts([one, other, two], []))

    assert told.keys() == {"gw-aaaaaaaaaa", "gw-bbbbbbbbbb"}
    assert told["gw-aaaaaaaaaa"].stored == (str(one.reading.message_id), str(two.reading.message_id))
    assert told["gw-bbbbbbbbbb"].stored == (str(other.reading.message_id),)


def test_refused_by_the_database_is_not_receipted_as_stored() -> None:
    item = accepted("gw-aaaaaaaaaa")
    name = str(item.reading.message_id)
    refused = Rejected(topic="t", payload=b"", reason="not-storable", gateway_id="gw-aaaaaaaaaa", message_ids=(name,))

    [(_, receipt)] = receipts([item], [refused])

    assert receipt.stored == ()
    assert [(bad.message_id, bad.reason) for bad in receipt.rejected] == [(name, "not-storable")]


def test_rejection_without_readable_identity_is_not_receipted() -> None:
    refused = Rejected(topic="t", payload=b"{", reason="invalid-json", gateway_id="gw-aaaaaaaaaa")

    assert list(receipts([], [refused])) == []


def test_many_names_are_split_into_messages_the_broker_takes() -> None:
    longest = tuple(f"{number:0128d}" for number in range(3_000))
    refused = Rejected(
        topic="t", payload=b"", reason="number-out-of-range", gateway_id="gw-" + "a" * 32, message_ids=longest
    )

    told = [receipt for _, receipt in receipts([], [refused])]

    assert max(len(encode(receipt)) for receipt in told) <= MAX_PAYLOAD_BYTES
    assert tuple(bad.message_id for receipt in told for bad in receipt.rejected) == longest


def test_thousands_of_stored_names_fit_too() -> None:
    gateway = "gw-aaaaaaaaaa"
    item = accepted(gateway)
    import msgspec

    many = [
        Accepted(msgspec.structs.replace(item.reading, message_id=uuid.uuid4()), gateway, "pr-a", "accepted", b"")
        for _ in range(2_001)
    ]

    told = [receipt for _, receipt in receipts(many, [])]

    assert sum(len(receipt.stored) for receipt in told) == 2_001
    assert max(len(encode(receipt)) for receipt in told) <= MAX_PAYLOAD_BYTES
