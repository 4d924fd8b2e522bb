"""The local site in a real Chromium while a run goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.command_line import environment
from helpers.known_servers import written

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

pytestmark = pytest.mark.browser
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --window-size=1400,1000".split()
PATIENCE_S = 60.0  # of a busy machine


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A site over a finished run and one that has just begun."""
    written(tmp_path / "outputs" / "before", wall_s=40.0)
    trie = (sys.executable, "-m", "trie")
    run = ("duration=40", "concurrency=2", "profile=fast", "live=1", "progress=none", "hydra.run.dir=outputs/now")
    running = subprocess.Popen([*trie, *run], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    serving = subprocess.Popen([*trie, "serve"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    assert serving.stdout is not None
    yield serving.stdout.readline().split()[0]
    serving.stdout.close()
    for process in (serving, running):
        process.terminate()
        process.wait(20)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except WebDriverException:  # the rows were replaced meanwhile
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_run_is_watched_and_compared(browser: webdriver.Chrome, address: str) -> None:
    """The row of the run says so while it goes on, and what is ticked stays ticked when it becomes VALID or INVALID."""
    browser.get(address)
    tags = lambda: [tag.text for tag in browser.find_elements(By.CSS_SELECTOR, ".tag")]  # noqa: E731
    until(lambda: tags()[:1] == ["running"])
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "tr td.number")[0].text != "-")  # the numbers so far
    browser.find_elements(By.CSS_SELECTOR, "input")[0].click()

    browser.switch_to.new_window("tab")
    browser.get(f"{address}at/outputs/now/report.html")
    until(lambda: "RUNNING" in browser.find_element(By.TAG_NAME, "main").text)
    until(lambda: "RUNNING" not in browser.find_element(By.TAG_NAME, "main").text)  # it loads itself again
    browser.close()
    browser.switch_to.window(browser.window_handles[0])

    until(lambda: tags()[0] in ("VALID", "INVALID"))
    boxes = browser.find_elements(By.CSS_SELECTOR, "input")
    assert [box.is_selected() for box in boxes] == [True, False]
    boxes[1].click()
    browser.find_element(By.CSS_SELECTOR, "button").click()
    until(lambda: browser.title == "before against now")
    assert "/compare?run=outputs%2Fnow&run=outputs%2Fbefore" in browser.current_url
    assert not [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
