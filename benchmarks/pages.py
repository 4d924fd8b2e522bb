"""How long pages take: made, opened in Chromium, and until what is seen of them is drawn.

python -m benchmarks.pages [--cells 1000] [--requests 200000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.cells import cell
from helpers.generated_runs import generated_run

from trie.metrics.evaluate_run import evaluate
from trie.report.html.document import Page
from trie.report.page import page_of
from trie.storage.run_dir import RunDir
from trie.sweep.page import page as sweep_page
from trie.sweep.table import Row

FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --window-size=1400,1000".split()
LOADS = tuple(range(8, 168, 8))  # of each workload


def sweep_rows(cells: int) -> list[Row]:
    """Cells of as many workloads as it takes, 20 concurrencies each."""
    rows = []
    for at in range(cells):
        load = LOADS[at % len(LOADS)]
        times = {f"{name}_{part}": load * 0.01 for name in TIMES for part in ("p50", "p90", "p99")}
        counts = {f"{name}_n": 500.0 for name in TIMES}
        figures = {
            **times,
            **counts,
            "censoring_share": 0.1,
            "requests_failed_share": 0.0,
            "cache_hit_rate_pct_mean": 90.0,
        }
        name = f"workload-{at // len(LOADS)}"
        rows.append(cell(load, 1000.0 * load / (load + 40), cell=f"{name}-c{load}", workload=name, **figures))
    return rows


TIMES = ("latency_s", "ttft_s", "ttfat_s", "request_ttft_s", "request_tpot_s")


def timed(make: Callable[[], Page], target: Path, browser: webdriver.Chrome) -> None:
    """Print the seconds of each step."""
    began = time.perf_counter()
    make().write(target)
    made = time.perf_counter()
    browser.get(target.as_uri())
    while browser.execute_script("return document.documentElement.dataset.drawn") != "true":
        time.sleep(0.01)
    drawn = time.perf_counter()
    size = target.stat().st_size / 1e6
    print(f"{target.name:<12} {size:5.1f} MB, made in {made - began:.2f} s, seen after {drawn - made:.2f} s")


def main() -> None:
    """One line a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chrome = webdriver.ChromeOptions()
        chrome.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
            chrome.add_argument(flag)
        browser = webdriver.Chrome(options=chrome, service=Service("/usr/bin/chromedriver"))
        try:
            browser.get("about:blank")
            rows = sweep_rows(options.cells)
            timed(lambda: sweep_page(Path(folder), rows), Path(folder) / "sweep.html", browser)
            run = evaluate(RunDir.open(generated_run(Path(folder) / "run", options.requests)))
            timed(lambda: page_of(run), Path(folder) / "run.html", browser)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
