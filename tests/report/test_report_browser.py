"""Pages as a reader has them: opened from disk in a real Chromium."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.generated_runs import generated_run

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from trie.metrics.evaluate_run import evaluate
from trie.report.page import write_page
from trie.storage.run_dir import RunDir

pytestmark = pytest.mark.browser
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --window-size=1400,1000"
).split()
PLOTS = 9  # with that of its failures
PATIENCE_S = 20.0  # of a busy machine


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two hours at concurrency 48, 200,000 requests."""
    run = generated_run(tmp_path_factory.mktemp("long") / "run", 200_000)
    return write_page(evaluate(RunDir.open(run)))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    driver.downloads = downloads  # type: ignore[attr-defined]
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    """The page, once all is drawn; no test may leave an error or a warning in the console."""
    media(browser, "prefers-color-scheme", "light")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.as_uri())
    wait(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
    yield browser
    assert browser.get_log("browser") == []


def wait(ready: Any) -> Any:
    """The first true answer."""
    until = time.monotonic() + PATIENCE_S
    while not (found := ready()):
        assert time.monotonic() < until, "not ready in time"
        time.sleep(0.02)
    return found


def media(browser: webdriver.Chrome, name: str, value: str) -> None:
    still = {"name": "prefers-reduced-motion", "value": "reduce"}  # a page that scrolls smoothly is hard to click on
    features = [{"name": name, "value": value}, still]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": features})


def figure(browser: webdriver.Chrome, key: str) -> WebElement:
    found = browser.find_element(By.ID, key)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
    wait(lambda: found.find_elements(By.CSS_SELECTOR, ".chart svg"))
    return found


def table_of(browser: webdriver.Chrome, caption: str) -> WebElement:
    found = browser.find_element(By.CSS_SELECTOR, f"[aria-label='{caption}'] table")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
    return found


def times(browser: webdriver.Chrome, key: str) -> list[float]:
    """The numbers on the axis of x, as they stand."""
    labels = browser.find_elements(By.CSS_SELECTOR, f"#{key} .role-axis-label")[0].find_elements(By.TAG_NAME, "text")
    shown = [label.text for label in labels if label.get_attribute("opacity") != "0"]
    return sorted(float(text.replace(",", "")) for text in shown)


def drag(browser: webdriver.Chrome, chart: WebElement, across: int) -> None:
    ActionChains(browser).move_to_element_with_offset(chart, -80, 0).click_and_hold().move_by_offset(
        across, 20
    ).release().perform()


def scroll(browser: webdriver.Chrome) -> None:
    """To the foot of the page, past every plot, and back."""
    for plot in browser.find_elements(By.CSS_SELECTOR, "figure.plot:not(.empty)"):
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
        wait(lambda plot=plot: plot.find_elements(By.CSS_SELECTOR, ".chart svg"))
    browser.execute_script("scrollTo(0, 0)")


def test_a_plot_is_drawn_when_it_comes_near(opened: webdriver.Chrome) -> None:
    drawn = "return [...document.querySelectorAll('figure.plot')].map(e => !!e.querySelector('.chart svg'))"
    assert opened.execute_script(drawn)[:2] == [True, True]
    assert opened.execute_script(drawn)[-1] is False
    scroll(opened)
    assert opened.execute_script(drawn) == [True] * PLOTS


def test_every_plot_is_drawn_and_nothing_is_asked_of_the_network(opened: webdriver.Chrome) -> None:
    scroll(opened)
    for key in (chart.get_attribute("id") for chart in opened.find_elements(By.CSS_SELECTOR, "figure.plot")):
        marks = f"#{key} .chart svg .role-mark path, #{key} .chart svg .role-mark line"
        assert opened.find_elements(By.CSS_SELECTOR, marks), key
    assert len(opened.find_elements(By.CSS_SELECTOR, "figure.plot .chart svg")) == PLOTS
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert asked  # the page itself
    assert not [url for url in asked if not url.startswith(("file://", "data:", "blob:"))]


def test_the_verdict_comes_first(opened: webdriver.Chrome) -> None:
    first = opened.find_element(By.CSS_SELECTOR, "main > *")
    assert first.get_attribute("aria-label") == "Verdict"
    assert first.text.startswith("VALID")


def test_tables_sort_by_a_click_and_by_the_keyboard(opened: webdriver.Chrome) -> None:
    table = table_of(opened, "Per-trace metrics")
    buttons = table.find_elements(By.CSS_SELECTOR, "thead button")

    def means() -> list[float]:
        cells = table.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(3)")
        return [float(cell.get_attribute("data-value") or "nan") for cell in cells]

    before = means()
    buttons[2].click()
    assert means() == sorted(before)
    assert table.find_elements(By.CSS_SELECTOR, "thead th")[2].get_attribute("aria-sort") == "ascending"
    buttons[2].send_keys(Keys.ENTER)
    assert means() == sorted(before, reverse=True)
    buttons[0].click()
    names = [cell.text for cell in table.find_elements(By.CSS_SELECTOR, "tbody th")]
    assert names == sorted(names, key=str.lower)
    assert not table.find_elements(By.CSS_SELECTOR, "thead th")[2].get_attribute("aria-sort")


def test_what_was_not_measured_stays_last(opened: webdriver.Chrome) -> None:
    table = table_of(opened, "Workload metrics")  # without num_gpus
    head = table.find_elements(By.CSS_SELECTOR, "thead button")[5]
    for _ in range(2):
        head.click()
        assert {cell.text for cell in table.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(6)")} == {"-"}


def test_columns_that_few_ask_for_are_shown_on_demand(opened: webdriver.Chrome) -> None:
    table = table_of(opened, "Per-trace metrics")
    shown = lambda: [head.text for head in table.find_elements(By.CSS_SELECTOR, "thead th") if head.is_displayed()]  # noqa: E731
    assert shown() == ["Metric", "Unit", "p50", "p90", "p99", "mean", "n"]
    table.find_element(By.CSS_SELECTOR, "caption button").click()
    assert shown()[7:] == ["min", "p95", "max"]


def test_a_drag_zooms_the_plots_over_time_together_and_a_double_click_shows_all(opened: webdriver.Chrome) -> None:
    chart = figure(opened, "completion-throughput").find_element(By.CSS_SELECTOR, ".chart svg")
    figure(opened, "phases")
    figure(opened, "completion-throughput")
    whole = times(opened, "completion-throughput")
    drag(opened, chart, 150)
    near = times(opened, "completion-throughput")
    assert whole[0] <= near[0] < near[-1] < whole[-1]
    assert near[-1] - near[0] < 0.6 * (whole[-1] - whole[0])
    assert times(opened, "phases") == near
    ActionChains(opened).move_to_element(chart).double_click().perform()
    assert times(opened, "completion-throughput") == times(opened, "phases") == whole


def test_keys_zoom_and_pan(opened: webdriver.Chrome) -> None:
    chart = figure(opened, "completion-throughput").find_element(By.CSS_SELECTOR, ".chart")
    whole = times(opened, "completion-throughput")
    chart.send_keys("+++")
    near = times(opened, "completion-throughput")
    assert near[-1] - near[0] < whole[-1] - whole[0]
    chart.send_keys(Keys.ARROW_RIGHT)
    assert times(opened, "completion-throughput")[0] > near[0]
    chart.send_keys("0")
    assert times(opened, "completion-throughput") == whole


def test_buttons_zoom_a_logarithmic_axis_too(opened: webdriver.Chrome) -> None:
    plot = figure(opened, "ttft")
    zoom_in = plot.find_element(By.CSS_SELECTOR, "[aria-label='Zoom in: Request TTFT']")
    before = plot.find_element(By.CSS_SELECTOR, ".mark-line path").get_attribute("d")
    zoom_in.click()
    assert plot.find_element(By.CSS_SELECTOR, ".mark-line path").get_attribute("d") != before
    plot.find_element(By.CSS_SELECTOR, "[aria-label='Show all: Request TTFT']").click()
    assert plot.find_element(By.CSS_SELECTOR, ".mark-line path").get_attribute("d") == before


@pytest.mark.parametrize(
    ("key", "says"),
    [("phases", "decode"), ("ttft", "at most (%)"), ("timeline", "session"), ("outcomes", "from (s)")],
)
def test_hovering_says_the_values(opened: webdriver.Chrome, key: str, says: str) -> None:
    chart = figure(opened, key).find_element(By.CSS_SELECTOR, ".chart svg")
    hover = opened.find_element(By.CSS_SELECTOR, ".hover")
    for x in range(-100, 100, 9):  # between two bars there is nothing to say
        ActionChains(opened).move_to_element_with_offset(chart, x, 20).perform()
        if hover.is_displayed():
            break
    assert says in hover.text


def test_plots_are_saved_as_svg_and_png_and_their_data_as_csv(opened: webdriver.Chrome) -> None:
    plot, folder = figure(opened, "ttft"), opened.downloads  # type: ignore[attr-defined]
    for button in ("Save as SVG: Request TTFT", "Save as PNG: Request TTFT"):
        plot.find_element(By.CSS_SELECTOR, f"[aria-label='{button}']").click()
    plot.find_element(By.CSS_SELECTOR, ".data summary").click()
    wait(lambda: plot.find_elements(By.CSS_SELECTOR, ".data tbody tr"))
    plot.find_element(By.CSS_SELECTOR, ".data button").click()
    wait(lambda: {path.name for path in folder.iterdir()} >= {"ttft.svg", "ttft.png", "ttft-rows.csv"})
    assert (folder / "ttft.svg").read_text().startswith("<svg")
    assert (folder / "ttft.png").read_bytes().startswith(b"\x89PNG")
    lines = (folder / "ttft-rows.csv").read_text().splitlines()
    assert lines[0] == "series,value,share"
    assert len(lines) == 401  # two curves of 200 points


def test_dark_follows_the_system(opened: webdriver.Chrome) -> None:
    color = lambda selector, name: opened.find_element(By.CSS_SELECTOR, selector).value_of_css_property(name)  # noqa: E731
    label = "#completion-throughput .role-axis-label text"
    light = color("body", "background-color"), color(label, "fill"), color(".plot", "background-color")
    media(opened, "prefers-color-scheme", "dark")
    dark = color("body", "background-color"), color(label, "fill"), color(".plot", "background-color")
    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert brightness(dark[0]) < 40 < brightness(light[0])
    assert brightness(dark[1]) > 150 > brightness(light[1])


def brightness(color: str) -> float:
    channels = [float(part) for part in color.removeprefix("rgba(").removeprefix("rgb(").rstrip(")").split(",")[:3]]
    return sum(channels) / 3


def test_a_narrow_window_has_one_column_and_no_page_wide_scroll(opened: webdriver.Chrome) -> None:
    scroll(opened)  # a plot that is too wide would make the page so
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        tops = [opened.find_element(By.ID, key).location["x"] for key in ("completion-throughput", "ttft")]
        assert tops[0] == tops[1]
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_is_light_and_has_the_folded_config(opened: webdriver.Chrome) -> None:
    media(opened, "prefers-color-scheme", "dark")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    printed = opened.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    document = base64.b64decode(printed["data"])
    assert document.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 9
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert opened.find_element(By.CSS_SELECTOR, "details.section").get_attribute("open")
    assert not opened.find_element(By.CSS_SELECTOR, ".tools").is_displayed()
    assert brightness(opened.find_element(By.CSS_SELECTOR, ".plot").value_of_css_property("background-color")) == 255
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert not opened.find_element(By.CSS_SELECTOR, "details.section").get_attribute("open")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": []})


def test_everything_that_can_be_used_has_a_name(opened: webdriver.Chrome) -> None:
    unnamed = """
        return [...document.querySelectorAll("button, a, [role=img], [role=region], summary")]
          .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim()
            || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent)).map(e => e.outerHTML)
    """
    assert opened.execute_script(unnamed) == []
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert opened.execute_script("return document.documentElement.lang") == "en"


def test_text_of_others_runs_nothing(browser: webdriver.Chrome, tmp_path: Path) -> None:
    hostile = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    run = generated_run(tmp_path / "run", 200, slots=2, duration_s=60.0)
    found = json.loads((run / "manifest.json").read_text())
    found["workload"]["name"] = found["server"]["model"] = found["prompts"]["finding"] = hostile
    (run / "manifest.json").write_text(json.dumps(found))
    browser.get(write_page(evaluate(RunDir.open(run))).as_uri())
    wait(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
    assert browser.title == f"{hostile} on http://host:8000/v1"
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert browser.get_log("browser") == []
