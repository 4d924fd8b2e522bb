"""A sweep's page as a reader has it: opened from disk in a real Chromium."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.cells import cell

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from trie.sweep.page import page
from trie.sweep.table import Row

pytestmark = pytest.mark.browser
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --window-size=1400,1000".split()
PATIENCE_S = 20.0  # of a busy machine


def rows(of: str = "") -> list[Row]:
    """Two workloads of six concurrencies and two repeats, of which one cell failed."""
    cells = []
    for workload in (f"agentic{of}", f"<b>qa</b>{of}"):
        for number, tokens in zip((8, 16, 24, 32, 40, 48), (300, 590, 810, 990, 1010, 1000), strict=True):
            for repeat in (1, 2):
                figures = {
                    f"{metric}_{name}": number * factor for metric, factor in LATENCIES.items() for name in NAMES
                }
                shares = {"requests_failed_share": 0.01, "censoring_share": 0.1}
                rates = {
                    "cache_hit_rate_pct_mean": 80.0,
                    "eligible_cache_hit_rate_pct_mean": 99.0,
                    "decode_tps_p50": 99.0 - number,
                }
                name = f"{number}-r{repeat}"
                given = {"cell": name, "workload": workload, "repeat": repeat, **figures, **shares, **rates}
                cells.append(cell(number, tokens + 5.0 * repeat, **given))
    cells[-1].update(status="failed", why="nobody answers")
    return cells


def test_the_axes_of_the_hero_are_chosen(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page(tmp_path, rows()).write(tmp_path / "sweep.html")
    browser.get((tmp_path / "sweep.html").as_uri())
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#hero .chart svg"))

    def titles() -> list[str]:
        return [text.text for text in browser.find_elements(By.CSS_SELECTOR, "#hero .role-axis-title text")]

    assert "speed to one user, 1 / TPOT p50 (tok/s), more is better" in titles()
    Select(browser.find_element(By.CSS_SELECTOR, "#hero [data-axis=x]")).select_by_visible_text("TTFAT p90 (s)")
    assert "TTFAT p90 (s), less is better" in titles()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#hero .tools")) == 1
    zoom_in = browser.find_element(By.CSS_SELECTOR, "#hero [aria-label^='Zoom in']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", zoom_in)
    zoom_in.click()
    assert browser.get_log("browser") == []


def test_a_thousand_cells_draw_what_is_seen_and_no_more(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """benchmarks/pages.py says how long it takes."""
    many = [cell for copy in range(42) for cell in rows(f"-{copy}")]
    assert len(many) == 1008
    page(tmp_path, many).write(tmp_path / "sweep.html")
    browser.get((tmp_path / "sweep.html").as_uri())
    wait(lambda: browser.execute_script("return document.documentElement.dataset.drawn") == "true")
    drawn = browser.find_elements(By.CSS_SELECTOR, "figure.plot .chart svg")
    assert 1 <= len(drawn) < 10
    assert len(browser.find_elements(By.CSS_SELECTOR, "figure.plot")) == 2 + 84 * 5
    assert len(browser.find_elements(By.CSS_SELECTOR, "[aria-label='All cells'] tbody tr")) == 1008
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 1400


LATENCIES = {"latency_s": 1.0, "ttft_s": 0.01, "ttfat_s": 0.5, "request_ttft_s": 0.01, "request_tpot_s": 0.001}
NAMES = ("p50", "p90", "p99")
PLOTS = 2 + 2 * 5  # hero, throughput, and five small ones of each workload


def scroll(browser: webdriver.Chrome) -> None:
    """Past every plot, until each is drawn."""
    for plot in browser.find_elements(By.CSS_SELECTOR, "figure.plot:not(.empty)"):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
        wait(lambda plot=plot: plot.find_elements(By.CSS_SELECTOR, ".chart svg"))


def wait(ready: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < until, "not ready in time"
        time.sleep(0.05)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def test_page_of_a_sweep_draws_every_plot_and_asks_the_network_for_nothing(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    page(tmp_path, rows()).write(tmp_path / "sweep.html")
    browser.get("about:blank")
    browser.get_log("performance")  # of the browser's own first page
    browser.get((tmp_path / "sweep.html").as_uri())
    scroll(browser)
    assert browser.get_log("browser") == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "figure.plot .chart svg")) == PLOTS
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert asked
    assert not [url for url in asked if not url.startswith(("file://", "data:", "blob:"))]

    first = browser.find_element(By.CSS_SELECTOR, "main > *")
    assert first.text.startswith("23 OF 24 CELLS DONE")
    assert "nobody answers" in first.text
    assert browser.find_elements(By.CSS_SELECTOR, "main b b") == []  # a workload's name is text
    marks = [text.text for text in browser.find_elements(By.CSS_SELECTOR, "#throughput .role-mark.mark-text text")]
    assert "knee 32" in marks  # 995 of 1,015 at 40; 815 at 24
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
