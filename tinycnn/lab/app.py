"""What the lab answers, and what it refuses.

The server listens on this machine only, but so does every page that a browser on it has open, and every user who has a
login. So each request has to know the token, which is the first part of every address; to be meant for this host, or a
foreign name could be made to lead here; and, where a browser says which page it comes from, to come from the lab's own.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinycnn import exercises, lessons
from tinycnn.exercises.refused import MOST_BYTES
from tinycnn.lab.folder import NEW, Changed, version_of
from tinycnn.lab.work import NoSuchWork, Workshop, exercise_of
from tinycnn.lessons.pages import HERE as LESSONS_PAGE

HERE = Path(__file__).parent
VENDOR = HERE / "vendor" / "codemirror"
STATIC = {
    "codemirror.js": (VENDOR, "text/javascript"),
    "clike.js": (VENDOR, "text/javascript"),
    "python.js": (VENDOR, "text/javascript"),
    "codemirror.css": (VENDOR, "text/css"),
    "lab.js": (HERE / "page", "text/javascript"),
    "lab.css": (HERE / "page", "text/css"),
    "page.css": (LESSONS_PAGE, "text/css"),  # the lessons' own
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_POLICY = "sandbox allow-scripts"  # what was made from a student's file has no way to the lab
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


class Guard:
    """Lets a request through that knows the token, is meant for one of `hosts`, and comes from no foreign page."""

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]):
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refused = self.refused(scope["method"], scope["path"], Headers(scope=scope))
        if refused:
            await PlainTextResponse(refused, 403, HEADERS)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
            await send(message)

        await self.app(scope, receive, with_headers)

    def refused(self, method: str, path: str, headers: Headers) -> str:
        """Why, or ''."""
        if headers.getlist("host") not in [[host] for host in self.hosts]:
            return "this request is meant for another host"
        origins = headers.getlist("origin")
        if any(origin not in {f"http://{host}" for host in self.hosts} for origin in origins):
            return "this request comes from another page"
        if method not in ("GET", "HEAD") and not origins:  # a browser always names it there
            return "this request does not say where it comes from"
        if not hmac.compare_digest(path.partition("/")[2].partition("/")[0].encode(), self.token.encode()):
            return "open the address that `tinycnn lab` has printed"
        return ""


def application(workshop: Workshop, token: str, hosts: Collection[str]) -> ASGIApp:
    """The lab as an ASGI application. hosts: as browsers say them, 'name:port'."""
    folder, pages = workshop.folder, workshop.pages
    environment = Environment(loader=FileSystemLoader(HERE / "page"), autoescape=True, undefined=StrictUndefined)

    async def page(request: Request) -> Response:
        text = environment.get_template("lab.html").render(
            exercises=[exercises.load(name) for name in exercises.NAMES], lessons=lessons.LESSONS, folder=folder.path
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404)
        place, media = STATIC[name]
        return Response((place / name).read_bytes(), media_type=media)

    async def names(request: Request) -> Response:
        return JSONResponse([{"name": n, "judged": exercise_of(n) is not None} for n in folder.names()])

    async def read(request: Request) -> Response:
        data = folder.read(request.path_params["name"])
        return Response(data, media_type="text/plain", headers={"ETag": tag(version_of(data))})

    async def save(request: Request) -> Response:
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > MOST_BYTES:
                raise HTTPException(413, f"a file has at most {MOST_BYTES // 2**20} MiB")
        match, none = request.headers.get("if-match"), request.headers.get("if-none-match")
        if (match is None) == (none is None) or none not in (None, "*"):
            raise HTTPException(
                428, "a version is needed: If-Match with a file's ETag, or If-None-Match: * for a new one"
            )
        begun = NEW if match is None else match.strip('"')
        version = folder.save(request.path_params["name"], bytes(data), begun)
        return Response(status_code=204, headers={"ETag": tag(version)})

    async def begin(request: Request) -> Response:
        """The file of an exercise, as it is handed out where it is not there yet."""
        name = request.path_params["name"]
        if name not in exercises.NAMES:
            raise HTTPException(404, f"there is no exercise {name!r}")
        file = name + (exercise := exercises.load(name)).suffix
        if not folder.file(file).exists():
            folder.save(file, exercise.file("start").read_bytes(), NEW)
        return JSONResponse({"file": file})

    async def work(request: Request) -> Response:
        doing = workshop.begin(request.path_params["what"], request.path_params["name"])
        leaving = asyncio.create_task(left(request))
        try:
            await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing})
            if doing.cancelled():  # here, or where the lab ends
                raise ClientDisconnect
            return JSONResponse(doing.result())
        finally:
            leaving.cancel()

    async def made(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        if kind not in ("files", "lessons") or not name.endswith(".html") or name not in {
            path.name for path in (pages / kind).glob("*.html")
        }:  # fmt: skip
            raise HTTPException(404, "there is no such page")
        return HTMLResponse((pages / kind / name).read_bytes(), headers={"Content-Security-Policy": PAGE_POLICY})

    routes = [
        Route("/", page),
        Route("/static/{name}", static),
        Route("/files", names),
        Route("/files/{name}", read, methods=["GET"]),
        Route("/files/{name}", save, methods=["PUT"]),
        Route("/exercises/{name}", begin, methods=["POST"]),
        Route("/run/{what}/{name}", work, methods=["POST"]),
        Route("/pages/{kind}/{name}", made),
    ]
    app = Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        exception_handlers={
            FileNotFoundError: said(404, "this file is not there"),
            Changed: said(412, "this file has changed since it was opened"),
            ClientDisconnect: said(499, "nobody waits for it"),
            NoSuchWork: said(404),
            OSError: said(500),
            ValueError: said(400),
        },
    )
    return Guard(app, token, hosts)


def said(status: int, text: str = "") -> Any:
    """Answers an exception with a status, in a text or in its own words."""

    def answer(request: Request, error: Exception) -> Response:
        return PlainTextResponse(text or str(error), status)

    return answer


def tag(version: str) -> str:
    """A version as HTTP writes it."""
    return f'"{version}"'


async def left(request: Request) -> None:
    """Until who has asked is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
