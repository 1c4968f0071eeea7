"""The journal against a model: no order of filing, sending, receipts and restarts loses or doubles a reading."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.journal_rows import NewEntry
from gateway.outbox import Outbox
from tests.support.clocks import HeldClock

T = TypeVar("T")
NAMES = [f"m{number}" for number in range(12)]
names = st.lists(st.sampled_from(NAMES), max_size=5)


class OutboxLaws(RuleBasedStateMachine):
    """`order`: every reading ever filed, in order of first filing. `state`: what the model says of each."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vw-outbox-"))
        self.loop = asyncio.new_event_loop()
        self.order: list[str] = []
        self.state: dict[str, str] = {}
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(self.folder / "journal.sqlite", clock=HeldClock())
        self.outbox.open()
        self.session = self.run(
            self.outbox.begin_session(device_id="bp-1", driver="std.blood_pressure", home_zone="UTC")
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(chosen=names)
    def file(self, chosen: list[str]) -> None:
        entries = [NewEntry(message_id=n, device_id="bp-1", memory="live", envelope=n.encode()) for n in chosen]
        new = self.run(self.outbox.file_readings(self.session, entries, []))
        expected = [name for name in dict.fromkeys(chosen) if name not in self.state]
        assert new == expected
        for name in expected:
            self.order.append(name)
            self.state[name] = "open"

    @rule(count=st.integers(1, 5))
    def send(self, count: int) -> None:
        entries = self.run(self.outbox.unsettled(limit=count))
        self.run(self.outbox.mark_sent([entry.position for entry in entries]))

    @rule(stored=names, rejected=names)
    def receipt(self, stored: list[str], rejected: list[str]) -> None:
        self.run(self.outbox.settle(stored, [(name, "unknown-device") for name in rejected]))
        for name in stored:
            if name in self.state:
                self.state[name] = "stored"
        for name in rejected:
            if self.state.get(name) == "open":
                self.state[name] = "rejected"

    @rule()
    def restart(self) -> None:
        self.run(self.outbox.close())
        self.open()

    @invariant()
    def what_has_no_receipt_is_handed_out_in_order(self) -> None:
        waiting = [name for name in self.order if self.state[name] == "open"]
        found = self.run(self.outbox.unsettled(limit=100))
        assert [entry.message_id for entry in found] == waiting
        assert [entry.envelope for entry in found] == [name.encode() for name in waiting]

    @invariant()
    def counts_are_right(self) -> None:
        counts = self.run(self.outbox.counts())
        states = list(self.state.values())
        assert (counts.depth, counts.stored, counts.rejected) == tuple(
            states.count(word) for word in ("open", "stored", "rejected")
        )

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.run(self.outbox.close())
            self.loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)


TestOutboxLaws = OutboxLaws.TestCase
TestOutboxLaws.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
