"""`vitalwire decode`: what the octets of a health device say, as JSON.

Input: characteristic and hexadecimal octets, as arguments or as JSON lines on stdin. Output: one JSON object a line on
stdout. An undecodable payload gives its error object: on stdout in its line with --stdin, else on stderr with exit 2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, BinaryIO, Final

import msgspec
import typer

from device_drivers.decoding import (
    MEASUREMENT_CHARACTERISTICS,
    SINGLE_DECODERS,
    canonical_characteristic,
    decode_payload,
)
from device_drivers.errors import DecodeError
from device_drivers.gatt import current_time, record_access
from device_drivers.ieee11073 import Number, decode_float, decode_sfloat, plain
from device_drivers.measurement import Component, DecodeWarning, Kind, Measurement, Outcome
from device_drivers.reader import Reader

_CHUNK: Final = 1 << 16
_INPUT_WRONG: Final = 2


class InputError(Exception):
    """What was asked cannot be tried: no such characteristic, no hexadecimal octets, no JSON object."""

    def __init__(self, message: str, where: Mapping[str, object]) -> None:
        super().__init__(message)
        self.message = message
        self.where = where


class _Line(msgspec.Struct):
    characteristic: str
    hex: str
    model: str | None = None


_line_decoder: Final = msgspec.json.Decoder(_Line)
_json: Final = msgspec.json.Encoder().encode


def decode_to_json(characteristic: str, payload: bytes, *, model: str | None = None) -> str:
    """One payload as one line of JSON (the decode contract). Raises `DecodeError`, `InputError`."""
    if model is None and (decode := SINGLE_DECODERS.get(characteristic)) is not None:
        return _measurement_json(decode(payload))
    name = canonical_characteristic(characteristic)
    if block := _BUILDING_BLOCKS.get(name.upper()):
        return _json(block(name.upper(), payload)).decode()
    if name not in MEASUREMENT_CHARACTERISTICS:
        known = ", ".join(sorted(MEASUREMENT_CHARACTERISTICS | _BUILDING_BLOCKS.keys()))
        raise InputError(f"no decoder for {characteristic!r}; use one of {known}", {"characteristic": characteristic})
    records = decode_payload(name, payload, model=model)
    return _records_json(records) if name == "2AA7" else _measurement_json(records[0])


# --- one measurement: assembled from cached pieces, because most of a day's octets repeat ---------------------------

_MOST_PIECES: Final = 16384
_pieces: Final[dict[int, tuple[object, str]]] = {}


def _piece(value: Component | Mapping[str, object], render: Callable[[Any], str]) -> str:
    """The JSON of an immutable object that the decoders hand out again and again, found by identity.

    The object is kept beside its text, so its identity cannot be taken over by another one.
    """
    known = _pieces.get(id(value))
    if known is None:
        if len(_pieces) >= _MOST_PIECES:
            _pieces.clear()
        known = _pieces[id(value)] = (value, render(value))
    return known[1]


def _component_json(component: Component) -> str:
    return _json(
        {
            "metric": component.metric,
            "value": None if component.value is None else plain(component.value),
            "unit": component.unit,
            "reported_value": None if component.reported_value is None else plain(component.reported_value),
            "reported_unit": component.reported_unit,
            "absent_reason": component.absent_reason,
        }
    ).decode()


def _mapping_json(mapping: Mapping[str, object]) -> str:
    return _json(dict(mapping)).decode()


@lru_cache(maxsize=4096)
def _words_json(words: tuple[str, ...]) -> str:
    return _json(words).decode()


def _context_json(context: Mapping[str, object]) -> str:
    if not context:
        return "{}"
    # Only a read-only view is shared between measurements; a dict belongs to one and may be mutable.
    return _piece(context, _mapping_json) if type(context) is MappingProxyType else _mapping_json(context)


def _measurement_json(measurement: Measurement) -> str:
    time = measurement.device_time
    offset = measurement.time_offset_minutes
    sequence = measurement.sequence_number
    user = measurement.user_id
    components = ",".join([_piece(part, _component_json) for part in measurement.components])
    text = (
        f'{{"characteristic":"{measurement.characteristic}","kind":"{measurement.kind}",'
        f'"outcome":"{measurement.outcome}","components":[{components}],'
        f'"device_time":{"null" if time is None else _time_json(time)},'
        f'"time_offset_minutes":{"null" if offset is None else offset},'
        f'"sequence_number":{"null" if sequence is None else sequence},"user_id":{"null" if user is None else user},'
        f'"flags":{_words_json(measurement.flags)},"context":{_context_json(measurement.context)},'
        f'"warnings":{_words_json(measurement.warnings)}'
    )
    if measurement.extra_hex is not None:
        text += f',"extra_hex":"{measurement.extra_hex}"'
    if measurement.device_time_raw is not None:
        text += f',"device_time_raw":"{measurement.device_time_raw}"'
    return text + "}"


def _time_json(time: datetime) -> str:
    return f'"{time.isoformat()}"'


def _records_json(records: Sequence[Measurement]) -> str:
    parts = ",".join(
        f'{{"outcome":"{record.outcome}","components":[{",".join(_component_json(c) for c in record.components)}],'
        f'"time_offset_minutes":{record.time_offset_minutes},"flags":{_words_json(record.flags)},'
        f'"context":{_context_json(record.context)},"warnings":{_words_json(record.warnings)}}}'
        for record in records
    )
    outcome = Outcome.MEASURED if any(r.outcome is Outcome.MEASURED for r in records) else Outcome.NO_VALUE
    warnings = tuple(word for word in DecodeWarning if any(word in record.warnings for record in records))
    return (
        f'{{"characteristic":"2AA7","kind":"{Kind.CONTINUOUS_GLUCOSE}","outcome":"{outcome}","records":[{parts}],'
        f'"warnings":{_words_json(warnings)}}}'
    )


# --- building blocks ------------------------------------------------------------------------------------------------


def _number(name: str, payload: bytes) -> dict[str, object]:
    reader = Reader(name, payload)
    number: Number = decode_sfloat(reader.u16("number")) if name == "SFLOAT" else decode_float(reader.u32("number"))
    extra = reader.rest()
    return {
        "characteristic": name,
        "kind": "number",
        "value": None if number.value is None else plain(number.value),
        "absent_reason": number.absent_reason,
        "warnings": [DecodeWarning.TRAILING_OCTETS] if extra else [],
        **_present(extra_hex=extra.hex() or None),
    }


def _date_time(name: str, payload: bytes) -> dict[str, object]:
    clock = current_time.decode_clock(name, payload)
    return {
        "characteristic": name,
        "kind": "date-time",
        "device_time": None if clock.device_time is None else clock.device_time.isoformat(),
        "warnings": clock.warnings,
        **_present(extra_hex=clock.extra_hex, device_time_raw=clock.raw_hex),
    }


def _record_access(name: str, payload: bytes) -> dict[str, object]:
    message = record_access.decode(payload)
    return {
        "characteristic": name,
        "kind": "record-access",
        "op_code": message.op_code,
        "operator": message.operator,
        **_present(
            request_op_code=message.request_op_code,
            response_code=message.response_code,
            number_of_records=message.number_of_records,
            filter_type=message.filter_type,
            minimum=_limit(message.minimum),
            maximum=_limit(message.maximum),
        ),
        "warnings": message.warnings,
        **_present(extra_hex=message.extra_hex),
    }


def _present(**fields: int | str | None) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _limit(limit: int | datetime | None) -> int | str | None:
    return limit.isoformat() if isinstance(limit, datetime) else limit


_BUILDING_BLOCKS: Final[Mapping[str, Callable[[str, bytes], dict[str, object]]]] = MappingProxyType(
    {
        "SFLOAT": _number,
        "FLOAT": _number,
        "2A08": _date_time,
        "2A2B": _date_time,
        "2A52": _record_access,
    }
)


# --- errors ---------------------------------------------------------------------------------------------------------


def _error_json(error: DecodeError | InputError) -> str:
    if isinstance(error, InputError):
        kind, where = "InputError", dict(error.where)
    else:
        kind, where = "DecodeError", {"characteristic": error.characteristic, "offset": error.offset}
        if error.missing is not None:
            where["missing"] = error.missing
    return _json({"error": {"kind": kind, "message": error.message, "where": where}}).decode()


def _octets(text: str, where: Mapping[str, object]) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InputError("hex must be pairs of hexadecimal digits, for example 167c00", where) from None


# --- stdin ----------------------------------------------------------------------------------------------------------


def decode_line(line: bytes, *, number: int, model: str | None = None) -> str:
    """One JSON line in, one JSON line out; an error object where it cannot be decoded. Never raises."""
    try:
        try:
            request = _line_decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(
                f'line {number} must be an object like {{"characteristic": "2A35", "hex": "..."}}: {error}',
                {"line": number},
            ) from error
        payload = _octets(request.hex, {"line": number, "field": "hex"})
        return decode_to_json(request.characteristic, payload, model=request.model or model)
    except (DecodeError, InputError) as error:
        return _error_json(error)


def _lines(source: BinaryIO) -> Iterator[list[bytes]]:
    """The lines that have arrived, as soon as they have: whole chunks from a file, single lines from a person."""
    rest = b""
    while chunk := source.read1(_CHUNK):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    yield [rest]


def decode_stream(source: BinaryIO, target: BinaryIO, *, model: str | None = None) -> None:
    """Decode every line of `source` to one line of `target`. Empty lines are skipped."""
    number = 0
    for lines in _lines(source):
        results = []
        for line in lines:
            number += 1
            if line and not line.isspace():
                results.append(decode_line(line, number=number, model=model))
        if results:
            results.append("")
            target.write("\n".join(results).encode())
            target.flush()


# --- command --------------------------------------------------------------------------------------------------------

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """CHARACTERISTIC and HEX, repeated. The octets of one pair may be several words ("16 7c 00")."""
    known = MEASUREMENT_CHARACTERISTICS | _BUILDING_BLOCKS.keys()
    pending: list[str] = []
    for word in words:
        if len(pending) >= 2 and canonical_characteristic(word).upper() in known:
            yield pending[0], "".join(pending[1:])
            pending = []
        pending.append(word)
    if pending:
        yield pending[0], "".join(pending[1:])


@app.command(name="decode")
def decode_command(
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHARACTERISTIC HEX",
            help="Bluetooth characteristic (2A35, 2A18, SFLOAT, ...) and its octets; more pairs may follow.",
        ),
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Apply this model's quirks, e.g. 'Beurer BM85'.")
    ] = None,
    stdin: Annotated[
        bool,
        typer.Option("--stdin", help='Read {"characteristic", "hex"[, "model"]} lines, print one result a line.'),
    ] = False,
) -> None:
    """Decode the octets of a blood-pressure cuff, glucose meter, scale, thermometer or oximeter to JSON.

    Example: vitalwire decode 2A35 "16 80 00 4e 00 5f 00 e8 07 06 17 0e 23 0a 48 00 00 00"
    """
    if stdin:
        decode_stream(sys.stdin.buffer, sys.stdout.buffer, model=model)
        return
    try:
        if not pairs or len(pairs) < 2:
            raise InputError("name a characteristic and its octets, or use --stdin; see --help", {"argument": "HEX"})
        for characteristic, text in _pairs(pairs):
            payload = _octets(text, {"characteristic": characteristic, "argument": "HEX"})
            typer.echo(decode_to_json(characteristic, payload, model=model))
    except (DecodeError, InputError) as error:
        typer.echo(_error_json(error), err=True)
        raise typer.Exit(_INPUT_WRONG) from None


if __name__ == "__main__":
    app()
