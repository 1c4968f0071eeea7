"""What a command says when it cannot do its work: one message that names what to change, never a traceback. Pure.

Input: the exception that ended a command. Output: a `Failure`: exit code (2 when the input is wrong, 1 otherwise),
kind, message and place. Unforeseen exceptions are shown by type and place only: their text may hold a patient's values.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

INPUT_WRONG: Final = 2
FAILED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a command ended, for a script (`as_json`) and for a person (`as_text`)."""

    code: int
    kind: str
    message: str
    where: str

    def as_json(self) -> str:
        return json.dumps(
            {"error": {"kind": self.kind, "message": self.message, "where": self.where}}, ensure_ascii=False
        )

    def as_text(self) -> str:
        return self.message


def failure_of(error: BaseException, *, command: str) -> Failure:
    """Put the exception that ended `command` ("vitalwire billing") into words."""
    cause = _only_leaf(error)
    return _usage(cause, command) or _foreseen(cause) or _unforeseen(cause)


def help_of(error: BaseException) -> str | None:
    """The help that a group of commands shows when it is called without one, None for every other exception."""
    return str(error.args[0]) if type(error).__name__ == "NoArgsIsHelpError" else None


def _only_leaf(error: BaseException) -> BaseException:
    """Task groups wrap what went wrong inside them; the first of several is told."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _usage(error: BaseException, command: str) -> Failure | None:
    """Errors of the command line itself. Told by their form, since typer's own classes moved between its releases."""
    say = getattr(error, "format_message", None)
    if say is None:
        return None
    context: Any = getattr(error, "ctx", None)
    path = command if context is None else str(context.command_path)
    message = f"{str(say()).rstrip('.')}. `{path} --help` explains"
    return Failure(code=INPUT_WRONG, kind="UsageError", message=message, where=_place(error) or path)


def _place(error: BaseException) -> str | None:
    """The option or argument an error of the command line is about, None when it is about none."""
    option: Any = getattr(error, "option_name", None) or getattr(error, "param_hint", None)
    if option:
        return str(option)
    parameter: Any = getattr(error, "param", None)
    if parameter is None:
        return None
    return str(parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper())


def _foreseen(error: BaseException) -> Failure | None:
    if type(error).__name__ == "SettingsError":  # of the server and of the gateway
        message = "; ".join(getattr(error, "problems", None) or (str(error),))
        return Failure(code=INPUT_WRONG, kind="SettingsError", message=message, where="environment")
    if type(error).__name__ == "ParameterError":  # names the file and the key
        return Failure(code=FAILED, kind="ParameterError", message=str(error), where="server/billing/parameters")
    if isinstance(error, OSError):
        place = str(error.filename) if error.filename is not None else "system"
        reason = error.strerror or type(error).__name__
        return Failure(code=FAILED, kind=type(error).__name__, message=f"{place}: {reason}", where=place)
    if isinstance(error, EOFError) or type(error).__name__ == "Abort":
        return Failure(code=FAILED, kind="Stopped", message="stopped: the input ended", where="standard input")
    return _database(error)


def _database(error: BaseException) -> Failure | None:
    """What an error of psycopg asks for. It is looked up among what is loaded: a home box has none."""
    psycopg: Any = sys.modules.get("psycopg")
    pool: Any = sys.modules.get("psycopg_pool")
    if pool is not None and isinstance(error, pool.PoolTimeout):
        return _unreached()
    if psycopg is None or not isinstance(error, psycopg.Error):
        return None
    wanted = psycopg.errors
    if isinstance(error, wanted.UndefinedTable | wanted.UndefinedColumn | wanted.UndefinedFunction):
        message = "the database has not this version's tables; run: vitalwire server migrate"
        return Failure(code=FAILED, kind="DatabaseNotMigrated", message=message, where="DATABASE_URL")
    if isinstance(error, wanted.InsufficientPrivilege | wanted.UndefinedObject | wanted.InvalidParameterValue):
        message = "this database user may not take the role of the process; run: vitalwire server migrate, as the owner"
        return Failure(code=FAILED, kind="DatabaseRefused", message=message, where="DATABASE_URL")
    if error.sqlstate is None and type(error) is psycopg.ProgrammingError:
        message = "DATABASE_URL is not a database address; write postgresql://user@host:5432/name"
        return Failure(code=INPUT_WRONG, kind="SettingsError", message=message, where="DATABASE_URL")
    if isinstance(error, psycopg.OperationalError):
        return _unreached()
    return None


def _unreached() -> Failure:
    message = "the database does not answer; check DATABASE_URL and that PostgreSQL runs"
    return Failure(code=FAILED, kind="DatabaseNotReached", message=message, where="DATABASE_URL")


def _unforeseen(error: BaseException) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
    message = f"this is a fault of vitalwire ({type(error).__name__} at {place}); VITALWIRE_TRACEBACK=1 shows more"
    return Failure(code=FAILED, kind="InternalError", message=message, where=place)
