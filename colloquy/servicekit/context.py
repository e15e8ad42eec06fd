"""What belongs to the request being served. The tenant is not here: it is passed by hand."""

import re
import secrets
from contextvars import ContextVar, Token

REQUEST_ID_HEADER = "x-request-id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request being served; empty outside one."""
    return _request_id.get()


def accept_request_id(offered: str | None) -> str:
    """The caller's id where it is one, else a new one."""
    if offered is not None and _ACCEPTED.fullmatch(offered):
        return offered
    return secrets.token_hex(8)


def enter_request(identity: str) -> Token[str]:
    return _request_id.set(identity)


def leave_request(token: Token[str]) -> None:
    _request_id.reset(token)
