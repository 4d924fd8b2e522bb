"""Every format that is imported has a page, which names its fields."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trie.workload.importers.fields import Field
from trie.workload.importers.formats import FORMATS
from trie.workload.importers.importer import Importer

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "formats").glob("*.md"))


def test_each_format_has_a_page_that_the_list_links_to() -> None:
    names = {importer.name for importer in FORMATS}
    assert {page.stem for page in PAGES} == names
    listed = re.findall(r"\[`([\w-]+)`\]\(formats/([\w-]+)\.md\)", (DOCS / "traces.md").read_text())
    assert {name for name, page in listed if name == page} == names


@pytest.mark.parametrize("importer", FORMATS, ids=lambda importer: importer.name)
def test_a_page_names_the_fields_that_are_read(importer: Importer) -> None:
    text = (DOCS / "formats" / f"{importer.name}.md").read_text()
    for fields in importer.fields.values():
        for name in fields.__slots__:
            field: Field = getattr(fields, name)
            for source_name in field.names:
                shown = source_name.removeprefix("metadata.usage_object.")
                assert f"`{shown}`" in text or f"`{shown}," in text or f",{shown}" in text, source_name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_the_format_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target
