import contextlib
import socket
import threading
import time
from contextlib import closing
from queue import Queue

import pytest

from ds2.distributed import barrier
from ds2.distributed.barrier import Barrier


@pytest.fixture
def meet():
    """meet(3): the barriers of three processes, which threads stand for here; meet(3, act) calls act(port) before."""

    def make(size, act=lambda port: None):
        told, made = Queue(), {}

        def tell(text):
            act(int(text.split()[0]))
            for _ in range(size - 1):
                told.put(text)

        def start(rank):
            made[rank] = Barrier(rank, size, "127.0.0.1", tell, told.get)

        run(size, start)
        return [made[rank] for rank in range(size)]

    return make


def run(size, act):
    threads = [threading.Thread(target=act, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_nobody_leaves_before_the_last_one_has_come(meet):
    made, left = meet(3), {}
    for late in range(3):

        def wait(rank, late=late):
            if rank == late:
                time.sleep(0.3)
                left["come"] = time.monotonic()
            made[rank].wait()
            left[rank] = time.monotonic()

        run(3, wait)
        assert all(left[rank] >= left["come"] for rank in range(3))


def test_one_that_is_gone_ends_the_others_wait(meet):
    for gone in range(2):
        made = meet(2)
        for one in [*made[gone]._peers, made[gone]._first]:
            if one is not None:
                one.close()
        with pytest.raises(ConnectionError):
            made[1 - gone].wait()


def test_strangers_are_left_alone(meet, monkeypatch):
    monkeypatch.setattr(barrier, "_STRANGERS_S", 0.2)
    strangers = []

    def act(port):
        for word in (b"", b"GET / HTTP/1.1\r\n\r\n"):
            strangers.append(socket.create_connection(("127.0.0.1", port)))
            strangers[-1].sendall(word)

    made = meet(2, act)
    run(2, lambda rank: made[rank].wait())
    for one in strangers:
        with closing(one), contextlib.suppress(ConnectionResetError):
            one.settimeout(5)
            assert one.recv(1) == b""


def test_a_wait_takes_no_time_where_all_are_here(meet):
    made = meet(2)
    start = time.monotonic()
    run(2, lambda rank: [made[rank].wait() for _ in range(200)])
    assert time.monotonic() - start < 4  # 40 ms each would be 8 s
