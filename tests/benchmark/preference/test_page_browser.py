"""The study's page in Chromium: keys, buttons, zoom in sync, resuming, a phone's width, no errors, no other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.preference.study import VoteStore
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


def touch(driver: Any, kind: str, *points: tuple[float, float]) -> None:
    """A touch event of real fingers: Chromium makes pointer events of it."""
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": fingers})


def placed(driver: Any, side: str = "left") -> tuple[float, float, float]:
    """x, y and scale of an image, from its computed style."""
    script = "return getComputedStyle(document.getElementById(arguments[0])).transform"
    matrix = driver.execute_script(script, side)
    numbers = [float(text) for text in matrix.removeprefix("matrix(").rstrip(")").split(",")]
    return numbers[4], numbers[5], numbers[0]


def test_wheel_drag_and_pinch_move_both_images(tmp_path: Path) -> None:
    folder = small_study(tmp_path / "images", images=1, height=600, width=600)
    with chromium() as driver, server(folder, "--least-seconds", "0") as (_, address):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        resize(driver, 1280, 800)
        driver.get(address + "/p/ann")
        wait(driver, 0)
        frame = driver.find_elements(By.CLASS_NAME, "view")[1]
        picture = driver.find_element(By.ID, "right").rect
        for _ in range(6):  # towards what lies under the pointer, 100 px right and 50 px below the middle
            ActionChains(driver).scroll_from_origin(ScrollOrigin.from_element(frame, 100, 50), 0, -100).perform()
        x, y, scale = placed(driver, "right")
        assert scale == pytest.approx(1.25**6, rel=1e-3) and placed(driver) == (x, y, scale)
        assert ((100 - x) / scale, (50 - y) / scale) == pytest.approx((100, 50), abs=1)
        ActionChains(driver).drag_and_drop_by_offset(frame, 40, -30).perform()
        moved = placed(driver)
        assert moved == placed(driver, "right") and moved[:2] == pytest.approx((x + 40, y - 30), abs=1)
        for _ in range(20):  # never out of the frame
            ActionChains(driver).drag_and_drop_by_offset(frame, 300, 0).perform()
        assert placed(driver)[0] == pytest.approx((picture["width"] * scale - frame.rect["width"]) / 2, abs=3)
        ActionChains(driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
        assert driver.execute_script("return document.body.dataset.position") == "0", "shift moves, it does not vote"
        ActionChains(driver).send_keys("0").perform()
        assert placed(driver) == (0, 0, 1)

        resize(driver, 390, 800)
        box = driver.find_elements(By.CLASS_NAME, "view")[0].rect
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        pair = [(middle[0] - 20, middle[1]), (middle[0] + 20, middle[1])]
        touch(driver, "Start", *pair)
        for step in range(1, 11):
            touch(driver, "Move", (pair[0][0] - 6 * step, pair[0][1]), (pair[1][0] + 6 * step, pair[1][1]))
        touch(driver, "End")
        assert placed(driver)[2] == pytest.approx(160 / 40, rel=0.05) and placed(driver) == placed(driver, "right")
        assert abs(placed(driver)[0]) < 8, "a pinch around the middle stays there"
        assert driver.execute_script("return document.body.dataset.position") == "0"


def test_images_above_each_other_have_their_own_words_and_keys(tmp_path: Path) -> None:
    folder = small_study(tmp_path / "images")
    with chromium() as driver, server(folder, "--least-seconds", "0", "--pairs", "4") as (_, address):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        resize(driver, 390, 800)
        driver.get(address + "/p/ann")
        wait(driver, 0)
        words = [driver.find_element(By.ID, name).text for name in ("vote-left", "vote-skip", "vote-right")]
        assert words == ["↑ upper", "skip", "lower ↓"]
        ActionChains(driver).pause(0.1).send_keys(Keys.ARROW_DOWN).perform()
        wait(driver, 1)
        resize(driver, 1280, 800)
        assert driver.find_element(By.ID, "vote-right").text == "right →"
        ActionChains(driver).pause(0.1).send_keys(Keys.ARROW_DOWN).perform()  # says nothing here
        ActionChains(driver).pause(0.1).send_keys(Keys.ARROW_LEFT).perform()
        wait(driver, 2)
    assert [row[5] for row in VoteStore(folder / "votes.sqlite").all_votes()] == ["right", "left"]
