"""Lengths verified by two requests, against servers that count well, with an offset, badly or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from trie.config import RunConfig
from trie.errors import PromptError
from trie.preflight.prompt_lengths import Template, verify_lengths
from trie.prompts.builder import Prompts, load


@pytest.fixture
def prompts(config: Callable[..., RunConfig]) -> Prompts:
    return load(config(), "m", 0)


@pytest.mark.parametrize("added", [0, 1, 37])
async def test_a_constant_offset_is_measured_and_reported(prompts: Prompts, added: int) -> None:
    texts: list[bytes] = []

    async def ask(text: bytes) -> int:
        texts.append(text)
        return text.count(b" ") + added

    check = await verify_lengths(prompts, ask, longest=100_000)
    assert check.verified
    assert check.offset_tokens == added
    assert f"n + {added}" in check.finding
    assert [text.count(b" ") for text in texts] == [16, 4096]
    assert not texts[1].startswith(texts[0][:20]), "the second does not hit a cache"


@pytest.mark.parametrize(
    ("longest", "expected"), [(1000, [16, 1000]), (32, [16, 32]), (20, [10, 20]), (2, [1, 2]), (1, [1, 1])]
)
async def test_a_small_context_or_workload_is_not_exceeded(prompts: Prompts, longest: int, expected: list[int]) -> None:
    lengths: list[int] = []

    async def ask(text: bytes) -> int:
        lengths.append(text.count(b" "))
        return lengths[-1]

    assert (await verify_lengths(prompts, ask, longest=longest)).verified
    assert lengths == expected


async def test_words_that_fall_apart_are_refused_with_a_choice(prompts: Prompts) -> None:
    async def ask(text: bytes) -> int:
        return len(text) // 4

    with pytest.raises(PromptError) as caught:
        await verify_lengths(prompts, ask, longest=100_000)
    assert "tokenizer_model=" in str(caught.value)
    assert "prompts.calibrate=false" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_fewer_tokens_than_were_sent_verify_nothing(prompts: Prompts) -> None:
    async def ask(text: bytes) -> int:
        return text.count(b" ") - 2

    with pytest.raises(PromptError):
        await verify_lengths(prompts, ask, longest=100_000)


async def test_a_server_without_usage_verifies_nothing_and_stops_nothing(prompts: Prompts) -> None:
    async def ask(_: bytes) -> None:
        return None

    check = await verify_lengths(prompts, ask, longest=100_000)
    assert not check.verified
    assert "no usage" in check.finding


def template(first: int, turn: int) -> Callable[..., Awaitable[int]]:
    """A server of chats that adds so many tokens to a first message and with each further turn."""

    async def ask(*texts: bytes) -> int:
        return b"".join(texts).count(b" ") + first + turn * (len(texts) // 2)

    return ask


@pytest.mark.parametrize(("first", "turn"), [(0, 0), (4, 11), (37, 9)])
async def test_what_a_template_adds_is_measured_turn_by_turn(prompts: Prompts, first: int, turn: int) -> None:
    check = await verify_lengths(prompts, template(first, turn), longest=100_000, chat=True)
    assert check.template == Template(first_tokens=first, per_turn_tokens=turn)
    assert f"n + {first} for n tokens, and {turn} more with each turn" in check.finding


async def test_a_conversation_fits_into_a_small_context(prompts: Prompts) -> None:
    check = await verify_lengths(prompts, template(2, 3), longest=60, chat=True)
    assert check.template == Template(2, 3)


async def test_a_template_that_leaves_a_message_out_is_refused(prompts: Prompts) -> None:
    async def ask(*texts: bytes) -> int:
        return texts[0].count(b" ") + 10 * len(texts)

    with pytest.raises(PromptError, match=r"leaves a message out; try endpoint\.tool_role=user"):
        await verify_lengths(prompts, ask, longest=100_000, chat=True)


@pytest.mark.parametrize("kept", [(0, 1), (0, 2), (0,)], ids=["no tool output", "no answer", "neither"])
async def test_what_a_template_adds_does_not_hide_a_message_that_it_leaves_out(
    prompts: Prompts, kept: tuple[int, ...]
) -> None:
    """Texts of a short workload have fewer tokens than the call of a tool that the template writes in their place."""

    async def ask(*texts: bytes) -> int:
        return b"".join(texts[place] for place in kept if place < len(texts)).count(b" ") + 60 * (len(texts) // 2)

    with pytest.raises(PromptError, match=r"leaves a message out; try endpoint\.tool_role=user"):
        await verify_lengths(prompts, ask, longest=92, chat=True)


@pytest.mark.parametrize("longest", [1, 4, 9, 92])
async def test_a_short_conversation_that_is_counted_whole_is_verified(prompts: Prompts, longest: int) -> None:
    async def ask(*texts: bytes) -> int:
        return b"".join(texts).count(b" ") + 60 * (len(texts) // 2)

    assert (await verify_lengths(prompts, ask, longest=longest, chat=True)).template == Template(0, 60)


def thinking(*, counts_reasoning: bool, keeps_answers: bool = True) -> Callable[..., Awaitable[int]]:
    """A chat's server that adds 4 tokens to a first message and 11 with each turn, and may leave texts out."""

    async def ask(*texts: bytes, reasoning: bytes = b"") -> int:
        counted = [*texts[::2], *(texts[1::2] if keeps_answers else ())]
        counted += [reasoning] if counts_reasoning else []
        return b"".join(counted).count(b" ") + 4 + 11 * (len(texts) // 2)

    return ask


@pytest.mark.parametrize("counted", [True, False])
async def test_reasoning_that_goes_back_is_counted_or_said_to_be_left_out(
    prompts: Prompts, caplog: pytest.LogCaptureFixture, *, counted: bool
) -> None:
    ask = thinking(counts_reasoning=counted)
    check = await verify_lengths(prompts, ask, longest=100_000, chat=True, reasoning=True)
    assert check.template == Template(4, 11)
    assert ("leaves out the reasoning" in caplog.text) is not counted


async def test_an_answer_that_is_left_out_is_refused_with_reasoning_too(prompts: Prompts) -> None:
    ask = thinking(counts_reasoning=True, keeps_answers=False)
    with pytest.raises(PromptError, match="leaves a message out"):
        await verify_lengths(prompts, ask, longest=100_000, chat=True, reasoning=True)
