"""Rule parameters: dated values with their citations, read once from YAML files.

Input: `parameters/<authority>/<program>/<group>/<name>.yaml`, one concept a file. Output: `ParameterTree`: the value
on a date of service, with the citation that sets it. Unknown or doubled keys, values without reference,
dates out of order: `ParameterError`, and the process does not start.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent / "parameters"
TABLES: Final = Path(__file__).parent / "tables"
CONFIDENCE: Final = frozenset({"V1", "V2", "M-hi", "M-lo", "D"})

# Where an installation keeps the claim edit tables it loaded after the release.
LOADED_VARIABLE: Final = "VITALWIRE_NCCI_FOLDER"

_TOP_KEYS: Final = frozenset({"description", "metadata", "values"})
_METADATA_KEYS: Final = frozenset({"label", "unit", "period", "authority", "applies_to", "last_reviewed"})
_VALUE_KEYS: Final = frozenset({"value", "reference", "note"})
_REFERENCE_KEYS: Final = frozenset({"title", "href", "locator", "published", "confidence"})

Value = int | bool | str | tuple[str, ...] | None


class ParameterError(ValueError):
    """A parameter file is wrong, or a value was asked for before its first date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where a rule stands: enough for a biller to open the page."""

    title: str
    locator: str
    href: str | None = None
    confidence: str = "V2"

    def as_json(self) -> dict[str, object]:
        return {"confidence": self.confidence, "href": self.href, "locator": self.locator, "title": self.title}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedValue:
    """One value from one date on."""

    since: date
    value: Value
    citation: Citation
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One concept: its values in order of date."""

    path: str
    description: str
    label: str
    unit: str
    applies_to: tuple[str, ...]
    last_reviewed: date
    values: tuple[DatedValue, ...]

    def at(self, day: date) -> DatedValue:
        """The newest value not after the day."""
        place = bisect_right([dated.since for dated in self.values], day)
        if not place:
            raise ParameterError(f"{self.path} has no value on {day}: its first date is {self.values[0].since}")
        return self.values[place - 1]


class _StrictLoader(yaml.CSafeLoader):
    """Safe YAML that refuses a key written twice."""


def _mapping_once(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ParameterError(f"{node.start_mark.name}:{key_node.start_mark.line + 1}: key {key!r} is there twice")
        seen.add(key)
    return dict(loader.construct_pairs(node, deep=True))


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_once)


def read_yaml(path: Path) -> Any:
    """The document of a file, keys unique."""
    try:
        with path.open(encoding="utf-8") as source:
            return yaml.load(source, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader with one more refusal
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: {error}") from error


def _refuse_unknown(where: str, found: Mapping[Any, Any], known: frozenset[str]) -> None:
    unknown = sorted(str(key) for key in found.keys() - known)
    if unknown:
        raise ParameterError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def citation_of(where: str, reference: object) -> Citation:
    """A citation, complete or refused."""
    if not isinstance(reference, dict):
        raise ParameterError(f"{where} has no reference; add title, locator and confidence")
    _refuse_unknown(where, reference, _REFERENCE_KEYS)
    missing = [key for key in ("title", "locator", "confidence") if not reference.get(key)]
    if missing:
        raise ParameterError(f"{where}: the reference lacks {', '.join(missing)}")
    if reference["confidence"] not in CONFIDENCE:
        raise ParameterError(
            f"{where}: confidence {reference['confidence']!r} is none of {', '.join(sorted(CONFIDENCE))}"
        )
    return Citation(
        title=str(reference["title"]),
        locator=str(reference["locator"]),
        href=reference.get("href"),
        confidence=reference["confidence"],
    )


def _dated_values(where: str, values: object) -> tuple[DatedValue, ...]:
    if not isinstance(values, dict) or not values:
        raise ParameterError(f"{where}: no values")
    dated: list[DatedValue] = []
    for since, body in values.items():
        here = f"{where}: {since}"
        if not isinstance(since, date):
            raise ParameterError(f"{here} is no date; write YYYY-MM-DD")
        if dated and since <= dated[-1].since:
            raise ParameterError(f"{here}: dates must increase")
        if not isinstance(body, dict) or "value" not in body:
            raise ParameterError(f"{here} has no value")
        _refuse_unknown(here, body, _VALUE_KEYS)
        value = body["value"]
        if isinstance(value, list):
            value = tuple(value)
        if not isinstance(value, (int, str, tuple, type(None))):
            raise ParameterError(f"{here}: {value!r} is no whole number, word, list of words, yes/no or null")
        citation = citation_of(here, body.get("reference"))
        dated.append(DatedValue(since=since, value=value, citation=citation, note=body.get("note")))
    return tuple(dated)


def parameter_of(path: str, document: object) -> Parameter:
    """One file's document as a parameter, or `ParameterError`."""
    if not isinstance(document, dict):
        raise ParameterError(f"{path}: one mapping expected")
    _refuse_unknown(path, document, _TOP_KEYS)
    missing = sorted(_TOP_KEYS - document.keys())
    if missing:
        raise ParameterError(f"{path}: lacks {', '.join(missing)}")
    metadata = document["metadata"]
    if not isinstance(metadata, dict):
        raise ParameterError(f"{path}: metadata is no mapping")
    _refuse_unknown(f"{path}: metadata", metadata, _METADATA_KEYS)
    for key in ("label", "unit", "last_reviewed"):
        if key not in metadata:
            raise ParameterError(f"{path}: metadata lacks {key}")
    if not isinstance(metadata["last_reviewed"], date):
        raise ParameterError(f"{path}: last_reviewed is no date; write YYYY-MM-DD")
    return Parameter(
        path=path,
        description=str(document["description"]),
        label=str(metadata["label"]),
        unit=str(metadata["unit"]),
        applies_to=tuple(str(code) for code in metadata.get("applies_to", ())),
        last_reviewed=metadata["last_reviewed"],
        values=_dated_values(path, document["values"]),
    )


class ParameterTree:
    """All parameters of one payer pack, and the digest that names exactly them."""

    def __init__(self, parameters: Mapping[str, Parameter], digest: str) -> None:
        self._parameters = dict(sorted(parameters.items()))
        self.digest = digest
        self._cache: dict[tuple[str, date], DatedValue] = {}

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def at(self, path: str, day: date) -> DatedValue:
        """The dated value of `program/group/name` on the day."""
        key = path, day
        found = self._cache.get(key)
        if found is None:
            if path not in self._parameters:
                raise ParameterError(f"no parameter {path}")
            if len(self._cache) > 50_000:  # a bound, so that a long stream over many dates stays flat
                self._cache.clear()
            found = self._cache[key] = self._parameters[path].at(day)
        return found

    def whole(self, path: str, day: date) -> int:
        """A whole-number value on the day."""
        value = self.at(path, day).value
        if not isinstance(value, int):
            raise ParameterError(f"{path} is {value!r} on {day}, a number is needed")
        return int(value)

    def words(self, path: str, day: date) -> tuple[str, ...]:
        """A list of words on the day."""
        value = self.at(path, day).value
        if not isinstance(value, tuple):
            raise ParameterError(f"{path} is {value!r} on {day}, a list is needed")
        return value

    def has(self, path: str, day: date) -> bool:
        """Whether the parameter exists and has begun on the day."""
        parameter = self._parameters.get(path)
        return parameter is not None and parameter.values[0].since <= day

    def knows(self, path: str) -> bool:
        """Whether there is such a parameter at all."""
        return path in self._parameters

    def stale(self, rule_year: int) -> tuple[str, ...]:
        """Paths whose last review is older than the rule year."""
        return tuple(p.path for p in self if p.last_reviewed.year < rule_year)

    def changes(self, before: date, after: date) -> Iterator[tuple[Parameter, DatedValue | None, DatedValue | None]]:
        """What differs between two days, with both values."""
        for parameter in self:
            old = parameter.at(before) if parameter.values[0].since <= before else None
            new = parameter.at(after) if parameter.values[0].since <= after else None
            if (old and old.value) != (new and new.value) or (old is None) != (new is None):
                yield parameter, old, new


def folder_digest(*folders: Path) -> str:
    """SHA-256 over every file's name and bytes, in order of name."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".yaml", ".csv"}:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
                digest.update(content)
    return "sha256:" + digest.hexdigest()


@lru_cache(maxsize=1)
def loaded_folder() -> Path | None:
    """The folder of loaded tables, fixed when the process first asks: one run is decided by one set of tables."""
    named = os.environ.get(LOADED_VARIABLE)
    return Path(named) if named and Path(named).is_dir() else None


def load_tree(folder: Path, *, digest: str) -> ParameterTree:
    """Every file under `<folder>`; the path inside the authority's folder is the name."""
    parameters = {}
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        parameters[name] = parameter_of(name, read_yaml(path))
    return ParameterTree(parameters, digest)


@lru_cache(maxsize=1)
def medicare() -> ParameterTree:
    """The Medicare Part B pack, parsed once a process."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for part in (folder_digest(FOLDER), folder_digest(TABLES)):
        digest.update(part.encode())
    digest.update((package / "codes.yaml").read_bytes())
    loaded = loaded_folder()
    if loaded is not None:
        digest.update(folder_digest(loaded).encode())
    return load_tree(FOLDER / "medicare", digest="sha256:" + digest.hexdigest())
