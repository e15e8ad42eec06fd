"""The page, its samples, and the description of the API: files, and nothing that lists them."""

import asyncio
import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from colloquy.servicekit.problems import RouteMissing
from gateway.browsers import PAGE_POLICY
from gateway.manual import STYLE, manual
from gateway.settings import Settings

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


def page_routes(settings: Settings) -> list[Route]:
    """A route for each file that lies there now: what has no route cannot be asked for."""
    page, samples = _files(settings.console), _files(settings.samples)
    routes = [_file_route("/" + name, file) for name, file in page.items()]
    routes += [_file_route("/samples/" + name, file) for name, file in samples.items()]
    return [_file_route("/", page["index.html"]), *routes] if "index.html" in page else routes


def description_routes() -> list[Route]:
    """`/openapi.json`, and `/docs` for people: made here, so that it works without a network."""

    async def openapi(request: Request) -> Response:
        return JSONResponse(request.app.openapi())

    async def docs(request: Request) -> Response:
        page = HTMLResponse(manual(request.app.openapi()))
        return _for_page(page)

    async def style(_: Request) -> Response:
        return _for_page(Response(STYLE, media_type="text/css"))

    return [
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/docs/style.css", style),
    ]


def _file_route(path: str, file: Path) -> Route:
    media_type = _TYPES[file.suffix]

    async def answer(request: Request) -> Response:
        try:
            data = await asyncio.to_thread(file.read_bytes)
        except OSError:  # it was there when the gateway started
            raise RouteMissing from None
        tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        kept = tag in request.headers.get("if-none-match", "")
        response = Response(status_code=304) if kept else Response(data, media_type=media_type)
        response.headers["etag"] = tag
        return _for_page(response)

    return Route(path, answer)


def _for_page(response: Response) -> Response:
    response.headers["content-security-policy"] = PAGE_POLICY
    response.headers["cache-control"] = "no-cache"  # ask again, and be told that nothing changed
    return response


def _files(folder: Path) -> dict[str, Path]:
    """The files below `folder` of a kind that a page has, by their path in it; no links."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in name.parts)
        if file.suffix in _TYPES and not hidden and file.is_file() and not file.is_symlink():
            found[name.as_posix()] = file
    return found
