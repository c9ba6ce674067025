"""Where the processes of a training wait for each other.

Gloo's collective calls give up after 30 s, which paddle lets nobody change, and every question to paddle's store takes
more than 40 ms, since its parts wait for an acknowledgement that TCP delays.
"""

import secrets
import socket
from collections.abc import Callable

_HERE = b"."
_TOKEN_BYTES = 16
_STRANGERS_S = 5.0  # a connection that has not named the token by then is no process of this training


class Barrier:
    """A connection from every process to the first one. All methods raise OSError when a process is gone."""

    def __init__(self, rank: int, size: int, host: str, tell: Callable[[str], None], ask: Callable[[], str]) -> None:
        """Waits for all processes.

        Args:
            rank: of this process.
            size: the number of processes.
            host: of the first one.
            tell: gives a text to the others; called by the first one only.
            ask: waits for that text; called by the others only.
        """
        self._peers: list[socket.socket] = []
        self._first: socket.socket | None = None
        if rank > 0:
            port, token = ask().split()
            self._first = socket.create_connection((host, int(port)))
            self._first.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._first.sendall(bytes.fromhex(token))
            return
        expected = secrets.token_bytes(_TOKEN_BYTES)
        with socket.create_server((host if host == "127.0.0.1" else "", 0)) as server:
            tell(f"{server.getsockname()[1]} {expected.hex()}")
            while len(self._peers) < size - 1:
                peer, _ = server.accept()
                if _names(peer, expected):
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._peers.append(peer)
                else:
                    peer.close()

    def wait(self) -> None:
        """Waits until all processes are here, without a time limit."""
        if self._first is not None:
            self._first.sendall(_HERE)
            _hear(self._first)
        for peer in self._peers:
            _hear(peer)
        for peer in self._peers:
            peer.sendall(_HERE)


def _names(peer: socket.socket, expected: bytes) -> bool:
    peer.settimeout(_STRANGERS_S)
    try:
        named = peer.recv(_TOKEN_BYTES, socket.MSG_WAITALL)
    except OSError:
        return False
    peer.settimeout(None)
    return secrets.compare_digest(named, expected)


def _hear(peer: socket.socket) -> None:
    if peer.recv(1) != _HERE:
        raise ConnectionError("a process is gone")
