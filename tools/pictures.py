"""Make the pictures of the documentation: runs and sweeps in virtual time, and their pages in Chromium.

    python tools/pictures.py [--minutes 15] [--folder DIR]

A folder that is given keeps the runs, and those that are there are not made again.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --window-size=1400,1000".split()
SWEEP = ("workload=agentic-synthetic,office-synthetic,qa-synthetic", "concurrency=8,16,24,32,40,48")
VIRTUAL = ("clock=virtual", "profile=gpu", "num_gpus=4", "progress=none", "live=0")
SLOWER = "sim.decode_base_s=0.016"  # of the second sweep and the second run
PIXELS = 1600  # of the height of a picture, at most


def trie(*arguments: str) -> None:
    """Run the command."""
    subprocess.run([sys.executable, "-m", "trie", *arguments], check=True, stdout=subprocess.DEVNULL)


def runs(folder: Path, minutes: float) -> None:
    """What the pages are of."""
    duration = f"duration={60 * minutes:g}"
    for name, more in (("before", ()), ("after", (SLOWER,))):
        if not (folder / name).exists():
            run = ("workload=agentic-synthetic", "concurrency=24", duration, *VIRTUAL, *more)
            trie(*run, f"hydra.run.dir={folder / name}")
    if not (folder / "sweep").exists():
        trie("-m", *SWEEP, duration, *VIRTUAL, "html=false", f"hydra.sweep.dir={folder / 'sweep'}")


def pages(folder: Path) -> Mapping[str, Path]:
    """The pages anew, by the name of their picture."""
    trie("report", str(folder / "before"))
    trie("report", str(folder / "sweep"))
    trie("compare", str(folder / "before"), str(folder / "after"), "--html", str(folder / "compare.html"))
    before, sweep = folder / "before" / "report.html", folder / "sweep" / "sweep.html"
    return {"run.png": before, "virtual-sweep.png": sweep, "compare.png": folder / "compare.html"}


def picture(browser: webdriver.Chrome, page: Path, target: Path) -> None:
    """The top of a page."""
    browser.get(page.as_uri())
    for top in range(0, PIXELS, 400):  # plots are drawn when they come near
        browser.execute_script("scrollTo(0, arguments[0])", top)
        time.sleep(0.3)
    while browser.execute_script("return document.documentElement.dataset.drawn") != "true":
        time.sleep(0.1)
    browser.execute_script("scrollTo(0, 0)")
    height = min(PIXELS, browser.execute_script("return document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": 1400, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
    )
    target.write_bytes(base64.b64decode(shot["data"]))
    print(target)


def main() -> None:
    """A picture for each page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="of each run, in virtual time")
    parser.add_argument("--folder", type=Path, help="keeps the runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        runs(folder, options.minutes)
        chrome = webdriver.ChromeOptions()
        chrome.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={temporary}/profile"):
            chrome.add_argument(flag)
        browser = webdriver.Chrome(options=chrome, service=Service("/usr/bin/chromedriver"))
        try:
            for name, page in pages(folder).items():
                picture(browser, page, PICTURES / name)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
