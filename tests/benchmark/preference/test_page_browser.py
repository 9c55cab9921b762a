"""The study's page in Chromium: keys, buttons, zoom in sync, resuming, a phone's width, no errors, no other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.preference.store import VoteStore
from tests.benchmark.preference.study_data import server, small_study
from tests.reports.browser import chromium, resize


def wait(driver: Any, position: int) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 15).until(
        lambda d: d.execute_script("return document.body.dataset.position") == str(position)
    )


def transforms(driver: Any) -> list[str]:
    return [
        driver.execute_script(f"return document.getElementById('{side}').style.transform") for side in ("left", "right")
    ]


def test_voting_with_keys_and_touch(tmp_path: Path) -> None:
    folder = small_study(tmp_path / "images")
    arguments = ("--least-seconds", "0", "--pairs", "4")
    with chromium() as driver, server(folder, *arguments) as (_, address):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        driver.get(address + "/")
        wait(driver, 0)
        own = driver.current_url
        assert "/p/" in own
        ActionChains(driver).send_keys("+").perform()
        first, second = transforms(driver)
        assert first == second and "scale(1.5)" in first
        for position, key in enumerate((Keys.ARROW_LEFT, Keys.ARROW_RIGHT), 1):
            ActionChains(driver).pause(0.1).send_keys(key).perform()
            wait(driver, position)
        assert "scale(1)" in transforms(driver)[0]
        driver.get(address + "/p/somebody-else")
        wait(driver, 0)
        driver.get(own)  # goes on where it stopped
        wait(driver, 2)
        resize(driver, 390, 800)
        boxes = [driver.find_element(By.ID, name).rect for name in ("left", "right", "vote-left", "vote-right")]
        assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"] + 1  # one above the other
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
        assert all(box["height"] >= 44 and box["y"] + box["height"] <= 800 for box in boxes[2:])
        driver.find_element(By.ID, "vote-right").click()
        wait(driver, 3)
        ActionChains(driver).pause(0.1).send_keys(" ").perform()
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(driver, 15).until(lambda d: "Thank you" in d.find_element(By.ID, "message").text)
        fetched = driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
        assert all(name.startswith((address, "data:")) for name in fetched)
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    rows = VoteStore(folder / "votes.sqlite").all_votes()
    assert [row[5] for row in rows] == ["left", "right", "right", "skip"]
