import hashlib
import threading
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ds2.corpora.archive import Archive


class Mirror(ThreadingHTTPServer):
    """A server on this machine that has one file, under any path, and the faults that a test gives it.

    Attributes:
        content: of the file; a test may exchange it.
        ranges: whether it knows the header Range.
        length: whether it says how long the file is.
        status: what it answers instead, one a request, 200 meaning the file.
        cuts: after how many bytes of the body it closes the connection, one a request; None: never.
        weak: whether its ETag is a weak one, which no range can be asked for by.
        late: how many bytes after the one asked for its ranges begin.
        kind: its Content-Type, if it gives one.
        drips: whether it sends 100 bytes at a time, fifty times a second.
        elsewhere: the address that it redirects to, if it does.
        asked: the header Range of each request so far.
        sent: the number of bytes of each body so far.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.ranges = True
        self.length = True
        self.status: list[int] = []
        self.cuts: list[int | None] = []
        self.weak = False
        self.late = 0
        self.kind: str | None = None
        self.drips = False
        self.elsewhere: str | None = None
        self.asked: list[str | None] = []
        self.sent: list[int] = []
        self.let_go = threading.Event()
        self.stalls = False
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/resources/corpus.tgz"

    def stop(self) -> None:
        self.let_go.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        mirror = self.server
        self.close_connection = True
        mirror.asked.append(self.headers["Range"])
        status = mirror.status.pop(0) if mirror.status else 200
        cut = mirror.cuts.pop(0) if mirror.cuts else None
        content = mirror.content
        etag = f'{"W/" if mirror.weak else ""}"{hashlib.md5(content).hexdigest()}"'
        if status != 200:
            self.send_error(status)
            return
        if mirror.elsewhere:
            self.send_response(302)
            self.send_header("Location", mirror.elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = 0
        condition = self.headers["If-Range"]
        same = condition is None or (condition == etag and not mirror.weak)
        if mirror.ranges and self.headers["Range"] and same:
            begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) + mirror.late
            if begin >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if mirror.ranges:
            self.send_header("ETag", etag)
        if mirror.kind:
            self.send_header("Content-Type", mirror.kind)
        if mirror.length:
            self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("Connection", "close")
        self.end_headers()
        body = content[begin : None if cut is None else begin + cut]
        mirror.sent.append(len(body))
        drop = 100 if mirror.drips else len(body) or 1
        with suppress(ConnectionError):  # a client may have enough of it
            for start in range(0, len(body), drop):
                self.wfile.write(body[start : start + drop])
                self.wfile.flush()
                if mirror.drips and mirror.let_go.wait(0.02):
                    return
        if mirror.stalls:
            mirror.let_go.wait(60)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """mirror(content) starts a server that has it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ExitStack() as stack:

        def start(content: bytes) -> Mirror:
            server = Mirror(content)
            stack.callback(server.stop)
            return server

        yield start


def archive_of(content: bytes, *mirrors: Mirror, name: str = "corpus.tgz") -> Archive:
    """An archive with this content that the mirrors should have."""
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    return Archive(name, tuple(mirror.address for mirror in mirrors), len(content), checksum, 2 * len(content))
