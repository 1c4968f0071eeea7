"""What can go wrong on the home box, with a message an installer can act on. No patient data in any of them."""

from __future__ import annotations


class GatewayError(Exception):
    """Base of every error this package raises on purpose."""


class SettingsError(GatewayError):
    """Settings are missing or wrong; one line a problem, each naming the variable and what to do."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class JournalError(GatewayError):
    """The journal cannot be written now (disk full, read-only, failing). Nothing was acknowledged."""

    def __init__(self, trouble: str, detail: str) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble
        self.detail = detail


class TraceError(GatewayError):
    """A file is not a trace. The message names the line, which says nothing of what it holds."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line} {problem}")
        self.line = line


class PairingError(GatewayError):
    """A device could not be bonded; `reason` is what the agent saw, in plain words."""


class RadioError(GatewayError):
    """The radio cannot be used (no adapter, powered off, BlueZ not running)."""
