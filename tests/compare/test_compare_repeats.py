"""Several runs of a side: how runs of one server differ is in the intervals, and the words may be better or worse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.known_servers import Server, written

from trie.cli import main
from trie.compare.comparison import Pair, compare
from trie.compare.differences import Difference, Settings
from trie.compare.gates import parse
from trie.compare.matching import split
from trie.errors import RunDirError

SPEED = "per_trace.decode_tps.mean"


def runs(folder: Path, *steps_s: float, began: float = 0.0) -> list[Path]:
    """A run for each length of a step, an hour apart; 1 / step tok/s, without scatter."""
    folder.mkdir()
    return [
        written(
            folder / str(index),
            Server(step_s=step_s, noise=0.0),
            wall_s=30.0,
            started={"unix_s": 3600.0 * (began + 2 * index)},
        )
        for index, step_s in enumerate(steps_s)
    ]


def of(pair: Pair, key: str = SPEED) -> Difference:
    return next(difference for difference in pair.differences if difference.of.key == key)


def test_the_interval_is_that_from_run_to_run(tmp_path: Path) -> None:
    """100 and 125 tok/s beside 80 and 100: a change of -22.5 +- 4.303 * sqrt((12.5^2 + 10^2) / 2), two degrees.

    Squares within the sides: 2 * 12.5^2 = 312.5 and 2 * 10^2 = 200, over two degrees 256.25; times (1/2 + 1/2).
    """
    sides = runs(tmp_path / "a", 0.010, 0.008), runs(tmp_path / "b", 0.0125, 0.010, began=1)
    (pair,) = compare(sides, Settings()).pairs
    speed = of(pair)
    assert (speed.baseline, speed.candidate) == (pytest.approx(112.5), pytest.approx(90.0))
    assert speed.low == pytest.approx(-22.5 - 4.3027 * 256.25**0.5, rel=1e-4)
    assert speed.high == pytest.approx(-22.5 + 4.3027 * 256.25**0.5, rel=1e-4)
    assert (pair.repeated, speed.verdict) == (True, "noise")
    alone = compare([sides[0][1], sides[1][0]], Settings()).pairs[0]  # one of each, 125 and 80: far apart
    assert (alone.repeated, of(alone).verdict) == (False, "lower")


@pytest.mark.parametrize(
    ("step_s", "margin", "word"),
    [(0.0125, None, "worse"), (0.008, None, "better"), (0.0101, None, "worse"), (0.0101, 0.02, "equivalent")],
)
def test_repeats_may_be_called_better_worse_or_equivalent(
    tmp_path: Path, step_s: float, margin: float | None, word: str
) -> None:
    sides = runs(tmp_path / "a", 0.010, 0.01001), runs(tmp_path / "b", step_s, step_s * 1.001, began=1)
    (pair,) = compare(sides, Settings(margin=margin), [parse("decode_tps.mean < +5%")]).pairs
    assert of(pair).verdict == word
    assert pair.gates[0].certain is True


@pytest.mark.slow
def test_runs_that_did_not_take_turns_are_doubtful(tmp_path: Path) -> None:
    a, b, late = (runs(tmp_path / name, 0.01, 0.01, began=began) for name, began in (("a", 0), ("b", 1), ("c", 9)))
    assert "order" not in {doubt.what for doubt in compare([a, b], Settings()).pairs[0].doubts}
    assert "order" in {doubt.what for doubt in compare([a, late], Settings()).pairs[0].doubts}
    mixed = [a[0], written(tmp_path / "d", num_gpus=2)]
    (doubt,) = [doubt for doubt in compare([b, mixed], Settings()).pairs[0].doubts if doubt.what == "repeats of B"]
    assert doubt.found == "its runs differ in num_gpus"


def test_repeats_of_a_sweeps_cell_stand_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sweep, step_s in (("a", 0.010), ("b", 0.0125)):
        (tmp_path / sweep).mkdir()
        (tmp_path / sweep / "multirun.yaml").touch()
        for repeat in (1, 2):
            server = Server(step_s=step_s * (1 + repeat / 1000), noise=0.0)
            written(tmp_path / sweep / f"w-c8-11111111-r{repeat}", server, wall_s=30.0, repeat=repeat)
    assert main.run(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["cell"] == "w c8"
    (pair,) = cell["pairs"]
    assert [len(pair[side]["runs"]) for side in ("baseline", "candidate")] == [2, 2]
    assert pair["metrics"][SPEED]["verdict"] == "worse"


def test_commas_stand_between_the_runs_of_a_side(tmp_path: Path) -> None:
    odd = tmp_path / "a,b"
    odd.mkdir()
    assert split([str(odd), "x,y", "z"]) == [[odd], [Path("x"), Path("y")], [Path("z")]]
    with pytest.raises(RunDirError, match="a directory is missing beside a comma"):
        split(["x,,y"])
