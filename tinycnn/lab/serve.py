"""The lab's server: on this machine only, until Ctrl-C."""

from __future__ import annotations

import secrets
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from tinycnn.lab.app import application
from tinycnn.lab.folder import Folder
from tinycnn.lab.work import Workshop

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """One that ends the commands that run before it ends."""

    def __init__(self, config: uvicorn.Config, workshop: Workshop):
        super().__init__(config)
        self.workshop = workshop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.workshop.end()
        await super().shutdown(sockets)


def hosts(port: int) -> list[str]:
    """What browsers may call this machine: of port 80 they do not say the number."""
    names = [HOST, "localhost"]
    return [f"{name}:{port}" for name in names] + (names if port == 80 else [])


def serve(folder: Path, port: int, browse: bool, say: Callable[[str], None]) -> None:
    """Serve a folder until Ctrl-C or SIGTERM. port: 0 for any that is free. say: is told the address.

    browse: also open it in the browser. Raises OSError for a port that cannot be had.
    """
    with socket.socket() as listening, tempfile.TemporaryDirectory(prefix="tinycnn-lab-") as pages:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise OSError(f"port {port} cannot be had: {error.strerror}") from None
        listening.listen()  # from here on a browser can wait for an answer
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        workshop = Workshop(Folder(folder), Path(pages))
        config = uvicorn.Config(
            application(workshop, token, hosts(port)),
            log_level="critical",  # what goes wrong is said on the page
            access_log=False,  # has the token in it
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,  # for who does not send the rest of a request
        )
        url = f"http://{HOST}:{port}/{token}/"
        say(url)
        if browse:  # in a thread, for some browsers do not return before they are closed
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C, so that the pages are removed
        try:
            Server(config, workshop).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
