"""The API key reaches the server and nothing else."""

from __future__ import annotations

import os
import pickle

import pytest

from trie.cli.secrets import Keys, of_this_process, take_api_key
from trie.errors import ConfigError

MARKER = "sk-marker-4711"


@pytest.mark.parametrize(
    "typed",
    [
        f"api_key={MARKER}",
        f"+api_key={MARKER}",
        f"++api_key={MARKER}",
        f"~api_key={MARKER}",
        f"api_key='{MARKER}'",
        f'api_key="{MARKER}"',
        f"api_key = {MARKER}",
        f"api_key@x={MARKER}",
        f"endpoint.api_key={MARKER}",
    ],
)
def test_key_is_taken_off_however_it_is_typed(typed: str) -> None:
    arguments, keys = take_api_key(["duration=1", typed, "-m"])
    assert arguments == ["duration=1", "-m"]
    assert keys.key("TRIE_TEST_NO_SUCH_VARIABLE") == MARKER


def test_last_key_wins_and_other_settings_stay() -> None:
    arguments, keys = take_api_key(["api_key=a", "endpoint.api_key_env=MINE", "api_key=b=c"])
    assert arguments == ["endpoint.api_key_env=MINE"]
    assert keys.key("MINE") == "b=c"


def test_environment_is_read_once_and_left_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that start later inherit nothing; the next cell of a sweep still has the key."""
    monkeypatch.setenv("MINE", MARKER)
    keys = Keys(None)
    assert keys.key("MINE") == MARKER
    assert "MINE" not in os.environ
    assert keys.key("MINE") == MARKER
    assert keys.key("OTHER") is None


def test_typed_key_beats_the_environment_and_empty_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "from-environment")
    assert Keys("typed").key("MINE") == "typed"
    monkeypatch.setenv("MINE", "")
    assert Keys(None).key("MINE") is None


def test_key_that_no_header_can_carry_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError) as caught:
        Keys("sk\nevil").key("MINE")
    assert "evil" not in str(caught.value)


def test_keys_are_neither_shown_nor_pickled() -> None:
    keys = Keys(MARKER)
    assert MARKER not in repr(keys)
    with pytest.raises(ConfigError):
        pickle.dumps(keys)


def test_another_process_takes_the_key_out_of_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that follow one another in one process of a launcher find it too."""
    monkeypatch.setenv("MINE", MARKER)
    pickled = pickle.dumps(Keys(None))
    assert MARKER.encode() not in pickled
    assert [pickle.loads(pickled).key("MINE") for _ in range(2)] == [MARKER, MARKER]
    assert "MINE" not in os.environ
    of_this_process.cache_clear()
