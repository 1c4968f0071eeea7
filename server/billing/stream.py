"""Many months, one after the other or in several processes: the same answers in the same order for any number of them.

Input: numbered documents of JSON text. Output: the bytes of each answer with the numbers of the wrong ones. A wrong
document leaves its error in its place. Only a few blocks are under way at a time, so memory stays flat.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Literal, TypeAlias, cast

import msgspec

from server.billing.determine import adjudicate
from server.billing.explain import explain
from server.billing.facts import FactsError, Problem, canonical

Document: TypeAlias = tuple[int, str]
Show = Literal["json", "sentences"]

# Documents of one block: enough to make the hand-over cheap, little enough to share a short input fairly.
BLOCK: Final = 32
# An input this short is answered before a second process could have started.
SHORT: Final = 256
# Blocks under way for each process: one at work, the others waiting.
_AHEAD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one document of the input."""

    kind: str
    message: str
    where: str
    problems: tuple[Problem, ...] = ()

    def as_json(self) -> dict[str, object]:
        listed = [{"where": problem.where, "message": problem.message} for problem in self.problems]
        found: dict[str, object] = {"kind": self.kind, "message": self.message, "where": self.where}
        return {"error": {**found, "problems": listed} if listed else found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a block of documents came to."""

    output: bytes
    wrong: tuple[int, ...]


def parse(text: str, number: int) -> dict[str, object] | Fault:
    """The JSON object of a document."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return Fault(kind="json", message=f"line {number} is not JSON: {error}", where=f"line {number}")
    if not isinstance(value, dict):
        return Fault(kind="facts", message="one JSON object of facts is expected", where=f"line {number}")
    return cast("dict[str, object]", value)


def decide(number: int, text: str) -> dict[str, object] | Fault:
    """The adjudication of a document, or what is wrong with it."""
    document = parse(text, number)
    if isinstance(document, Fault):
        return document
    try:
        return adjudicate(document)
    except FactsError as error:
        first = error.problems[0]
        return Fault(kind="facts", message=first.message, where=first.where, problems=error.problems)


def answer(documents: Sequence[Document], show: Show) -> Answers:
    """Every document of a block."""
    output: list[bytes] = []
    wrong: list[int] = []
    for number, text in documents:
        found = decide(number, text)
        if isinstance(found, Fault):
            wrong.append(number)
            output.append(canonical(found.as_json()))
        elif show == "json":
            output.append(canonical(found))
        else:
            output.append("".join(f"{sentence}\n" for sentence in explain(found)).encode())
    return Answers(output=b"".join(line + b"\n" for line in output), wrong=tuple(wrong))


def answers(documents: Iterable[Document], show: Show, jobs: int | None = None) -> Iterator[Answers]:
    """All documents, by `jobs` processes; `None` takes every core, and one process for a short input."""
    if jobs == 1:
        yield from (answer((document,), show) for document in documents)
        return
    waiting = iter(documents)
    begun = list(islice(waiting, SHORT + 1 if jobs is None else 1))
    jobs = cores() if jobs is None and len(begun) > SHORT else jobs or 1
    both = chain(begun, waiting)
    yield from answers(both, show, 1) if jobs == 1 else _shared(both, show, jobs)


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shared(documents: Iterator[Document], show: Show, jobs: int) -> Iterator[Answers]:
    """Blocks handed to processes and taken back in order."""
    under_way: deque[Future[Answers]] = deque()
    pool = ProcessPoolExecutor(max_workers=jobs, initializer=leave_interrupts_to_the_parent)
    try:
        while block := tuple(islice(documents, BLOCK)):
            under_way.append(pool.submit(answer, block, show))
            if len(under_way) >= jobs * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def leave_interrupts_to_the_parent() -> None:
    """Ctrl-C reaches the whole group: the parent alone ends the run, after the blocks at work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
