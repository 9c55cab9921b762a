"""A real Chromium without a window for the tests of the page; where there is none, they say so and are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NEEDED = "the page is tested in Chromium: apt-get install chromium chromium-driver, pip install selenium"


@contextmanager
def chromium() -> Iterator[Any]:
    """A selenium driver without a network: every host name is unknown to it."""
    selenium = pytest.importorskip("selenium", reason=NEEDED)
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver_path = shutil.which("chromedriver")
    if browser is None or driver_path is None:
        pytest.skip(NEEDED)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    flags = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "force-prefers-reduced-motion")
    for flag in (*flags, "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "window-size=1280,900"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    except selenium.common.exceptions.WebDriverException as error:
        pytest.skip(f"{NEEDED} (it did not start: {str(error).splitlines()[0]})")
    try:
        yield driver
    finally:
        driver.quit()


def resize(driver: Any, width: int, height: int, dark: bool = False) -> None:
    """Size of the page in px and the colour scheme that the system prefers."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})


def address(folder: Path, fragment: str = "") -> str:
    return (folder / "index.html").resolve().as_uri() + fragment
