"""What a check is: declared once with its id and a title for either outcome, made for each run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trie.storage.manifest import Manifest, Settings

if TYPE_CHECKING:
    from trie.metrics.summary import Summary

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a run; an error that is not ok makes the run invalid, a warning is for the reader to weigh."""

    id: str  # does not change from version to version
    level: Level
    ok: bool
    title: str  # a fact: that of the outcome
    found: str
    advice: str

    @property
    def check(self) -> str:
        """The title by its former name."""
        return self.title

    @property
    def line(self) -> str:
        """What is the matter, without the advice."""
        return f"{self.title}: {self.found}"

    def to_json(self) -> dict[str, Any]:
        """As summary.json has it; `check` is the title by its former name."""
        return {
            "id": self.id,
            "level": self.level,
            "ok": self.ok,
            "title": self.title,
            "check": self.title,
            "found": self.found,
            "advice": self.advice,
        }

    @classmethod
    def from_json(cls, check: Mapping[str, Any]) -> Check:
        """A check of a summary.json; one from before checks had ids has the words of its id as its title."""
        title = check.get("title", check["check"])
        return cls(
            check.get("id", title.replace(" ", "_")),
            check["level"],
            check["ok"],
            title,
            check["found"],
            check["advice"],
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """The declaration of a check."""

    id: str
    level: Level
    holds: str  # the title of a check that is ok
    fails: str  # the title of one that is not

    def check(self, ok: bool, found: str, advice: str, *, level: Level | None = None) -> Check:
        """The check of one run; `level` where this run's differs from the declared one."""
        return Check(self.id, level or self.level, ok, self.holds if ok else self.fails, found, advice)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checks of a run are made of."""

    summary: Summary  # without its verdict
    manifest: Manifest
    settings: Settings
