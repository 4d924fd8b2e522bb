"""The search for a capacity, where the capacity is known."""

from __future__ import annotations

from math import ceil, log2

import pytest

from trie.decide.capacity import TOLERANCE, Capacity, Search
from trie.metrics.slo.evaluate import Met


def search(capacity: int, low: int = 4, high: int = 512, unsure: range = range(0)) -> tuple[Capacity, list[int]]:
    """The search against a server that serves so many agents, and isn't sure about some loads."""
    state, loads = Search(low, high), []
    while (load := state.next_load()) is not None:
        loads.append(load)
        answer: Met = "unsure" if load in unsure else "yes" if load <= capacity else "no"
        state.record(load, answer)
    return state.capacity, loads


@pytest.mark.parametrize("capacity", [4, 5, 7, 8, 16, 41, 42, 43, 63, 64, 100, 255, 256, 300, 497, 511])
def test_the_capacity_is_found_in_few_cells(capacity: int):
    known, loads = search(capacity)
    assert known.passes is not None
    assert known.fails is not None
    assert known.passes <= capacity < known.fails
    assert known.fails - known.passes <= max(1, TOLERANCE * capacity)
    assert len(loads) <= ceil(log2(512 - 4)) + 2
    assert len(set(loads)) == len(loads)


def test_every_capacity_of_a_range_is_found():
    for capacity in range(4, 512):
        known, loads = search(capacity)
        assert known.passes is not None
        assert known.fails is not None
        assert known.passes <= capacity < known.fails
        assert len(loads) <= ceil(log2(512 - 4)) + 2


def test_a_server_beyond_the_range():
    assert search(10_000) == (Capacity(512, None), [4, 16, 64, 256, 512])
    assert search(1) == (Capacity(None, 4), [4])
    assert search(10_000)[0].text == "at least 512 agents: the highest load of the search passes"
    assert search(1)[0].text == "fewer than 4 agents: the lowest load of the search does not pass"


def test_loads_that_are_not_sure_lie_between_the_bounds():
    known, loads = search(42, unsure=range(40, 45))
    assert known.passes == 39
    assert known.fails == 46  # 45 fails too: the cells of a search that is not sure are over
    assert known.text == "39 to 45 agents"
    assert len(loads) <= ceil(log2(512 - 4)) + 2


def test_cells_that_another_search_asked_for_do_not_count():
    state = Search(4, 64)
    for load in range(40, 60):
        state.record(load, "unsure")
    assert state.cells == 0
    assert state.next_load() is not None


def test_a_cell_that_fails_below_one_that_passes_is_the_bound():
    state = Search(4, 64)
    for load, answer in ((4, "yes"), (16, "yes"), (64, "no"), (40, "yes"), (28, "no")):
        state.record(load, answer)  # type: ignore[arg-type]
    assert (state.capacity.passes, state.capacity.fails) == (16, 28)


def test_no_load_above_an_unsure_one_beyond_the_limit_is_measured():
    state, loads = Search(4, 512), []
    while (load := state.next_load()) is not None:
        loads.append(load)
        state.record(load, "yes" if load <= 41 else "unsure", beyond=load > 41)
    assert max(loads) == 64
    assert len(loads) <= 9
    assert state.capacity.text == "at least 41 agents; not sure from 42 on: cells must be longer (duration=...)"


def test_a_search_that_is_not_sure_of_its_lowest_load_does_not_say_that_it_fails():
    assert "not sure from 4 on" in Capacity(None, 6, (4,)).text
