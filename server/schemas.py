"""`vitalwire schema NAME`: the published formats, as JSON Schema, AsyncAPI and OpenAPI documents. Pure.

Input: a name. Output: JSON on stdout. The schemas of messages are derived from the very types that encode and decode.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import typer

from gateway import contract
from server.answer_schemas import NAMES as ANSWERS
from server.answer_schemas import answer_schema

_WIRE: Final[dict[str, type[msgspec.Struct]]] = {
    "reading": contract.Reading,
    "batch": contract.Batch,
    "status": contract.Status,
    "receipt": contract.Receipt,
    "config": contract.Config,
}


def wire_schema(name: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of one MQTT payload."""
    schema = msgspec.json.schema(_WIRE[name])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"vitalwire.{name}/1", **schema}


def asyncapi() -> dict[str, Any]:
    """The MQTT half of the product as AsyncAPI 3.0: channels, directions, payloads."""
    gateway_id = {"gateway": {"description": f"gateway identity, {contract.GATEWAY_ID_PATTERN}"}}

    def channel(topic: str, messages: tuple[str, ...]) -> dict[str, Any]:
        return {
            "address": topic,
            "parameters": gateway_id,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        }

    return {
        "asyncapi": "3.0.0",
        "info": {"title": "vitalwire gateway and server over MQTT 5", "version": "1.0.0"},
        "defaultContentType": "application/json",
        "channels": {
            "readings": channel(contract.readings_topic("{gateway}"), ("reading", "batch")),
            "status": channel(contract.status_topic("{gateway}"), ("status",)),
            "receipts": channel(contract.receipts_topic("{gateway}"), ("receipt",)),
            "config": channel(contract.config_topic("{gateway}"), ("config",)),
        },
        "operations": {
            "publishReadings": {"action": "send", "channel": {"$ref": "#/channels/readings"}},
            "publishStatus": {"action": "send", "channel": {"$ref": "#/channels/status"}},
            "receiveReceipts": {"action": "receive", "channel": {"$ref": "#/channels/receipts"}},
            "receiveConfig": {"action": "receive", "channel": {"$ref": "#/channels/config"}},
        },
        "components": {"messages": {name: {"payload": wire_schema(name)} for name in _WIRE}},
    }


def openapi() -> dict[str, Any]:
    """The JSON routes of the web server, as it serves them; all other routes are pages."""
    from fastapi import FastAPI

    from server.web.routes import health

    routes = FastAPI(title="vitalwire server: what machines may ask", version="1.0.0")
    routes.include_router(health.router)
    return routes.openapi()


_DOCUMENTS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    **{name: partial(wire_schema, name) for name in _WIRE},
    **{name: partial(answer_schema, name) for name in ANSWERS},
    "asyncapi": asyncapi,
    "openapi": openapi,
}


app = typer.Typer(
    help="Print a published format.", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def schema(name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(_DOCUMENTS)}.")]) -> None:
    """Print one published format as JSON on standard output.

    Example: vitalwire schema reading > reading.schema.json
    """
    document = _DOCUMENTS.get(name)
    if document is None:
        message = f"no schema {name!r}; one of {', '.join(_DOCUMENTS)}"
        typer.echo(json.dumps({"error": {"kind": "UsageError", "message": message, "where": "NAME"}}), err=True)
        raise typer.Exit(2)
    typer.echo(json.dumps(document(), indent=2))
