"""A request made on the page: an area, its scenes, a job that is watched or cancelled, errors, the code to copy."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from serving import Server, serve

from .conftest import AREA, SECONDS, Watched, fill_area, watched


def test_an_area_drawn_by_mouse_is_sent_and_its_scenes_are_told(tab: Watched) -> None:
    page = tab.open()
    page.click("#example")
    page.fill("#west", "")
    page.click("#draw")
    box = page.locator("#map").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(middle[0] - 100, middle[1] - 100)
    page.mouse.down()
    page.mouse.move(middle[0] + 20, middle[1] + 20)
    page.mouse.move(middle[0] + 100, middle[1] + 100)
    page.mouse.up()
    expect(page.locator("#draw")).to_have_attribute("aria-pressed", "false")
    west, east, south, north = (float(page.input_value(f"#{name}")) for name in ("west", "east", "south", "north"))
    assert -5.48 < west < -5.44 < east < -5.40
    assert 41.23 < south < 41.26 < north < 41.29
    with page.expect_request("**/execution") as sent:
        page.click("#check")
    inputs = json.loads(sent.value.post_data or "")["inputs"]
    assert inputs == {"bbox": [west, south, east, north], "catalog": "sample", "dry_run": True}
    expect(page.locator(".scenes li.used")).to_have_count(3)
    expect(page.locator(".scenes li.used .chip")).to_have_text(["simulated"] * 3)
    expect(page.locator(".scenes li.refused")).to_have_text(re.compile("dualpol.*VV is missing"))
    page.click("#show-jobs")
    page.locator("#jobs a").first.click()
    expect(page.locator("#result li.refused")).to_have_text(re.compile("dualpol.*VV is missing"))
    tab.check_quiet()


def test_a_job_is_launched_watched_and_ends_at_its_map(tab: Watched) -> None:
    page = tab.open()
    fill_area(page)
    page.fill("#start", "2024-05-18")
    page.fill("#end", "2024-05-18")
    page.click("summary:text-is('Options')")
    page.fill("#option-members", "3")
    page.fill("#option-seed", "7")
    with page.expect_response("**/execution") as answered:
        page.click("#launch")
    assert json.loads(answered.value.request.post_data or "")["inputs"] == {
        "bbox": [-5.46, 41.24, -5.43, 41.27],
        "datetime": "2024-05-18/2024-05-18",
        "catalog": "sample",
        "members": 3,
        "seed": 7,
    }
    assert answered.value.status == 201
    job = answered.value.json()["jobID"]
    assert page.url == f"{tab.url}/?job={job}"
    expect(page.locator("#job-title")).to_be_focused()
    expect(page.locator("#job-progress")).to_be_visible()
    expect(page.locator("#job-share")).to_have_text(re.compile(r"^[1-9]\d* %$"))
    expect(page.locator("#job-message")).not_to_be_empty()
    expect(page.locator("#result")).to_be_visible(timeout=SECONDS * 1000)
    expect(page.locator("#job-title")).to_have_text("Result")
    expect(page.locator("#job-running")).to_be_hidden()
    expect(page.locator(".dates label")).to_have_text(["18 May 2024"])
    page.click("#job-log summary")
    expect(page.locator("#job-log pre")).to_contain_text("Calibrating the ensemble")
    page.click("#show-jobs")
    newest = page.locator("#jobs li").first
    expect(newest.locator(".state")).to_have_text("Done")
    newest.locator("a").click()
    expect(page).to_have_url(f"{tab.url}/?job={job}")
    expect(page.locator("#result")).to_be_visible()
    page.go_back()
    expect(page.locator("#jobs-view")).to_be_visible()
    page = tab.open("jobs?f=html")
    expect(newest.locator(".state")).to_have_text("Done")
    newest.locator("a").click()
    expect(page).to_have_url(f"{tab.url}/?job={job}")
    tab.check_quiet()


def test_a_job_of_another_process(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESCAPE_ECHO", "true")
    with serve(tmp_path) as server, watched(browser, server.url) as tab:
        said = {"inputs": {"message": "hello"}, "response": "document"}
        server.client.post("/processes/echo/execution", json=said).raise_for_status()
        page = tab.open("jobs?f=html")
        expect(page.locator("#jobs li")).to_contain_text("echo")
        page.locator("#jobs a").click()
        page.click("#result a:text('Results')")
        expect(page.locator("body")).to_contain_text("hello")
        tab.check_quiet()


def test_a_running_job_is_cancelled(tab: Watched) -> None:
    page = tab.open()
    fill_area(page)
    page.click("summary:text-is('Options')")
    page.fill("#option-seed", "8")
    with page.expect_response("**/execution") as answered:
        page.click("#launch")
    job = answered.value.json()["jobID"]
    expect(page.locator("#job-share")).to_have_text(re.compile(r"^[1-9]\d* %$"))
    page.click("#cancel")
    expect(page.locator("#job-title")).to_have_text("Cancelled")
    expect(page.locator("#cancel")).to_be_hidden()
    assert httpx.get(f"{tab.url}/jobs/{job}", trust_env=False).json()["status"] == "dismissed"
    tab.check_quiet()


def test_errors_are_the_servers_sentences(tab: Watched) -> None:
    page = tab.open()
    page.click("#launch")
    expect(page.locator("#error")).to_contain_text("The area is not complete")
    fill_area(page, south="x")
    page.click("#launch")
    expect(page.locator("#error")).to_have_text('south is "x": it must be a number of degrees.')
    fill_area(page, south="42")
    page.click("#launch")
    expect(page.locator("#error")).to_contain_text("is reversed: south 42 is not below north 41.27")
    fill_area(page, west="10", east="11")
    page.click("#check")
    expect(page.locator("#error")).to_contain_text("No scene in the catalogue covers bbox [10.0, 41.24, 11.0, 41.27]")
    page.goto(f"{tab.url}/?job=none")
    expect(page.locator("#error")).to_contain_text("There is no job none")
    page.goto(f"{tab.url}/?item=none")
    expect(page.locator("#error")).to_contain_text("There is no such result")
    tab.check_quiet(refusals=4)


def test_the_request_as_code_runs_as_it_is_copied(tab: Watched, server: Server, result: object) -> None:
    page = tab.open()
    fill_area(page)
    page.click("#request-code summary")
    curl, python = page.locator("#request-code pre").all_inner_texts()
    told = subprocess.run(["bash", "-ec", curl], capture_output=True, text=True, check=True, timeout=SECONDS)
    job = server.client.get(told.stdout.strip()).json()
    assert job["processID"] == "escape-soil-moisture"
    run = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert len(run.stdout.splitlines()) == 3
    assert f"{server.url}/catalog/" in run.stdout
    tab.check_quiet()


def test_keys_alone_make_a_request(tab: Watched) -> None:
    page = tab.open()
    typed = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.id")
        if focused in AREA:
            page.keyboard.type(AREA[focused])
            typed.append(focused)
        elif focused == "check":
            break
    assert sorted(typed) == sorted(AREA)
    page.keyboard.press("Enter")
    expect(page.locator(".scenes li.used")).to_have_count(3)
    tab.check_quiet()
