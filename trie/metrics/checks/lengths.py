"""Checks of prompt and completion lengths: what the server counts against what the traces ask for."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence

USAGE_REPORTED = Condition(
    "usage_reported", "warning", "the server reports usage", "lengths and cache hits are not measured"
)
USAGE_COMPLETE = Condition("usage_complete", "warning", "every request reports usage", "some requests report no usage")
PROMPT_LENGTHS = Condition(
    "prompt_lengths", "error", "prompts are as long as recorded", "prompts are not as long as recorded"
)
COMPLETION_LENGTHS = Condition(
    "completion_lengths", "error", "completions are as long as asked", "completions are too short"
)
COMPLETIONS_NO_LONGER = Condition(
    "completions_no_longer_than_asked", "error", "completions are no longer than asked", "completions are too long"
)
COMPLETION_LENGTHS_KNOWN = Condition(
    "completion_lengths_known", "error", "the length of completions is known", "the length of completions is not known"
)
THROUGHPUT_AS_ASKED = Condition(
    "completion_throughput_as_asked",
    "warning",
    "completion tok/s counts the tokens asked for",
    "completion tok/s counts fewer tokens than were asked for",
)
CONDITIONS = (
    USAGE_REPORTED,
    USAGE_COMPLETE,
    PROMPT_LENGTHS,
    COMPLETION_LENGTHS,
    COMPLETIONS_NO_LONGER,
    COMPLETION_LENGTHS_KNOWN,
    THROUGHPUT_AS_ASKED,
)
ROUNDING = 0.001  # of the tokens asked for: a difference from the reference that no figure shows


def length_checks(run: Evidence) -> Iterator[Check]:
    """Without usage there is one check that says so, and one of what it leaves unknown."""
    yield from _unknown(run)
    unexplained = run.summary.drift.unexplained_ratio
    if unexplained is None:
        yield USAGE_REPORTED.check(
            False,
            "the server reports no usage",
            "endpoint.include_usage=true, or the server's own flag for usage in streams",
        )
        return
    counted, ok = run.summary.drift.requests_with_usage, run.summary.requests["ok"]
    yield USAGE_COMPLETE.check(
        counted == ok,
        f"{counted} of {ok} requests report usage",
        "cache rates and drift speak for traces and requests with usage alone",
    )
    yield _prompts(run, unexplained)
    yield from _completions(run)
    yield from _throughput(run)


def _unknown(run: Evidence) -> Iterator[Check]:
    unknown = run.summary.drift.completion_unknown_ratio
    if unknown is not None:
        yield COMPLETION_LENGTHS_KNOWN.check(
            unknown <= run.settings.limits.completion_drift,
            f"{unknown:.2%} of the requested completion tokens are of answers without usage that ended by themselves, "
            "or came in fewer chunks than tokens: completion tok/s and decode speed count them as if they had come",
            "endpoint.include_usage=true, or endpoint.ignore_eos=true where the server knows it",
        )


def _throughput(run: Evidence) -> Iterator[Check]:
    """Say by how much the throughput differs from that of the reference."""
    asked, missing = run.summary.drift.completion_asked_tokens, run.summary.drift.completion_missing_tokens
    if asked and missing is not None:
        yield THROUGHPUT_AS_ASKED.check(
            missing <= ROUNDING * asked,
            f"{asked - missing:,} tokens came of {asked:,} asked for, and completion tok/s counts those that came; "
            "the reference counts those asked for",
            "compare it only with runs that count so",
        )


def _prompts(run: Evidence, unexplained: float) -> Check:
    template = run.summary.drift.template_ratio
    beyond = "" if template is None else f", beyond the {template:+.2%} of its template"
    return PROMPT_LENGTHS.check(
        abs(unexplained) <= run.settings.limits.prompt_drift,
        f"the server counts {unexplained:+.2%} prompt tokens against the accounting{beyond}",
        "set the model's tokenizer with tokenizer_model=..., or check whether the server truncates",
    )


def _completions(run: Evidence) -> Iterator[Check]:
    drift = run.summary.drift
    short, more = drift.completion_short_ratio, drift.completion_long_ratio
    if short is not None:
        reasons = ", ".join(f"{count} ended by {reason}" for reason, count in drift.completion_short_reasons.items())
        yield COMPLETION_LENGTHS.check(
            short <= run.settings.limits.completion_drift,
            f"{short:.2%} of the requested completion tokens did not come "
            f"({drift.completion_short_requests} requests{': ' + reasons if reasons else ''})",
            _lengthen(run),
        )
    if more is not None:
        yield COMPLETIONS_NO_LONGER.check(
            more <= run.settings.limits.completion_drift,
            f"{more:.2%} more completion tokens came than were asked for",
            "check whether the server reads the field that endpoint.max_tokens_field names",
        )


def _lengthen(run: Evidence) -> str:
    """What to do about answers that are shorter than asked: those cut by `length` met the context's end."""
    if "length" in run.summary.drift.completion_short_reasons:
        return "the engine cut them to what fits its context: serve a longer one, or set workload.max_context_tokens=N"
    if run.settings.endpoint.ignore_eos:
        return "the server does not honour ignore_eos: compare only with runs that have the same problem"
    return (
        "endpoint.ignore_eos=true where the server knows it; elsewhere the model ends answers when it likes: "
        "limits.completion_drift=1 lets that pass, and the run compares only with runs of the same kind"
    )
