"""`vitalwire alerts …`: evaluate cases, test and replay a rule set, run the worker, list what is open.

Results are JSON lines on stdout, messages go to stderr. Exit 0 done, 2 input wrong (one JSON object on stderr),
1 anything else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
import yaml

from alerts.cases import CaseError, differences, run_case
from alerts.rule_set import ProfileError, RuleSet, RuleSetError
from alerts.rules import DEFAULT_POLICY, load_rule_set

app = typer.Typer(
    name="alerts",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Alert rules: evaluate cases, test and replay a rule set, run the worker.",
)
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
Rules = Annotated[
    Path | None, typer.Option("--rules", help="Rule set to use; without it the adult default.", dir_okay=False)
]


@app.command()
def evaluate(
    cases: Annotated[Path, typer.Option("--cases", help="YAML list of cases: id, events, at, optional profile.")],
    rules: Rules = None,
) -> None:
    """Run cases through the engine the server uses; print one JSON object a case.

    Example: vitalwire alerts evaluate --cases cases.yaml --rules rules.yaml
    """
    rule_set = _rule_set(rules or DEFAULT_POLICY)
    for case in _cases(cases):
        sys.stdout.write(json.dumps(_run(case, rule_set, cases), ensure_ascii=False) + "\n")


@app.command("test")
def check_rules(
    rules: Annotated[
        Path, typer.Argument(metavar="RULES", help="Rule set (YAML).", show_default="the adult default")
    ] = DEFAULT_POLICY,
    cases: Annotated[
        Path | None, typer.Option("--cases", help="Cases; without it NAME.cases.yaml beside the rule set.")
    ] = None,
) -> None:
    """Check a rule set word by word and run its own cases. Exit 1 when a case disagrees.

    Example: vitalwire alerts test adult_default_v4.yaml
    """
    rule_set = _rule_set(rules)
    path = cases or rules.with_name(f"{rules.stem}.cases.yaml")
    if not path.exists():
        _wrong(
            "MissingCases", f"{path.name} is not there: a rule set needs its own cases before it may be used", str(path)
        )
    wrong = total = 0
    for case in _cases(path):
        total += 1
        row = _run(case, rule_set, path)
        problems = differences(case, row)
        wrong += bool(problems)
        sys.stdout.write(json.dumps({"id": row["id"], "passed": not problems, "differences": problems}) + "\n")
    typer.echo(f"{total - wrong}/{total} cases of {rule_set.label}", err=True)
    if wrong:
        raise typer.Exit(1)


@app.command()
def run() -> None:
    """Judge readings as they come in and run the clocks, until SIGTERM or Ctrl-C, with the shipped rule set.

    Needs DATABASE_URL (or DATABASE_URL_FILE). Prints {"ready": true} once the database is reached. Any number of
    workers may run at once.

    Example: DATABASE_URL=postgresql://localhost/vitalwire vitalwire alerts run
    """
    from alerts.worker import Worker

    _log_to_stderr()
    worker = Worker(_database_url(), _rule_set(DEFAULT_POLICY))

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await worker.run(stop, on_ready=lambda: print(json.dumps({"ready": True}), flush=True))

    asyncio.run(serve())


@app.command("replay")
def replay_rules(
    rules: Annotated[Path, typer.Option("--rules", help="The changed rule set (YAML).", dir_okay=False)],
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="So many days back.")] = 30,
    practice: Annotated[str | None, typer.Option("--practice", help="Only this practice.")] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", help="End of the period in UTC.", show_default="now", formats=["%Y-%m-%d", _INSTANT]),
    ] = None,
) -> None:
    """Say what a changed rule set would have raised over stored readings, beside the set in force and what was raised.

    Prints one JSON object: a summary, counts a week by family and severity, and every alert that only one of the two
    sets raises. Nothing is written and nobody is told. Needs DATABASE_URL (or DATABASE_URL_FILE).

    Example: vitalwire alerts replay --days 30 --rules adult_default_v4.yaml --practice pr1
    """
    from alerts import clock
    from alerts.replay_run import UnknownPracticeError, run_replay
    from alerts.tables_replay import DatabaseNotReachedError

    _log_to_stderr()
    changed = _rule_set(rules)
    end = until.replace(tzinfo=UTC) if until else clock.now()
    try:
        report = asyncio.run(
            run_replay(
                _database_url(),
                current=_rule_set(DEFAULT_POLICY),
                changed=changed,
                since=end - timedelta(days=days),
                until=end,
                practice_id=practice,
                progress=_replay_progress,
            )
        )
    except UnknownPracticeError:
        _wrong("UnknownPractice", f"there is no practice {practice}; leave --practice out for all", "--practice")
    except DatabaseNotReachedError:
        _wrong("DatabaseNotReached", "the database does not answer; check DATABASE_URL", "DATABASE_URL", code=1)
    print(json.dumps(report))


def _replay_progress(done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        typer.echo(f"{done}/{total} patients", err=True)


@app.command("list")
def list_alerts(
    practice: Annotated[str | None, typer.Option("--practice", help="Only this practice.")] = None,
) -> None:
    """Print every live alert as a JSON line, most severe first. Needs DATABASE_URL (or DATABASE_URL_FILE).

    Example: vitalwire alerts list --practice pr1
    """
    from alerts import tables
    from alerts.worker import connect

    async def read() -> None:
        async with await connect(_database_url()) as conn:
            for row in await tables.live_alerts(conn, practice_id=practice):
                print(json.dumps(row))

    asyncio.run(read())


@app.command()
def health(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Seconds a reading may wait for its judgement.")] = 60,
) -> None:
    """Exit 0 when no stored reading waits longer than the limit for its judgement, 1 otherwise. Needs DATABASE_URL.

    Example: vitalwire alerts health --limit 120
    """
    from alerts.worker import longest_wait_seconds

    waited = asyncio.run(longest_wait_seconds(_database_url()))
    if waited is None:
        _wrong("DatabaseNotReached", "the database does not answer; check DATABASE_URL", "DATABASE_URL", code=1)
    print(json.dumps({"healthy": waited <= limit, "longest_wait_seconds": round(waited)}))
    if waited > limit:
        raise typer.Exit(1)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _database_url() -> str:
    path = os.environ.get("DATABASE_URL_FILE")
    try:
        url = Path(path).read_text(encoding="utf-8").strip() if path else os.environ.get("DATABASE_URL", "")
    except OSError as error:
        _wrong("SettingsError", f"the file of DATABASE_URL_FILE cannot be read: {error.strerror}", "DATABASE_URL_FILE")
    if not url:
        _wrong("SettingsError", "no database is named: set DATABASE_URL or DATABASE_URL_FILE", "DATABASE_URL")
    return url


def _rule_set(path: Path) -> RuleSet:
    try:
        return load_rule_set(path)
    except RuleSetError as error:
        _wrong("RuleSetError", str(error), path.name, problems=list(error.problems))


def _cases(path: Path) -> list[dict[str, Any]]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        _wrong("CaseError", f"{path.name} cannot be read: {error.strerror}", str(path))
    except (yaml.YAMLError, UnicodeDecodeError):
        _wrong("CaseError", f"{path.name} is not YAML text", str(path))
    if not isinstance(document, list):
        _wrong("CaseError", f"{path.name}: expected a list of cases", str(path))
    return document


def _run(case: Any, rule_set: RuleSet, path: Path) -> dict[str, Any]:
    try:
        return run_case(case, rule_set)
    except (CaseError, ProfileError) as error:
        where = case.get("id") if isinstance(case, dict) else None
        _wrong(type(error).__name__, str(error), f"{path.name}: {where}" if where else path.name)


def _wrong(kind: str, message: str, where: str, *, code: int = 2, **more: Any) -> NoReturn:
    typer.echo(json.dumps({"error": {"kind": kind, "message": message, "where": where, **more}}), err=True)
    raise typer.Exit(code)
