"""Payer packs: what one payer does otherwise than Medicare Part B, as data over the same rules.

Input: `parameters/packs/<id>.yaml` and the Medicare tree. Output: `Pack`: codes the payer does not take, its style of
the date of service, codes it authorises first, values it sets itself, and the tree that results. No rule lives here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

from server.billing.codes import register
from server.billing.parameter_tree import (
    FOLDER,
    DatedValue,
    Parameter,
    ParameterError,
    ParameterTree,
    medicare,
    parameter_of,
    read_yaml,
)

BASE: Final = "medicare-b"
PACK_FOLDER: Final = FOLDER / "packs"
# Where an installation keeps the packs of its own payers, beside the shipped ones.
FOLDER_VARIABLE: Final = "VITALWIRE_BILLING_PACKS"
STYLES: Final = ("last-day", "threshold-date", "from-through")
Amounts = Literal["medicare", "unknown"]

_KEYS: Final = frozenset(
    {"id", "label", "base", "last_reviewed", "amounts", "codes", "authorization", "date_of_service", "parameters"}
)
_NEEDED: Final = frozenset({"id", "label", "base", "last_reviewed", "amounts"})


class UnknownPackError(LookupError):
    """No pack of that name is installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A payer's rules: Medicare's, and what differs. Without differences it is Medicare itself."""

    id: str
    label: str
    last_reviewed: date
    digest: str = ""
    amounts: Amounts = "medicare"
    codes: Mapping[str, Parameter] = field(default_factory=dict)
    authorization: Mapping[str, Parameter] = field(default_factory=dict)
    date_of_service: Parameter | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def refusal(self, code: str, day: date) -> tuple[str, DatedValue] | None:
        """Why the payer does not take the code on the day: never taken, or taken until a date."""
        dated = _at(self.codes.get(code), day)
        if dated is None or dated.value is not False:
            return None
        before = [d for d in self.codes[code].values if d.since < dated.since and d.value is True]
        return ("CODE_TERMINATED" if before else "CODE_NOT_EFFECTIVE"), dated

    def asks(self, code: str, day: date) -> DatedValue | None:
        """The rule that asks for an authorisation of the code on the day."""
        dated = _at(self.authorization.get(code), day)
        return dated if dated is not None and dated.value is True else None

    def style(self, day: date) -> str | None:
        """The payer's date of service for month codes; `None` leaves it to the practice's setting."""
        dated = _at(self.date_of_service, day)
        return None if dated is None else str(dated.value)

    def over(self, tree: ParameterTree) -> ParameterTree:
        """The tree with the payer's own values from their first date on, and a digest that names both."""
        if self.id == BASE:
            return tree
        merged = {parameter.path: parameter for parameter in tree}
        for path, own in self.parameters.items():
            base = merged.get(path)
            if base is None:
                raise ParameterError(f"{self.id}: parameters: {path} is no parameter of {BASE}")
            kept = tuple(dated for dated in base.values if dated.since < own.values[0].since)
            merged[path] = replace(base, values=(*kept, *own.values))
        return ParameterTree(merged, _digest(tree.digest, self.digest))


MEDICARE: Final = Pack(id=BASE, label="Medicare Part B", last_reviewed=date(2026, 11, 22))


def _at(parameter: Parameter | None, day: date) -> DatedValue | None:
    if parameter is None or day < parameter.values[0].since:
        return None
    return parameter.at(day)


def _digest(*parts: str) -> str:
    return "sha256:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pack_of(name: str, document: object, *, digest: str = "") -> Pack:
    """One file's document as a pack, or `ParameterError` that names what is wrong."""
    where = f"packs/{name}"
    if not isinstance(document, dict):
        raise ParameterError(f"{where}: one mapping expected")
    unknown = sorted(str(key) for key in document.keys() - _KEYS)
    missing = sorted(_NEEDED - document.keys())
    if unknown or missing:
        said = f"unknown key {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise ParameterError(f"{where}: {said}")
    if document["id"] != name or name == BASE:
        raise ParameterError(f"{where}: id is the name of the file, and {BASE} is not overlaid by itself")
    if document["base"] != BASE:
        raise ParameterError(f"{where}: base {document['base']!r} is not {BASE}, the only base there is")
    if document["amounts"] not in get_args(Amounts):
        raise ParameterError(f"{where}: amounts is {' or '.join(get_args(Amounts))}")
    if not isinstance(document["last_reviewed"], date):
        raise ParameterError(f"{where}: last_reviewed is no date; write YYYY-MM-DD")
    reviewed = document["last_reviewed"]
    style = document.get("date_of_service")
    pack = Pack(
        id=name,
        label=str(document["label"]),
        last_reviewed=reviewed,
        digest=digest,
        amounts=document["amounts"],
        codes=_dated_by(f"{where}/codes", document.get("codes"), reviewed),
        authorization=_dated_by(f"{where}/authorization", document.get("authorization"), reviewed),
        date_of_service=None if style is None else _dated(f"{where}/date_of_service", style, reviewed),
        parameters=_dated_by(f"{where}/parameters", document.get("parameters"), reviewed),
    )
    _check(where, pack)
    return pack


def _dated(where: str, values: object, reviewed: date) -> Parameter:
    return parameter_of(
        where,
        {
            "description": where,
            "metadata": {"label": where, "unit": "payer", "last_reviewed": reviewed},
            "values": values,
        },
    )


def _dated_by(where: str, found: object, reviewed: date) -> Mapping[str, Parameter]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ParameterError(f"{where}: one mapping expected")
    return {str(name): _dated(f"{where}/{name}", values, reviewed) for name, values in found.items()}


def _check(where: str, pack: Pack) -> None:
    """Codes are of the register, switches are yes or no, styles and parameters exist."""
    for part, named in (("codes", pack.codes), ("authorization", pack.authorization)):
        for number, parameter in named.items():
            if number not in register():
                raise ParameterError(f"{where}/{part}: {number} is no code of the register")
            if any(not isinstance(dated.value, bool) for dated in parameter.values):
                raise ParameterError(f"{where}/{part}/{number}: the value is true or false")
    if pack.date_of_service and any(dated.value not in STYLES for dated in pack.date_of_service.values):
        raise ParameterError(f"{where}/date_of_service: the value is one of {', '.join(STYLES)}")
    for path in pack.parameters:
        if not medicare().knows(path):
            raise ParameterError(f"{where}/parameters: {path} is no parameter of {BASE}")


def folders() -> tuple[Path, ...]:
    """The shipped folder, and the installation's own."""
    own = os.environ.get(FOLDER_VARIABLE)
    return (PACK_FOLDER, Path(own)) if own else (PACK_FOLDER,)


@lru_cache(maxsize=8)
def installed(places: tuple[Path, ...]) -> Mapping[str, tuple[Pack, ParameterTree]]:
    """Every pack of the folders with its tree, read once; a wrong file stops the process."""
    found = {BASE: (MEDICARE, medicare())}
    for place in places:
        for path in sorted(place.glob("*.yaml")):
            if path.stem in found:
                raise ParameterError(f"packs/{path.stem} is there twice: {path}")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            pack = pack_of(path.stem, read_yaml(path), digest=digest)
            found[path.stem] = (pack, pack.over(medicare()))
    return found


def pack_for(name: str) -> tuple[Pack, ParameterTree]:
    """The pack that facts name, with its tree."""
    if name == BASE:
        return MEDICARE, medicare()
    known = installed(folders())
    if name not in known:
        raise UnknownPackError(f"no payer pack {name!r} is installed; installed are {', '.join(sorted(known))}")
    return known[name]
