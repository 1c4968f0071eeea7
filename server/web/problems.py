"""What can go wrong in a way a person can act on: status-coded problems, never a traceback.

Input: a status, one clear sentence, what to do. Output: an exception the app turns into a page or problem JSON
(RFC 9457). Texts carry no patient data.
"""

from __future__ import annotations

from http import HTTPStatus


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An expected refusal. `audit` names what was refused, so that attempts are kept."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, title: str | None = None, audit: tuple[str, str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title or status.phrase
        self.detail = detail
        self.audit = audit


class NotFound(Problem):
    """Also the answer for another practice's or another patient's row: its existence is not confirmed."""

    def __init__(self, what: str, *, audit: tuple[str, str, str] | None = None) -> None:
        super().__init__(
            HTTPStatus.NOT_FOUND,
            f"{what} was not found. It may belong to another practice, or the address is wrong.",
            title="Not found",
            audit=audit,
        )


class Forbidden(Problem):
    """The role may not use this route."""

    def __init__(self, detail: str, *, audit: tuple[str, str, str] | None = None) -> None:
        super().__init__(HTTPStatus.FORBIDDEN, detail, title="Not allowed", audit=audit)


class Conflict(Problem):
    """The state changed meanwhile, or a rule of the database refused."""

    def __init__(self, detail: str) -> None:
        super().__init__(HTTPStatus.CONFLICT, detail, title="Not done")


class Malformed(Problem):
    """The form cannot be read; names the field."""

    def __init__(self, detail: str) -> None:
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, detail, title="Please check the form")


class LoginNeeded(Problem):
    """No session, or it has ended."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, "Your session has ended. Please log in again.", title="Log in")
