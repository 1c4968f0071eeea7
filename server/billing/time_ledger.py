"""Minutes of one program in one period: which seconds count, and why the others do not.

Input: time entries, spans in which nothing counts (with their reason), what the same people did elsewhere.
Output: `TimeLedger`: pieces that count, exclusions by entry. Seconds are exact and never rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Final

import msgspec

from server.billing.calendar import seconds_text
from server.billing.fact_types import TimeEntry
from server.billing.lazily import lazily

NEVER_COUNTS: Final = frozenset({"voicemail", "text", "scheduling", "setup", "clerical"})
DISPUTED: Final = "STAFF_DOUBLE_BOOKED"

Span = tuple[int, int]

_IN_TIME: Final = attrgetter("start", "end", "entry")


class ClosedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span of instants (microseconds, half-open) in which no second counts."""

    start: int
    end: int
    reason: str
    with_: tuple[str, ...] = ()


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of one entry that do not count."""

    microseconds: int
    reason: str
    with_: tuple[str, ...] = ()


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one entry that may count."""

    start: int
    end: int
    entry: str
    performer: str


class Tally(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The union of pieces: no second twice, whoever worked."""

    total: int = 0
    by_entry: dict[str, int] = {}
    alone: dict[str, int] = {}
    overlaps: dict[str, list[Exclusion]] = {}

    def without(self, entry: str) -> int:
        """What would be left had the entry not been made: only the seconds nobody else covers are lost."""
        return self.total - self.alone.get(entry, 0)

    @lazily
    def evidence(self) -> tuple[str, ...]:
        """Entries of which at least a microsecond counts, by id."""
        return tuple(sorted([entry for entry, gained in self.by_entry.items() if gained]))

    @lazily
    def counterfactuals(self) -> Mapping[str, str]:
        """Seconds, as text, that would be left without each entry of the evidence."""
        total, alone = self.total, self.alone
        return {entry: seconds_text(total - alone.get(entry, 0)) for entry in self.evidence}


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the period with what was cut from it."""

    entry: TimeEntry
    exclusions: tuple[Exclusion, ...]


class TimeLedger(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All entries of one program that touch the period."""

    rows: tuple[EntryRow, ...] = ()
    clean: tuple[Piece, ...] = ()
    disputed: tuple[Piece, ...] = ()

    @lazily
    def union(self) -> Tally:
        """The seconds that stand, whoever worked."""
        return tally(self.clean)

    def excluded(self, reason: str) -> int:
        return sum(cut.microseconds for row in self.rows for cut in row.exclusions if cut.reason == reason)

    @lazily
    def reasons(self) -> tuple[str, ...]:
        return tuple(sorted({cut.reason for row in self.rows for cut in row.exclusions}))

    def evidence(self, reason: str) -> tuple[str, ...]:
        return tuple(row.entry.id for row in self.rows if any(cut.reason == reason for cut in row.exclusions))


def cut(pieces: Sequence[Span], start: int, end: int) -> tuple[list[Span], int]:
    """The pieces without start..end, and how much was removed."""
    kept: list[Span] = []
    removed = 0
    for low, high in pieces:
        if end <= low or start >= high:
            kept.append((low, high))
            continue
        removed += min(high, end) - max(low, start)
        if low < start:
            kept.append((low, start))
        if end < high:
            kept.append((end, high))
    return kept, removed


def admit(
    entry: TimeEntry,
    span: Span,
    *,
    whole: Exclusion | None,
    closed: Sequence[ClosedSpan],
    elsewhere: Sequence[ClosedSpan],
) -> tuple[EntryRow, list[Span], list[Span]]:
    """One entry clipped to the period: its row, the pieces that count, the pieces that are in dispute."""
    if whole is not None:
        return EntryRow(entry=entry, exclusions=(whole,)), [], []
    if not closed and not elsewhere:
        return EntryRow(entry=entry, exclusions=()), [span], []
    pieces: list[Span] = [span]
    exclusions: list[Exclusion] = []
    for shut in closed:
        if shut.start < span[1] and shut.end > span[0]:
            pieces, removed = cut(pieces, shut.start, shut.end)
            if removed:
                exclusions.append(Exclusion(microseconds=removed, reason=shut.reason, with_=shut.with_))
    disputed: list[Span] = []
    for other in elsewhere:
        before = pieces
        pieces, removed = cut(pieces, other.start, other.end)
        if removed:
            exclusions.append(Exclusion(microseconds=removed, reason=other.reason, with_=other.with_))
            for low, high in before:
                if other.start < high and other.end > low:
                    disputed.append((max(low, other.start), min(high, other.end)))
    return EntryRow(entry=entry, exclusions=tuple(exclusions)), pieces, disputed


def tally(pieces: Iterable[Piece]) -> Tally:
    """Union of the pieces. A second covered twice is credited to the piece that began first."""
    ordered = sorted(pieces, key=_IN_TIME)
    by_entry: dict[str, int] = {}
    overlaps: dict[str, list[Exclusion]] = {}
    total = 0
    covered_to = -(1 << 62)
    holder = ""
    crowded = False
    for piece in ordered:
        start, end, entry = piece.start, piece.end, piece.entry
        gained = end - start
        if start < covered_to:
            gained = end - covered_to if end > covered_to else 0
            lost = end - start - gained
            if lost:
                crowded = True
                shared = Exclusion(microseconds=lost, reason="OVERLAP_SAME_PROGRAM", with_=(holder,) if holder else ())
                overlaps.setdefault(entry, []).append(shared)
        by_entry[entry] = by_entry.get(entry, 0) + gained
        total += gained
        if end > covered_to:
            covered_to, holder = end, entry
    alone = _alone(ordered) if crowded else dict(by_entry)
    return Tally(total=total, by_entry=by_entry, alone=alone, overlaps=overlaps)


def _alone(ordered: Sequence[Piece]) -> dict[str, int]:
    """Microseconds that one entry alone covers."""
    edges = sorted({edge for piece in ordered for edge in (piece.start, piece.end)})
    alone: dict[str, int] = {}
    for low, high in pairwise(edges):
        present = {piece.entry for piece in ordered if piece.start <= low and piece.end >= high}
        if len(present) == 1:
            entry = present.pop()
            alone[entry] = alone.get(entry, 0) + high - low
    return alone


def reached_at(pieces: Iterable[Piece], need: int) -> int | None:
    """The instant at which the union of the pieces reached `need` microseconds."""
    covered_to = -(1 << 62)
    total = 0
    for piece in sorted(pieces, key=lambda piece: (piece.start, piece.end)):
        fresh = max(piece.start, covered_to)
        if piece.end > fresh:
            if total + piece.end - fresh >= need:
                return fresh + need - total
            total += piece.end - fresh
            covered_to = piece.end
    return None
