"""The columns of a preference study on the page, in a real browser: shown, sorted, explained, chosen."""

from __future__ import annotations

from pathlib import Path

from tests.reports.browser import address, chromium, resize
from tests.reports.result_data import write_results
from tests.reports.test_preference import ORDER, with_study


def test_the_columns_of_a_study(tmp_path: Path) -> None:
    with_study(write_results(tmp_path / "results"), tmp_path / "page", "a")
    with chromium() as driver:
        resize(driver, 1280, 900)
        driver.get(address(tmp_path / "page", "#lai-real/lai-real"))

        def find(selector: str) -> list:
            return driver.find_elements("css selector", selector)

        (head,) = find('#leaderboard button[data-column="bt-log-odds"]')
        assert head.text == "BT log-odds ↑"
        head.click()
        lines = find("#leaderboard tbody tr")
        assert [line.find_element("css selector", "th .name").text for line in lines][:3] == list(ORDER)
        cells = find('#leaderboard td[data-metric="bt-log-odds"]')
        assert [cell.text.split()[0].rstrip("≈") for cell in cells[:3]] == ["0.76", "0.00", "−0.76"]
        assert len(find('#leaderboard td[data-metric="bt-log-odds"] .bar i')) == 3, "every score has its interval"
        cells[0].click()
        (hint,) = find("#hint")
        assert "votes\n24" in hint.text and "95 % interval\n0.1" in hint.text
        (choice,) = find("#metric-choice")
        (option,) = [entry for entry in choice.find_elements("css selector", "option") if entry.text == "BT log-odds"]
        option.click()
        assert "range test tells apart stands in preference.csv" in find("#pairs-help")[0].text
        assert find("#front .point.leading"), "the front takes a study's scores, too"
        assert driver.get_log("browser") == []
