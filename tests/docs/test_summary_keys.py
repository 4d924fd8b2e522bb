"""Every key of summary.json has a row with unit and meaning in docs/metrics.md, and no row is of a key that is none."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from helpers.command_line import in_this_process

from trie.metrics.definitions import numbers
from trie.metrics.summary import Summary

Key = tuple[str, ...]
PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def documented() -> dict[Key, tuple[str, ...]]:
    """The other cells of each key's row; `.p50` after `a.b.mean` is `a.b.p50`."""
    keys: dict[Key, tuple[str, ...]] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for at in (0, 1):  # the column of keys is the first or the second
            if len(cells) > 2 and re.fullmatch(r"`[\w.*]+`(, `[\w.*]+`)*", cells[at]):
                last = ""
                for key in re.findall(r"`([\w.*]+)`", cells[at]):
                    last = f"{last.rpartition('.')[0]}{key}" if key.startswith(".") else key
                    keys[tuple(last.split("."))] = tuple(cells[at + 1 :])
                break
    return keys


KEYS = documented()


def leaves(content: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every path of a summary.json that leads to no object."""
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def declared(kind: Any, above: Key = ()) -> Iterator[Key]:
    """Every path that the types of a summary allow; `*` for a name that depends on the run."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in ("others", "unknown"):  # keys of other versions
            continue
        yield from _below(hints[field.name], (*above, field.name))


def _below(hint: Any, path: Key) -> Iterator[Key]:
    options = [option for option in typing.get_args(hint) if option is not type(None)] or [hint]
    if typing.get_origin(hint) in (Mapping, dict):
        yield from _below(typing.get_args(hint)[1], (*path, "*"))
    elif len(options) == 1 and dataclasses.is_dataclass(options[0]):
        yield from declared(options[0], path)
    elif typing.get_origin(options[0]) is not None and len(options) == 1:
        yield from _below(options[0], path)
    else:
        yield path


def fits(path: Key, key: Key) -> bool:
    """Whether a key of the documents, with its stars, is this path's."""
    return len(path) == len(key) and all(map(fnmatchcase, path, key))


def undocumented(paths: Iterator[tuple[Key, Any]]) -> list[str]:
    """Those without a row; a section that is null or empty needs one of a key in it."""
    return [
        ".".join(path)
        for path, value in paths
        if not any(fits(path, key) or fits(key, path) for key in KEYS)
        and not (value in (None, {}) and any(fits(path, key[: len(path)]) for key in KEYS))
    ]


def test_every_key_of_a_runs_summary_is_documented(tmp_path: Path) -> None:
    trace = {"num_turns": 1, "input_prompt_length": 50, "assistant_response_length": [8], "tool_call_latency": [0.01]}
    trace |= {"tool_call_output_length": [20], "final_assistant_response_length": 9}
    (tmp_path / "w.jsonl").write_text(f"{json.dumps(trace)}\n" * 6)
    command = ("workload=./w.jsonl", "max_traces=6", "concurrency=2", "profile=fast", "progress=none", "html=false")
    done = in_this_process(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    summary = json.loads((Path(done.stdout.rstrip().splitlines()[-1]) / "summary.json").read_text())
    assert summary["traces"]["completed"] == 6
    assert summary["engine"] is not None
    assert undocumented(leaves(summary)) == []


def test_every_key_that_a_summary_can_have_is_documented() -> None:
    assert undocumented((path, 0) for path in declared(Summary)) == []
    assert undocumented((tuple(number.key.split(".")), 0) for number in numbers()) == []


def test_every_documented_key_exists() -> None:
    """A row of a section or of a metric of several numbers names what its numbers begin with."""
    paths = {
        ("schema_version",),
        ("valid",),
        *declared(Summary),
        *(tuple(number.key.split(".")) for number in numbers()),
    }
    stale = [".".join(key) for key in KEYS if not any(fits(path[: len(key)], key) or fits(key, path) for path in paths)]
    assert stale == []


def test_every_documented_key_has_a_unit_and_a_meaning() -> None:
    for key, cells in KEYS.items():
        assert cells[-1], key
        assert len(cells) < 4 or cells[0], f"{key} has no unit"  # a metric's row
