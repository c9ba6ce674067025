import time

import pytest

from ds2.distributed.machines import Link
from ds2.errors import UserError
from tests.process import free_port


@pytest.fixture
def master():
    """An address whose next port is free."""
    return f"127.0.0.1:{free_port() - 1}"


def connect(links):
    """Looks until every machine has met the first one."""
    end = time.monotonic() + 10
    while len(links[0]._peers) < len(links) - 1:
        assert not any(link.broken() for link in reversed(links))
        assert time.monotonic() < end
        time.sleep(0.01)


def breaks(link):
    """Whether it breaks within a second."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if link.broken():
            return True
        time.sleep(0.01)
    return False


def test_the_end_of_a_machine_reaches_all_others_by_way_of_the_first(master):
    with Link(master, 0, 3) as first, Link(master, 1, 3) as second, Link(master, 2, 3) as third:
        connect([first, second, third])
        assert not first.broken()
        third.__exit__(None, None, None)
        assert breaks(first)
        assert not second.broken()
        first.__exit__(None, None, None)
        assert breaks(second)


def test_a_machine_that_is_done_does_not_break_the_others(master):
    with Link(master, 0, 2) as first, Link(master, 1, 2) as second:
        connect([first, second])
        first.done()
        first.__exit__(None, None, None)
        assert not breaks(second)


def test_one_machine_needs_no_address_and_never_breaks():
    with Link(None, 0, 1) as alone:
        assert not alone.broken()
        alone.done()


def test_a_port_in_use_is_named(master):
    with Link(master, 0, 2), pytest.raises(UserError, match=r"the one after PADDLE_MASTER's, cannot be used"):
        Link(master, 0, 2)


@pytest.mark.parametrize("address", [None, "10.0.0.1", "10.0.0.1:port", ":6170", "10.0.0.1:0", "10.0.0.1:65535"])
@pytest.mark.parametrize("machine", [0, 1])
def test_an_address_that_is_none_is_named(address, machine):
    with pytest.raises(UserError, match="should be host:port"):
        Link(address, machine, 2)
