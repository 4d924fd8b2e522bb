"""What the runs of a comparison are called on its page, and what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trie.compare.comparison import LABELS, Comparison, Pair
from trie.compare.format import value_of

FEW = 2  # settings that a title can say


def names_of(comparison: Comparison) -> dict[str, str]:
    """A name for each label: the label where the user gave it, else as much of the directory as tells it apart."""
    paths = {label: Path(str(path).partition(",")[0]).resolve() for label, path in comparison.inputs.items()}
    tails = _tails(list(paths.values()))
    names = {}
    for (label, path), tail in zip(comparison.inputs.items(), tails, strict=True):
        more = str(path).count(",") if len(label) == 1 else 0
        several = f" and {more} more" if more and not path.exists() else ""
        names[label] = f"{tail}{several}" if label in LABELS else label
    if len(set(names.values())) < len(names):  # a run beside itself
        return {label: f"{label} {name}" for label, name in names.items()}
    return names


def _tails(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few as tell them apart."""
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        tails = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(tails)) == len(set(paths)):
            return tails
    return [str(path) for path in paths]


def title_of(comparison: Comparison, names: Mapping[str, str]) -> str:
    """What differs where that is a setting or two, else the names."""
    baseline, *others = names.values()
    settings = [setting for pair in comparison.pairs for setting in pair.settings if setting.key != "seed"]
    set_in_both = [setting for setting in settings if None not in (setting.baseline, setting.candidate)]
    keys = dict.fromkeys(setting.key for setting in settings)
    if len(keys) > FEW:  # as of runs of two versions, one of which does not know them all
        keys = dict.fromkeys(setting.key for setting in set_in_both)
    if not 1 <= len(keys) <= FEW:
        return f"{' and '.join(others)} against {baseline}"
    return ", ".join(f"{key} {_values(comparison.pairs, key)}" for key in keys)


def _values(pairs: Sequence[Pair], key: str) -> str:
    """Each value of a setting once, those of the baseline last."""
    settings = [setting for pair in pairs for setting in pair.settings if setting.key == key]
    candidates = dict.fromkeys(value_of(setting.candidate) for setting in settings)
    baselines = dict.fromkeys(value_of(setting.baseline) for setting in settings)
    return f"{' and '.join(candidates)} against {' and '.join(baselines)}"


def by_name(text: str, pair: Pair, names: Mapping[str, str]) -> str:
    """A sentence about the baseline and the candidate, with the names of these runs."""
    for word, run in (("baseline", pair.baseline), ("candidate", pair.candidate)):
        text = text.replace(f"the {word}", word).replace(word, names[run.label])
    return text
