"""Counts a client's requests by kind, from between it and the server.

It passes bytes on and reads nothing but request heads. Times are not measured through it, but CPU of a
long-running client is: that is another process's.
"""

import re
import socket
import threading
import time
from collections import Counter
from types import TracebackType

CHUNK = 1 << 20
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Relay:
    """Listens on a free port of 127.0.0.1 for as long as the `with` block runs."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.counter: Counter[str] = Counter()
        self.began = 0
        self.active = time.monotonic()
        self.sockets: set[socket.socket] = set()
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def counts(self) -> dict[str, int]:
        with self.lock:
            return dict(self.counter)

    def listings(self) -> int:
        """How many listings began: requests for a first page."""
        with self.lock:
            return self.began

    def quiet(self) -> float:
        """Seconds since the last byte in either direction."""
        return time.monotonic() - self.active

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target, timeout=10)
            except OSError:
                return
            server.settimeout(None)
            with self.lock:
                if self.closed:
                    client.close()
                    server.close()
                    return
                self.sockets |= {client, server}
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            heads = Heads(self._note)
            threading.Thread(target=self._pass, args=(client, server, heads), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, None), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, heads: "Heads | None") -> None:
        space = memoryview(bytearray(CHUNK))
        try:
            while count := source.recv_into(space):
                self.active = time.monotonic()
                if heads:
                    heads.feed(bytes(space[:count]))
                sink.sendall(space[:count])
        except OSError:
            pass
        for side, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            try:
                side.shutdown(how)
            except OSError:
                pass

    def _note(self, method: str, target: str) -> None:
        kind, first = kind_of(method, target)
        with self.lock:
            self.counter[kind] += 1
            self.began += first

    def __enter__(self) -> "Relay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self.lock:
            self.closed = True
            sockets, self.sockets = self.sockets, set()
        # A thread that waits in accept() is woken by shutdown, not by close.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for side in sockets:
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            side.close()


class Heads:
    """Finds the heads of requests in one direction of a connection."""

    def __init__(self, note) -> None:
        self.note = note
        self.held = b""
        self.body = 0

    def feed(self, data: bytes) -> None:
        while data:
            if self.body:
                skipped = min(self.body, len(data))
                self.body -= skipped
                data = data[skipped:]
                continue
            self.held += data
            head, end, data = self.held.partition(b"\r\n\r\n")
            if not end:
                return
            self.held = b""
            method, target, *_ = head.split(b" ", 2)
            length = LENGTH.search(head)
            self.body = int(length.group(1)) if length else 0
            self.note(method.decode(), target.decode())


def kind_of(method: str, target: str) -> tuple[str, bool]:
    """LIST, GET, HEAD or what else it was, and whether it began a listing."""
    path, _, query = target.partition("?")
    _, _, key = path.removeprefix("/").partition("/")
    if key:
        return method, False
    listing = method == "GET" and ("list-type=" in query or "prefix=" in query)
    if not listing:
        return f"{method} bucket", False
    return "LIST", not any(word in query for word in ("continuation-token=", "marker="))
