"""Processes that torchrun starts again meet under names that the dead ones before them have not known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from core.distributed import LostProcessError, own_part


def meet(store: dist.Store, size: int) -> list[dist.Store]:
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda number: own_part(store, number, size), range(size)))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_get_one_part_where_nothing_stands(size: int) -> None:
    store = dist.HashStore()
    first = meet(store, size)
    first[0].set("address", "of the dead")
    assert {part.get("address") for part in first} == {b"of the dead"}
    again = meet(store, size)
    assert not any(part.check(["address"]) for part in again)
    again[-1].set("address", "of the living")
    assert {part.get("address") for part in again} == {b"of the living"}


def test_who_comes_first_waits_for_the_living() -> None:
    """The name of a dead process, and that it was there, stands in the store."""
    store = dist.HashStore()
    meet(store, 2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(own_part, store, 0, 2)
        with pytest.raises(TimeoutError):
            first.result(timeout=0.5)
        second = own_part(store, 1, 2)
        first.result(timeout=5).set("a", "b")
    assert second.get("a") == b"b"


def test_it_is_said_that_some_have_not_come() -> None:
    store = dist.HashStore()
    meet(store, 2)
    store.set_timeout(timedelta(seconds=0.2))
    with pytest.raises(LostProcessError, match="process 1 has waited 0:00:00"):
        own_part(store, 1, 2)


def test_it_is_said_that_some_have_never_come() -> None:
    """Not even a dead process has been there before."""
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for store in (dist.HashStore(), server):
        store.set_timeout(timedelta(seconds=0.2))
        with pytest.raises(LostProcessError, match="process 1 has waited 0:00:00"):
            own_part(store, 1, 2)
