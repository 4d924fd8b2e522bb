"""What can go wrong with one request, declared once: played by the fault lab, and written into docs/records.md.

Each fault is what a server does for every attempt at one request, with `max_retries=2`; `lab` makes it happen on real
sockets, `test_fault_table` holds the row to what stands here, and docs/generate.py makes the table out of it.
"""

from __future__ import annotations

import gzip
import zlib

import answer_faults
from fault import (
    BODY,
    COUNTED,
    HTML,
    JSON_ERROR,
    TELLS,
    TWO,
    UNENDED,
    UNREAD,
    UNTIL_CLOSE,
    WHOLE,
    A,
    B,
    Chapter,
    Fault,
    counts,
    data,
    drip,
    head,
    sized,
    status,
    stream,
    usage,
)
from helpers.scripted_server import CLOSE, COUNTS, DONE, END, HEAD, USAGE, chunked, event

LARGE = b" x" * (4 << 20)  # a prompt that fits no socket's buffer
RETRIED = 3  # attempts of a request with max_retries=2 that never goes well

UNASKED = stream(event(" stale", '"stop"'), DONE)

NO_CONNECTION = Chapter(
    "No connection",
    [
        Fault(what="nobody listens", place="refused", error_kind="connect", status=None, attempts=RETRIED,
              words="Connection refused", row={"attempt_sent_s": None}),
        Fault(what="the connection is never accepted", place="full", error_kind="connect_timeout", status=None,
              attempts=RETRIED, row={"attempt_sent_s": None}),
        Fault(what="the name does not resolve", place="no_name", error_kind="dns", status=None, attempts=RETRIED,
              row={"attempt_sent_s": None}),
        Fault(what="TLS with a certificate that nobody vouches for", place="unknown_certificate", error_kind="tls",
              status=None, words="certificate", row={"attempt_sent_s": None}),
        Fault(what="https, and the server speaks plain HTTP", place="no_tls", error_kind="tls", status=None,
              row={"attempt_sent_s": None}),
        Fault(what="https, and the handshake is never answered", place="silent_tls", error_kind="connect_timeout",
              status=None, attempts=RETRIED, row={"attempt_sent_s": None}),
        Fault(what="the client has no file descriptor left", place="no_files", error_kind="client_limit", status=None,
              attempts=RETRIED, words="Too many open files", row={"attempt_sent_s": None}),
    ],
)  # fmt: skip

NO_ANSWER = Chapter(
    "No answer",
    [
        Fault(what="accepts and never answers", script=(9.0,), error_kind="timeout", status=None, timeout_s=1.0,
              row={"headers_s": None}),
        Fault(what="headers come a byte a second", script=drip(HEAD, 1.0), error_kind="timeout", status=None,
              timeout_s=1.0, row={"headers_s": None}),
        Fault(what="closes instead of answering", script=(CLOSE,), error_kind="disconnected", status=None,
              attempts=RETRIED),
        Fault(what="resets instead of answering", script=(None,), error_kind="disconnected", status=None,
              attempts=RETRIED),
        Fault(what="closes in the middle of the headers", script=(HEAD[:30], TELLS, CLOSE), error_kind="disconnected",
              status=None, attempts=RETRIED),
        Fault(what="resets in the middle of the headers", script=(HEAD[:30], TELLS, None), error_kind="disconnected",
              status=None, attempts=RETRIED),
        Fault(what="closes an idle connection just as it is used again", before=WHOLE, script=(CLOSE,),
              attempts=2, row=TWO),
        Fault(what="says something unasked on an idle connection", before=(*WHOLE, 0.2, *UNASKED), script=WHOLE,
              row=TWO),
        Fault(what="says 408 on an idle connection and closes it",
              before=(*WHOLE, 0.2, *status("408 Request Timeout"), CLOSE), script=WHOLE, row=TWO),
    ],
)  # fmt: skip

NO_HTTP = Chapter(
    "No HTTP, or odd HTTP",
    [
        Fault(what="speaks something else", script=(b"SSH-2.0-OpenSSH_9.6\r\n",), error_kind="bad_response",
              status=None),
        Fault(what="speaks TLS where http was asked for", place="only_tls", error_kind="disconnected", status=None,
              attempts=RETRIED),
        Fault(what="a header of 64 KB", script=(HEAD[:-2] + b"X: " + b"x" * 65_536 + b"\r\n\r\n", *WHOLE[1:]), row=TWO),
        Fault(what="a header of 1 MB", script=(HEAD[:-2] + b"X: " + b"x" * (1 << 20) + b"\r\n\r\n", *WHOLE[1:]),
              error_kind="bad_response", status=None),
        Fault(what="1,000 headers", script=(HEAD[:-2] + b"X: y\r\n" * 1000 + b"\r\n", *WHOLE[1:]),
              error_kind="bad_response", status=None),
        Fault(what="headers without end", script=(HEAD[:-2], *[b"X: y\r\n" * 10_000] * 100, 9.0),
              error_kind="bad_response", status=None),
        Fault(what="NUL in a header", script=(HEAD[:-2] + b"X: \0\r\n\r\n", *WHOLE[1:]), error_kind="bad_response",
              status=None),
        Fault(what="two lengths that differ", script=(sized(BODY, "Content-Length: 5"),), error_kind="bad_response",
              status=None),
        Fault(what="a status line of HTTP/1.0, ended by the close",
              script=(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", BODY, CLOSE), row=TWO),
        Fault(what="Connection: close", script=(UNTIL_CLOSE, BODY, CLOSE), row=TWO),
        Fault(what="100 Continue and 103 Early Hints before the answer",
              script=(head(status="100 Continue"), 0.05, head("Link: </x>", status="103 Early Hints"), *WHOLE),
              row=TWO),
        Fault(what="101 Switching Protocols",
              script=(head("Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols"), b"\x81\0",
                      TELLS, CLOSE),
              error_kind="http_status", status=101),
        Fault(what="204 No Content", script=(head(status="204 No Content"),), error_kind="truncated", status=204),
        Fault(what="IPv6", place="ipv6", row=TWO),
    ],
)  # fmt: skip

REFUSALS = [
    Fault(what=f"{line}, Location elsewhere", script=status(line, b"", "Location: http://127.0.0.1:9/v1/completions"),
          error_kind="http_status", status=int(line[:3]), words="redirects to http://127.0.0.1:9/v1/completions")
    for line in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect")
] + [
    Fault(what=line, script=status(line), error_kind="http_status", status=int(line[:3]), words="it broke")
    for line in ("400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "422 Unprocessable Content")
] + [
    Fault(what=line, script=status(line), error_kind="http_status", status=int(line[:3]), attempts=RETRIED,
          words="it broke")
    for line in ("408 Request Timeout", "409 Conflict", "429 Too Many Requests", "500 Internal Server Error",
                 "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout")
]  # fmt: skip

STATUSES = Chapter(
    "A status that is an error",
    [
        *REFUSALS,
        Fault(what="413, said and closed before the request was read", place="early_413", prompt=LARGE,
              error_kind="http_status", status=413, words="too large"),
        Fault(what="429 with Retry-After: 0", script=status("429 Too Many", JSON_ERROR, "Retry-After: 0"),
              error_kind="http_status", status=429, attempts=RETRIED),
        Fault(what="503 with Retry-After: 0.3", script=status("503 Busy", JSON_ERROR, "Retry-After: 0.3"),
              error_kind="http_status", status=503, attempts=RETRIED),
        Fault(what="503 with Retry-After: nan", script=status("503 Busy", JSON_ERROR, "Retry-After: nan"),
              error_kind="http_status", status=503, attempts=RETRIED),
        Fault(what="429 with Retry-After: 3600, beyond the request's time",
              script=status("429 Too Many", JSON_ERROR, "Retry-After: 3600"), error_kind="timeout", status=429,
              timeout_s=1.0, words="it broke"),
        Fault(what="500 with an HTML page", script=(sized(HTML, kind="text/html").replace(b"200 OK", b"500 Oops"),),
              error_kind="http_status", status=500, attempts=RETRIED, words="<h1>Oops</h1>"),
        Fault(what="500 with nothing", script=status("500 Oops", b""), error_kind="http_status", status=500,
              attempts=RETRIED, words="empty body"),
        Fault(what="400 with control characters, markup and 1 MB of text",
              script=status("400 Bad", b"\x1b[31m\0\r\n\xff<b>" + b"x" * (1 << 20)), error_kind="http_status",
              status=400),
        Fault(what="400 with JSON nested 1,000 deep",
              script=status("400 Bad", b'{"error":' + b"[" * 1000 + b"]" * 1000 + b"}"), error_kind="http_status",
              status=400),
        Fault(what="500 that breaks off", script=(b"HTTP/1.1 500 Oops\r\nContent-Length: 99\r\n\r\nfo", TELLS, CLOSE),
              error_kind="http_status", status=500, attempts=RETRIED),
    ],
)  # fmt: skip

BROKEN = Chapter(
    "An answer that breaks off",
    [
        Fault(what="stalls after the headers", script=(HEAD, 9.0), error_kind="timeout", timeout_s=1.0,
              row={"chunks": 0, "first_token_s": None}),
        Fault(what="stalls after a token", script=(HEAD, A, 9.0), error_kind="timeout", timeout_s=1.0,
              row={"chunks": 1, **UNREAD}),
        Fault(what="stalls after a token, with `stall_timeout`", script=(HEAD, A, 9.0), stall_s=0.5,
              error_kind="stalled", words="nothing came for 0.5 s", row={"chunks": 1, **UNREAD}),
        Fault(what="resets after the headers", script=(HEAD, TELLS, None), error_kind="reset", attempts=RETRIED,
              row={"chunks": 0}),
        Fault(what="resets after the first token", script=(HEAD, A, TELLS, None), error_kind="reset",
              row={"chunks": 1, **UNREAD}),
        Fault(what="resets before the usage", script=(HEAD, A, B, TELLS, None), error_kind="reset",
              row={"chunks": 2, "finish_reason": "length", **UNREAD}),
        Fault(what="closes in the middle of a chunk", script=(HEAD, A, B[:9], TELLS, CLOSE), error_kind="reset",
              row={"chunks": 1}),
        Fault(what="closes without [DONE] and the last chunk, all else said", script=(*WHOLE[:-2], TELLS, CLOSE),
              error_kind="reset", row=TWO),
        Fault(what="a chunk size that is no number", script=(HEAD, A, TELLS, b"zz\r\n", TELLS),
              error_kind="bad_response", row={"chunks": 1}),
        Fault(what="Content-Length too large, then closes",
              script=(sized(UNENDED, length=len(BODY)), TELLS, CLOSE), error_kind="reset", row=TWO),
        Fault(what="Content-Length too large, left open", script=(sized(UNENDED, length=len(BODY)), 9.0),
              error_kind="timeout", timeout_s=1.0, row=TWO),
        Fault(what="Content-Length too small", script=(sized(BODY, length=len(event(" a")) + 9),),
              error_kind="bad_response", status=None),
        Fault(what="Content-Length too small, the rest later",
              script=(sized(event(" a"), length=len(event(" a"))), TELLS, BODY, CLOSE), poisons=True,
              error_kind="truncated",
              row={"chunks": 1}),
        Fault(what="until the close, closed after a token", script=(UNTIL_CLOSE, event(" a"), CLOSE),
              error_kind="truncated", row={"chunks": 1}),
        Fault(what="gzip that breaks off", script=(sized(gzip.compress(BODY)[:-30], "Content-Encoding: gzip"),),
              error_kind="bad_response"),
        Fault(what="gzip that is none", script=(sized(BODY, "Content-Encoding: gzip"),), error_kind="bad_response",
              row={"chunks": 0}),
        Fault(what="an encoding that nobody asked for", script=(sized(BODY, "Content-Encoding: br"),),
              error_kind="bad_response", status=None),
        Fault(what="gzip of 512 MB of zeros", place="bomb", heavy=True, error_kind="bad_response",
              words="more than 256 MiB", row={"chunks": 0}, timeout_s=60.0),
        Fault(what="more than 256 MiB, without an end", heavy=True,
              script=(HEAD, A, *[chunked(b": " + b"x" * (1 << 20))] * 300),
              error_kind="bad_response", words="more than 256 MiB", row={"chunks": 1}, timeout_s=60.0),
    ],
)  # fmt: skip

NOT_MEANT = Chapter(
    "A failure under a status of 200",
    [
        Fault(what="an error object as the first event", script=stream(data(JSON_ERROR), DONE),
              error_kind="error_event", words="it broke", row={"chunks": 0}),
        Fault(what="an error object after a token", script=stream(event(" a"), data(JSON_ERROR), DONE),
              error_kind="error_event", words="it broke", row={"chunks": 1}),
        Fault(what='an event of `"object": "error"`',
              script=stream(event(" a"), data(b'{"object":"error","message":"it broke","code":400}'), DONE),
              error_kind="error_event", words="it broke", row={"chunks": 1}),
        Fault(what='an event of `"type": "error"`',
              script=stream(event(" a"), data(b'{"type":"error","message":"it broke"}'), DONE),
              error_kind="error_event", words="it broke", row={"chunks": 1}),
        Fault(what="an error nested 1,000 deep", script=stream(data(b'{"error":' + b"[" * 1000 + b"]" * 1000 + b"}")),
              error_kind="error_event"),
        Fault(what="an error object instead of a stream", script=status("200 OK"), error_kind="error_event",
              words="it broke"),
        Fault(what="a proxy's HTML page", script=(sized(HTML, kind="text/html"),), error_kind="bad_response",
              words="text/html"),
        Fault(what="a plain answer where a stream was asked for",
              script=status("200 OK", b'{"choices":[{"text":" a b","finish_reason":"length"}]}'),
              error_kind="bad_response", words="application/json"),
        Fault(what="a plain answer without choices", script=status("200 OK", b'{"choices":[]}'), stream=False,
              error_kind="bad_response"),
        Fault(what="nothing at all", script=(sized(b""),), error_kind="truncated", row={"chunks": 0}),
        Fault(what="[DONE] and nothing else", script=stream(DONE), error_kind="no_tokens", row={"chunks": 0}),
        Fault(what="usage of 0 tokens and nothing else",
              script=stream(counts(0), DONE),
              error_kind="no_tokens", row={"usage_completion_tokens": 0}),
        Fault(what="ends in order after a token: no finish_reason, usage or [DONE]", script=stream(event(" a")),
              error_kind="truncated", row={"chunks": 1}),
        Fault(what="the same with usage in every chunk",
              script=stream(data(b'{"choices":[{"text":" a"}],"usage":{"prompt_tokens":7,"completion_tokens":1}}')),
              error_kind="truncated", row={"chunks": 1, "usage_completion_tokens": 1}),
        Fault(what="finish_reason abort", script=stream(event(" a"), event("", '"abort"'), USAGE, DONE),
              error_kind="aborted", row={"finish_reason": "abort"}),
        Fault(what="an event that is no JSON", script=stream(event(" a"), data(b"{oops"), DONE),
              error_kind="bad_response", words="not JSON", row={"chunks": 1}),
        Fault(what="an event nested 100,000 deep", script=stream(event(" a"), data(b"[" * 100_000), DONE),
              error_kind="bad_response", words="not JSON"),
        Fault(what="an event that is JSON and no object", script=stream(data(b"[1]"), DONE),
              error_kind="bad_response", words="not a JSON object"),
    ],
)  # fmt: skip

ODD_STREAMS = Chapter(
    "Answers that are odd and whole",
    [
        Fault(what="every byte in a read of its own", script=drip(b"".join(WHOLE), 0.0), row=TWO),
        Fault(what="everything in one read", script=(b"".join(WHOLE),), row=TWO),
        Fault(what="CRLF, CR, comments, `data:` without a space, id and event fields, several data lines",
              script=stream(b": ping\n\n", event(" a").replace(b"\n", b"\r\n"), b"id: 1\nevent: x\n",
                            event(" b", '"length"').replace(b"data: ", b"data:").replace(b"\n", b"\r"),
                            USAGE.replace(b',"usage"', b',\ndata: "usage"'), DONE), row=TWO),
        Fault(what="no [DONE]", script=stream(event(" a"), event(" b", '"length"'), USAGE), row=TWO),
        Fault(what="usage in the last chunk with a choice",
              script=stream(event(" a"), event(" b", '"length"')[:-3] + b',"usage":' + COUNTS + b"}\n\n", DONE),
              row=TWO),
        Fault(what="several tokens in a chunk", script=stream(event(" a b", '"length"'), USAGE, DONE),
              row={"chunks": 1, **COUNTED}),
        Fault(what="gzip, though identity was asked for",
              script=(sized(gzip.compress(BODY), "Content-Encoding: gzip"),), row=TWO),
        Fault(what="deflate", script=(sized(zlib.compress(BODY), "Content-Encoding: deflate"),), row=TWO),
        Fault(what="an event of 16 MB", script=stream(event("x" * (1 << 24)), event(" b", '"length"'), USAGE, DONE),
              row=TWO),
        Fault(what="1 MB of comments", script=stream(b": ping\n\n" * (1 << 17), BODY), row=TWO),
        Fault(what="NUL and invalid UTF-8 in the text", script=stream(
              data(b'{"choices":[{"text":"\\u0000\xff\xfe"}]}'), event("\\ud83d", '"length"'), USAGE, DONE), row=TWO),
        Fault(what="fewer tokens than asked for",
              script=stream(event(" a", '"stop"'), counts(1)),
              row={"chunks": 1, "usage_completion_tokens": 1, "requested_completion_tokens": 2}),
        Fault(what="more tokens than asked for", script=stream(*[event(" a")] * 5, event(" b", '"length"'), counts(6)),
              row={"chunks": 6, "usage_completion_tokens": 6, "requested_completion_tokens": 2}),
    ],
)  # fmt: skip

AFTER_DONE = Chapter(
    "[DONE], and the response does not end with it",
    [
        Fault(what="left open behind [DONE]", script=(*WHOLE[:-1], 9.0), timeout_s=6.0, row=TWO),
        Fault(what="left open behind [DONE], comments coming on", timeout_s=6.0,
              script=(*WHOLE[:-1], *[chunked(b": ping\n\n"), 0.05] * 180), row=TWO),
        Fault(what="[DONE] and a comment in one read, left open", timeout_s=6.0,
              script=(*WHOLE[:-2], chunked(DONE) + chunked(b": ping\n\n"), 9.0), row=TWO),
        Fault(what="every byte in a read of its own, left open", script=(*drip(b"".join(WHOLE[:-1]), 0.0), 9.0),
              timeout_s=6.0, row=TWO),
        Fault(what="Content-Length too large behind [DONE], left open",
              script=(sized(BODY, length=len(BODY) + 9), 9.0), timeout_s=6.0, row=TWO),
        Fault(what="until the close, which does not come", script=(UNTIL_CLOSE, BODY, 9.0), timeout_s=6.0, row=TWO),
        Fault(what="[DONE] without its blank line, left open", timeout_s=6.0,
              script=(*WHOLE[:-2], chunked(DONE.rstrip()), 9.0), row=TWO),
        Fault(what="closes without the last chunk", script=(*WHOLE[:-1], CLOSE), row=TWO),
        Fault(what="resets behind [DONE]", script=(*WHOLE[:-1], TELLS, None), row=TWO),
        Fault(what="a chunk size that is no number behind [DONE]", script=(*WHOLE[:-1], 0.03, b"zz\r\n"), row=TWO),
        Fault(what="the last chunk 50 ms behind [DONE]", script=(*WHOLE[:-1], 0.05, END), row=TWO),
    ],
)  # fmt: skip

LIES = Chapter(
    "Usage that lies",
    [
        Fault(what="usage null", script=usage("null"), row={"chunks": 2, **UNREAD}),
        Fault(what="usage that is a list", script=usage("[7, 2]"), row={"chunks": 2, **UNREAD}),
        Fault(what="counts that are null", script=usage(
              '{"prompt_tokens":null,"completion_tokens":null,"prompt_tokens_details":null}'), row=UNREAD),
        Fault(what="counts that are negative", script=usage(
              '{"prompt_tokens":-7,"completion_tokens":-2,"prompt_tokens_details":{"cached_tokens":-3}}'), row=UNREAD),
        Fault(what="counts that are text", script=usage(
              '{"prompt_tokens":"7","completion_tokens":"2","prompt_tokens_details":"3"}'), row=UNREAD),
        Fault(what="counts that are fractions", script=usage('{"prompt_tokens":7.5,"completion_tokens":1e400}'),
              row=UNREAD),
        Fault(what="counts that are true", script=usage('{"prompt_tokens":true,"completion_tokens":true}'), row=UNREAD),
        Fault(what="counts above 2^53", script=usage(
              '{"prompt_tokens":9007199254740993,"completion_tokens":1e30,"cached_tokens":' + "9" * 400 + "}"),
              row=UNREAD),
        Fault(what="NaN, which is no JSON", script=usage('{"prompt_tokens":NaN,"completion_tokens":2}'),
              row={"usage_prompt_tokens": None, "usage_completion_tokens": 2}),
        Fault(what="more cached tokens than the prompt has", script=usage(
              '{"prompt_tokens":7,"completion_tokens":2,"cached_tokens":900}'), row={"usage_cached_tokens": 900}),
        Fault(what="a million tokens, where 2 came", script=usage('{"prompt_tokens":7,"completion_tokens":1000000}'),
              row={"chunks": 2, "usage_completion_tokens": 1_000_000}),
        Fault(what="0 tokens, where 2 came", script=usage('{"prompt_tokens":7,"completion_tokens":0}'),
              row={"chunks": 2, "usage_completion_tokens": 0}),
    ],
)  # fmt: skip

CHAPTERS = (
    NO_CONNECTION,
    NO_ANSWER,
    NO_HTTP,
    STATUSES,
    BROKEN,
    NOT_MEANT,
    ODD_STREAMS,
    AFTER_DONE,
    LIES,
    *answer_faults.CHAPTERS,
)
FAULTS = [fault for chapter in CHAPTERS for fault in chapter.faults]
