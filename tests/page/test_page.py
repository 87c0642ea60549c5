# SPDX-License-Identifier: Apache-2.0
"""The sandbox's page in a headless Chromium, against the Slack stand-in and a scripted bot.

SHOTS=<folder> also leaves screenshots there."""

import os
import sys
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from sandbox.slack import SlackStandin  # noqa: E402
from sandbox.slack.client import Control, LoopThread  # noqa: E402
from scripted_bot import Bot, World  # noqa: E402

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS + [f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "--window-size=1440,900"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    browser.set_script_timeout(60)
    yield browser
    browser.quit()


class Page:
    def __init__(self, driver, standin, world):
        self.d, self.standin, self.world = driver, standin, world
        self.ctl = Control(standin.base_url)
        self.size(1440, 900)
        driver.get(standin.base_url + "/")
        driver.execute_script("localStorage.clear()")
        driver.get(standin.base_url + "/")
        self.until(lambda: driver.execute_script("return document.body.dataset.ready"))

    def size(self, width, height):
        self.d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def until(self, check, seconds=60):
        return WebDriverWait(self.d, seconds, 0.03, ignored_exceptions=(Exception,)).until(lambda d: check())

    def all(self, test, inside=None):
        return (inside or self.d).find_elements(By.CSS_SELECTOR, f'[data-test="{test}"]')

    def get(self, test):
        return self.until(lambda: next(e for e in self.all(test) if e.is_displayed()))

    def click(self, test):
        def once():
            self.get(test).click()
            return True
        self.until(once)

    def type(self, text):
        box = self.get("composer")
        box.clear()
        box.send_keys(text, Keys.ENTER)

    def messages(self):
        return [m.text for m in self.all("message")]

    def see(self, text):
        """The newest message that shows a text."""
        return self.until(lambda: next(m for m in reversed(self.all("message")) if text in m.text))

    def shot(self, name):
        folder = os.environ.get("SHOTS")
        if folder:
            self.d.save_screenshot(os.path.join(folder, name + ".png"))

    def errors(self):
        return [e["message"] for e in self.d.get_log("browser") if e["level"] == "SEVERE"]


@pytest.fixture
def page(driver):
    world = World()
    with LoopThread() as loop:
        async def start():
            return await SlackStandin(pacing=False, patient=True, page_config={"kube": world.url, "audit": world.url + "/_/audit"}).start()
        standin = loop.run(start())
        bot = Bot(standin, world)
        it = Page(driver, standin, world)
        try:
            yield it
            assert it.errors() == []
        finally:
            driver.get("about:blank")
            bot.socket.close()
            loop.run(standin.stop())
            world.stop()


def test_a_change_from_command_to_audit(page):
    page.until(lambda: "opsd connected" in page.get("link").text)
    page.type("/ops help")
    page.until(lambda: "Only visible to you" in page.see("What you can do").text)
    page.until(lambda: "acknowledged in" in page.get("ack").text)
    page.type('/ops workers scale team=ads role=prod count=20 for=2h reason="backlog"')
    page.see("Argo CD owns this field")
    page.shot("1-preview")
    page.click("person-U0BEN")
    page.until(lambda: not any("Argo CD" in m for m in page.messages()))
    page.click("person-U0ANA")
    page.see("Argo CD owns this field")
    page.click("action-ask")
    page.see("Waiting for one approval in #ops-approvals")
    page.click("person-U0DIA")
    page.click("channel-ops-approvals")
    page.see("wants to scale workers")
    page.click("action-reject")
    page.shot("2-confirm")
    page.click("confirm-no")
    page.click("action-more")
    page.shot("3-approval")
    assert page.get("option-who").is_displayed()
    ActionChains(page.d).send_keys(Keys.ESCAPE).perform()
    page.until(lambda: not page.all("option-who")[0].is_displayed())
    page.click("action-approve")
    page.see("approved by @dia")
    page.until(lambda: "20" in page.get("deploy-ads/workers-prod").text)
    page.until(lambda: len(page.all("audit-row")) == 3)
    page.click("channel-ops-audit")
    page.see("asked by @ana, approved by @dia")
    page.shot("4-audit")


def test_modal(page):
    page.type("/ops form")
    page.get("modal-submit")
    page.click("modal-submit")
    page.until(lambda: "required" in page.get("modal").text)
    team = page.get("input-team")
    team.send_keys("a")
    page.click("option-ads")
    page.d.find_element(By.CSS_SELECTOR, '[data-test="option-prod"]').click()
    page.get("input-count").send_keys("900")
    page.get("input-reason").send_keys("queue is growing")
    page.shot("5-modal")
    page.click("modal-submit")
    page.until(lambda: "At most 200 workers" in page.get("modal").text)
    assert page.get("input-reason").get_attribute("value") == "queue is growing"
    page.shot("6-modal-error")
    count = page.get("input-count")
    count.clear()
    count.send_keys("20")
    page.click("modal-submit")
    page.until(lambda: "3 \u2192 20" in page.get("modal").text)
    sent = [a for a in page.ctl.acks()["acks"] if a["kind"] == "submit"][-1]["payload"]["view"]["state"]["values"]
    assert sent["team"]["team"]["selected_option"]["value"] == "ads"
    assert sent["role"]["role"]["selected_option"]["value"] == "prod"
    assert sent["flags"]["flags"]["selected_options"] == []
    page.click("modal-close")
    page.get("input-reason")
    page.click("modal-x")
    page.until(lambda: not page.all("modal")[0].is_displayed())
    closed = page.until(lambda: [a for a in page.ctl.acks()["acks"] if a["kind"] == "close"])[-1]["payload"]
    assert closed["is_cleared"] is True


def test_untrusted_text_stays_text(page):
    page.type("/ops gallery")
    m = page.see("first *not bold*")
    assert "<script>alert(1)</script>" in m.text and "<img src=x" in m.text and "<b>plain</b> & *literal*" in m.text
    assert "<b> 2 > 1" in m.text and "@ben" in m.text and "#ops-audit" in m.text
    assert not m.find_elements(By.CSS_SELECTOR, "script, img")
    assert [e.text for e in m.find_elements(By.CSS_SELECTOR, "strong")] == ["bold"]
    page.shot("7-gallery")


def test_table_select_and_history(page):
    page.type("/ops datasets list owner=ads")
    m = page.see("ads_spend_daily")
    assert len(m.find_elements(By.CSS_SELECTOR, "tbody tr")) == 4
    Select(page.get("input-status")).select_by_value("late")
    page.until(lambda: any(a["payload"].get("actions", [{}])[0].get("selected_option", {}).get("value") == "late"
                           for a in page.ctl.acks()["acks"]))
    page.shot("8-table")
    box = page.get("composer")
    box.send_keys(Keys.ARROW_UP)
    assert box.get_attribute("value") == "/ops datasets list owner=ads"


def test_home(page):
    page.click("app-opsd")
    page.until(lambda: "Your operations" in page.get("home").text)
    page.shot("9-home")
    page.click("action-form")
    page.get("modal-submit")
    page.click("modal-close")
    page.click("tab-messages")
    page.ctl.call("event", event={"type": "noise", "user": "U0ANA"})
    page.until(lambda: "beginning of opsd" in page.d.find_element(By.ID, "log").text)


def test_people_unread_and_places(page):
    page.ctl.say(user="U0BEN", channel="C0RANDOM", text="lunch?")
    page.until(lambda: "1" in page.get("channel-random").text)
    page.click("channel-random")
    page.see("lunch?")
    page.until(lambda: "1" not in page.get("channel-random").text)
    page.click("person-U0OUT")
    page.until(lambda: [c.text.split("\n")[-1] for c in page.d.find_elements(By.CSS_SELECTOR, "#channels .chan")] == ["partner"])
    page.type("/ops help")
    page.until(lambda: "another workspace" in page.get("ack").text)
    page.until(lambda: "/_/slash" in page.errors()[0])     # the refusal, logged by the browser
    page.click("person-U0OLD")
    page.until(lambda: "deactivated" in page.get("me").text)


def test_failures_are_shown(page):
    page.ctl.switch(ack_deadline=0.3)
    page.ctl.fault(name="swallow", times=2)
    page.type("/ops help")
    page.until(lambda: "not acknowledged" in page.get("ack").text)
    page.see("operation_timeout")
    page.ctl.socket(mode="abort")
    page.until(lambda: "not connected" in page.get("link").text)
    page.ctl.clear()


def test_narrow_and_without_sources(driver):
    with LoopThread() as loop:
        async def start():
            return await SlackStandin().start()
        standin = loop.run(start())
        page = Page(driver, standin, None)
        page.size(1000, 700)
        page.until(lambda: "not connected" in page.get("link").text)
        wide = driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        assert wide
        page.shot("a-narrow")
        page.click("side-toggle")
        page.until(lambda: "No cluster in this sandbox" in page.get("panel-deployments").text)
        page.until(lambda: page.d.execute_script(
            "return document.getElementById('side').getBoundingClientRect().right <= window.innerWidth + 1"))
        page.shot("b-narrow-side")
        assert page.errors() == []
        driver.get("about:blank")
        loop.run(standin.stop())


def test_what_is_open_survives_new_messages(page):
    page.type("/ops datasets list owner=ads")
    page.see("ads_spend_daily")
    Select(page.get("input-status")).select_by_value("late")
    page.d.execute_script("arguments[0].focus()", page.get("input-status"))
    for i in range(30):
        page.ctl.say(user="U0BEN", channel="C0OPS", text=f"line {i}")
    page.see("line 29")
    assert Select(page.get("input-status")).first_selected_option.text == "Late"
    assert page.d.switch_to.active_element.get_attribute("data-test") == "input-status"
    page.until(lambda: page.d.execute_script(
        "const l = document.getElementById('log'); return l.scrollHeight - l.scrollTop - l.clientHeight") < 5)
