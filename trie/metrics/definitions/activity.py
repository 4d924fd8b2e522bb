"""What was open at the end of a run; the section comes as a whole from `trie.metrics.silence`."""

from __future__ import annotations

from trie.metrics.definitions.metric import RUN, Metric

ACTIVITY_METRICS = (
    Metric(
        section=RUN,
        key="silence.open_requests",
        label="requests open at the end",
        unit="requests",
        better=None,
        definition="requests that were in flight when the run ended",
    ),
    Metric(
        section=RUN,
        key="silence.at_end_s",
        label="silence at the end",
        unit="s",
        better="lower",
        definition="time before the end in which requests were in flight and no token and no end of any was read",
    ),
    Metric(
        section=RUN,
        key="silence.longest_before_s",
        label="longest silence before",
        unit="s",
        better=None,
        definition=(
            "the longest such time before that, or the 90th percentile of the answers' longest gaps where that is "
            "longer; taken where the silence at the end is longer than 2 s, 5 % of the run and at most 30 s of it"
        ),
    ),
    Metric(
        section=RUN,
        key="silence.stuck_requests",
        label="stuck requests",
        unit="requests",
        better="lower",
        definition=(
            "requests open at the end of which nothing had come for more than twice the longest wait, and for at least "
            "as long as a silence has to last"
        ),
    ),
    Metric(
        section=RUN,
        key="silence.stuck_s",
        label="time of stuck requests",
        unit="s",
        better="lower",
        definition="the sum of the times for which nothing had come of them",
    ),
    Metric(
        section=RUN,
        key="silence.longest_wait_s",
        label="longest wait",
        unit="s",
        better="lower",
        definition=(
            "the longest time for which a request that ended well brought nothing: until its first token, between two "
            "reads, from its last token to its end"
        ),
    ),
)
