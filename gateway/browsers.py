"""A browser is a stranger too: what other pages may not do, and what ours may.

Without keys nothing but the address protects the gateway, and every page that a user visits can
send requests to it: under a name of its own that points here (DNS rebinding), or from its own
origin. Both are told by headers that pages cannot forge.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from colloquy.profile import is_loopback
from gateway.admission import Admission
from gateway.problems import HostRefused, OriginRefused

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": API_POLICY,
    "cache-control": "no-store",
}


class SecureHeaders:
    """Gives every answer, problems included, the safe headers it does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, secured)


class OwnPageOnly:
    """While there are no keys, answers only requests that this machine's own page can send."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            admission: Admission = scope["state"]["admission"]
            if admission.keyless:
                check_browser(Headers(scope=scope), scope["method"])
        await self._app(scope, receive, send)


def check_browser(headers: Headers, method: str) -> None:
    """Looks at the name we were called by and at the page that calls.

    Raises:
        HostRefused: not a name of this machine's own. OriginRefused: another page calls.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not is_loopback(_without_port(hosts[0])):
        raise HostRefused("call the gateway as `localhost` or by its loopback address")
    own = {f"http://{hosts[0]}".lower(), f"https://{hosts[0]}".lower()}
    if any(origin.lower() not in own for origin in headers.getlist("origin")):
        raise OriginRefused("the request comes from another page")
    # Browsers say so even where they send no origin; following a link to our page is fine.
    follows_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not follows_link:
        raise OriginRefused("the request comes from another page")


def _without_port(host: str) -> str:
    """The name in a `Host`; nothing where what follows it is no port."""
    end = host.find("]") + 1 if host.startswith("[") else 0
    name, colon, port = host[end:].partition(":")
    return "" if colon and not port.isdecimal() else host[:end] + name
