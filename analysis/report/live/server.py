"""Serve the page to this machine alone: four addresses, nothing of the disk by its path."""

from __future__ import annotations

import hashlib
import socketserver
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from analysis.report.live.watcher import Watcher
from ofb_ray.errors import InputError, one_line

HOST, PORT, TRIED = "127.0.0.1", 8471, 20
NAMES = ("127.0.0.1", "localhost")
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        # Bokeh compiles the scripts of its models; everything lies inside of the page.
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(ThreadingHTTPServer):
    """A server of one watcher.

    Args:
        port: 0 for any free one.
    Raises:
        OSError: the port is in use.
    """

    daemon_threads = True
    block_on_close = False  # pictures that are being drawn keep nobody waiting

    def __init__(self, watcher: Watcher, port: int) -> None:
        self.watcher = watcher
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a page that was closed before its answer had come."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ofb_ray", ""
    timeout = 60  # seconds that a silent connection is kept

    def do_GET(self) -> None:
        """Answer with the page or its data; 304 where the asker has it already."""
        # A foreign page whose name was made to mean this machine (DNS rebinding) sends its own name.
        if self.headers.get("Host", "").rpartition(":")[0] not in NAMES and self.headers.get("Host") not in NAMES:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers to 127.0.0.1 and localhost alone\n")
            return
        make = self.server.watcher.answers.get(self.path)
        if make is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n")
            return
        try:
            body = make()
        except (InputError, OSError) as error:  # a store that does not answer, a folder that has just gone
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", one_line(str(error)).encode())
            return
        tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        known = self.headers.get("If-None-Match") == tag
        kind = "text/html" if self.path == "/" else "application/json"
        self._send(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK, kind, b"" if known else body, tag)

    do_HEAD = do_GET

    def _send(self, status: HTTPStatus, kind: str, body: bytes, tag: str = "") -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the terminal says where the page is."""


def watch(folders: Sequence[str | Path], port: int | None = None) -> None:
    """Serve the report of results folders, until Ctrl-C raises KeyboardInterrupt.

    Args:
        folders: results folders or their URIs; their sweeps may still be running.
        port: by default 8471, or the next free one.

    Raises:
        InputError: no results folder, or the port is in use.
    """
    with serve(Watcher(folders), port) as server:
        print(f"report of {server.watcher.name}: {server.url} (Ctrl-C ends it)", flush=True)
        server.serve_forever()


def serve(watcher: Watcher, port: int | None = None) -> Server:
    """Open the server.

    Raises:
        InputError: the port is in use, or all of the first ones are.
    """
    for each in range(PORT, PORT + TRIED) if port is None else [port]:
        try:
            return Server(watcher, each)
        except OSError as error:
            reason = error.strerror or str(error)
    if port is None:
        raise InputError(f"ports {PORT} to {PORT + TRIED - 1} are in use: give a free one", key="--port")
    raise InputError(f"cannot serve on port {port} ({reason}): give another one, or none", key="--port")
