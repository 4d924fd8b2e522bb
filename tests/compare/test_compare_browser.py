"""The page of several runs over each other as a reader has it: opened from disk in a real Chromium."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from helpers.known_servers import Server, written

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.compare.page import page

pytestmark = pytest.mark.browser
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --window-size=1400,1000".split()
PATIENCE_S = 20.0  # of a busy machine


def test_all_runs_are_drawn_over_each_other(tmp_path: Path) -> None:
    runs = [written(tmp_path / name, Server(step_s=step)) for name, step in (("a", 0.01), ("b", 0.0125), ("c", 0.015))]
    page(compare(runs, Settings())).write(tmp_path / "compare.html")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        browser.get((tmp_path / "compare.html").as_uri())
        for plot in browser.find_elements(By.CSS_SELECTOR, "figure.plot:not(.empty)"):
            browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
            until = time.monotonic() + PATIENCE_S
            while not plot.find_elements(By.CSS_SELECTOR, ".chart svg"):
                assert time.monotonic() < until, plot.get_attribute("id")
                time.sleep(0.05)
        assert len(browser.find_elements(By.CSS_SELECTOR, "#decode-tps .role-mark.mark-line path")) == 3
        legend = [text.text for text in browser.find_elements(By.CSS_SELECTOR, "#throughput .role-legend-label text")]
        assert legend == ["a", "b", "c"]
        candidates = browser.find_elements(By.CSS_SELECTOR, "#changes .role-legend-label text")
        assert {"b", "c"} <= {text.text for text in candidates}
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
