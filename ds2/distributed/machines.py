"""The supervisors of several machines notice each other's end.

NCCL waits for a lost process without end, so that the processes themselves cannot tell.
"""

import socket
import time

from loguru import logger

from ds2.errors import UserError

_DONE = b"done"
_WARN_AFTER_S = 60.0
_LAST_PORT = 65535  # of TCP; the port after the one that is named is needed


class Link:
    """A connection from every machine to the first one, on the port after that of PADDLE_MASTER. A context manager."""

    def __init__(self, master: str | None, machine: int, machines: int) -> None:
        """Takes the fields of launch.Plan; raises UserError where the address is none or the port is in use."""
        self._peers: list[socket.socket] = []
        self._listening: socket.socket | None = None
        self._address: tuple[str, int] | None = None
        self._start = time.monotonic()
        if machines == 1:
            return
        host, _, port = (master or "").rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < _LAST_PORT:
            raise UserError(
                f"PADDLE_MASTER is {master!r}: it should be host:port of the first machine, the port below {_LAST_PORT}"
            )
        if machine > 0:
            self._address = (host, int(port) + 1)
            return
        try:
            self._listening = socket.create_server(("", int(port) + 1))
        except OSError as error:
            raise UserError(
                f"port {int(port) + 1}, the one after PADDLE_MASTER's, cannot be used ({error.strerror}): name another"
            ) from None
        self._listening.setblocking(False)

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *error: object) -> None:
        for one in filter(None, [*self._peers, self._listening]):
            one.close()

    def broken(self) -> bool:
        """Whether another machine has ended before it was done. Does not wait."""
        self._meet()
        for peer in list(self._peers):
            try:
                said = peer.recv(len(_DONE))
            except BlockingIOError:
                continue
            except OSError:
                return True
            self._peers.remove(peer)
            peer.close()
            if said != _DONE:
                return True
        return False

    def done(self) -> None:
        """Tells the others that this machine's end is no failure."""
        for peer in self._peers:
            try:
                peer.sendall(_DONE)
            except OSError:
                continue  # it has ended too

    def _meet(self) -> None:
        try:
            if self._listening is not None:
                self._add(self._listening.accept()[0])
            elif self._address is not None:
                self._add(socket.create_connection(self._address, timeout=1.0))
                self._address = None
        except BlockingIOError:
            return
        except OSError:
            if time.monotonic() - self._start > _WARN_AFTER_S and self._address is not None:
                host, port = self._address
                self._address = None
                logger.warning(f"no connection to {host}:{port}: the end of another machine may go unnoticed")

    def _add(self, peer: socket.socket) -> None:
        peer.setblocking(False)
        # A machine without power says nothing: it is asked after 5 s of silence, and given up after 6 more.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._peers.append(peer)
