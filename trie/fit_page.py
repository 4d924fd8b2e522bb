"""The page of a fit: the fitted parameters, and each measured run beside its replay in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from trie.fit_profile import Figure, Profile, Replayed
from trie.report.html.channels import quoted
from trie.report.html.document import Card, Cards, Cell, Column, Note, Page, Section, Table
from trie.report.html.plot import Plot
from trie.report.html.theme import BLUE, VERMILION
from trie.report.number_format import percent

INTRO = (
    "Every run is replayed in virtual time with the fitted parameters: the same workload, concurrency and duration. "
    "A parameter can have a narrow interval in a model that is wrong, so read this part first."
)
TOLERABLE = 0.2  # of a difference, above which a cell is marked


def page(profile: Profile) -> Page:
    """The whole page."""
    fitted = profile.fit
    cards = [
        Card("Scheduler", fitted.scheduler, detail=f"profile {profile.sim.profile}"),
        Card("Requests fitted", fitted.requests, detail=f"in {len(profile.replays)} runs"),
        Card("First to last chunk", percent(fitted.decode_error), detail="median error of a request"),
        Card("TTFT", percent(fitted.ttft_error), detail="median error of a request alone"),
        Card("Batches measured", f"{fitted.batches[0]:.1f} to {fitted.batches[1]:.1f}", "requests"),
    ]
    notes = [Note(f"{note[0].upper()}{note[1:]}.", "warn") for note in profile.notes]
    plots = _plots(profile.replays)
    return Page(
        title=f"Fit of profile {profile.sim.profile}",
        subtitle=f"scheduler={fitted.scheduler}, fitted to {', '.join(run.run for run in profile.replays)}",
        blocks=[
            Cards(cards),
            *notes,
            Section("Measured and simulated", [*plots, _table(profile.replays)], intro=INTRO),
            Section("Parameters", [_parameters(profile)]),
        ],
    )


def write(profile: Profile, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        ReportError: when it can't be written.
    """
    page(profile).write(path)


def _table(replays: Sequence[Replayed]) -> Table:
    rows = [
        [f"concurrency {run.concurrency}", run.run, figure.name, figure.measured, figure.simulated, _difference(figure)]
        for run in replays
        for figure in run.figures
    ]
    heads = ("Concurrency", "Run", "Figure", "Measured", "Simulated", "Difference")
    note = f"Differences above {TOLERABLE:.0%} are marked."
    return Table(caption="Each run beside its replay", columns=[Column(head) for head in heads], rows=rows, note=note)


def _difference(figure: Figure) -> Cell:
    if figure.ratio is None:
        return Cell(None)
    return Cell(figure.ratio, text=f"{figure.ratio:+.1%}", tone="warn" if abs(figure.ratio) > TOLERABLE else "plain")


def _parameters(profile: Profile) -> Table:
    """What was fitted with its interval, and the settings that were read off the rows without one."""
    fitted = profile.fit.estimates
    rows: list[list[str | float | None]] = [[name, estimate.value, estimate.half] for name, estimate in fitted.items()]
    rows += [
        [name, getattr(profile.sim, name), None]
        for name in ("cache_blocks", "block_tokens", "tokens_per_chunk", "max_running", "max_model_len")
    ]
    columns = [Column("Setting"), Column("Value"), Column("Half of the interval", "95 %")]
    return Table(caption="Parameters of the model", columns=columns, rows=rows)


def _plots(replays: Sequence[Replayed]) -> Iterator[Plot]:
    """A plot for each figure: both sides by concurrency."""
    names = list(dict.fromkeys(figure.name for run in replays for figure in run.figures))
    for name in names:
        pairs = [(run.concurrency, figure) for run in replays for figure in run.figures if figure.name == name]
        if any(figure.measured is not None and figure.simulated is not None for _, figure in pairs):
            yield _plot(name, sorted(pairs, key=lambda pair: pair[0]))


def _plot(name: str, pairs: Sequence[tuple[int, Figure]]) -> Plot:
    sides = ("measured", "simulated")
    rows = [(number, side, getattr(figure, side)) for side in sides for number, figure in pairs]
    numbers, which, values = (list(column) for column in zip(*rows, strict=True))
    quantity, _, unit = name.partition(" (")
    colors = {"domain": list(sides), "range": [BLUE, VERMILION]}
    ticks = {"values": sorted(set(numbers)), "format": ","}
    dashes = {"domain": list(sides), "range": [[1, 0], [5, 4]]}
    return Plot(
        key="-".join("".join(c if c.isalnum() else " " for c in name.lower()).split()),
        title=quantity[0].upper() + quantity[1:],
        caption="Dashed: simulated.",
        data={"rows": {"concurrency": numbers, "side": which, "value": values}},
        labels={"concurrency": "Concurrency", "side": "Side", "value": name},
        spec={
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "concurrency", "type": "quantitative", "title": "concurrency", "axis": ticks},
                "y": {"field": "value", "type": "quantitative", "title": unit.rstrip(")") or quantity},
                "color": {"field": "side", "type": "nominal", "scale": colors},
                "strokeDash": {"field": "side", "type": "nominal", "scale": dashes},
                "tooltip": [
                    quoted("concurrency", "concurrency", ","),
                    quoted("side", "side"),
                    quoted("value", name, ",.4~g"),
                ],
            },
        },
    )
