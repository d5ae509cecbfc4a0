"""A headless Chromium, driven by its own protocol over two pipes: what it says on the console, asks for and shows."""

import base64
import json
import os
import select
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "Chromium is missing, in which the lessons' pages are tested: apt install chromium"
SECONDS = 60  # to wait for an answer
READY = (
    "new Promise(done => { const look = () => { const [mark] = performance.getEntriesByName('ready');"
    " mark ? done(mark.startTime) : setTimeout(look, 5); }; look(); })"
)


def chromium():
    """The path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page at a time. `said`: errors on the console; `asked`: what was requested beside the page itself."""

    def __init__(self, folder):
        commands, self.writing = os.pipe()
        self.reading, answers = os.pipe()

        def wire():
            for place, pipe in [(3, os.dup(commands)), (4, os.dup(answers))]:  # copies, for a pipe may be 3 or 4 itself
                os.dup2(pipe, place)
                os.set_inheritable(place, True)  # a copy that is 3 or 4 already would be closed

        words = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        words += ["--disable-background-networking", "--no-first-run", f"--user-data-dir={folder}"]
        words += ["--disable-features=IsolateSandboxedIframes", "about:blank"]  # so that what a frame says is heard
        self.process = subprocess.Popen(
            words, preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self.buffer, self.number, self.session, self.url = b"", 0, None, "about:blank"
        self.said, self.asked, self.events = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        os.close(self.writing)  # it ends when nobody can speak to it any more
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self.reading)

    # ---------------------------------------------------------------- the protocol

    def call(self, method, **params):
        """A command's answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def receive(self):
        """The next message; what it tells of errors and requests is kept."""
        while b"\0" not in self.buffer:
            assert select.select([self.reading], [], [], SECONDS)[0], f"the browser says nothing for {SECONDS} seconds"
            part = os.read(self.reading, 1 << 20)
            assert part, "the browser has ended"
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.said.append(params["exceptionDetails"]["exception"].get("description", "an exception"))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.said.append(str([argument.get("value") for argument in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.said.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            if not params["request"]["url"].startswith(("data:", self.url)):
                self.asked.append(params["request"]["url"])
        elif method:
            self.events.append(method)
        return message

    # ---------------------------------------------------------------- what a reader does

    def open(self, path, width=1366, height=768, fragment=""):
        """Show a file, as if it were opened from its folder, and wait until it has loaded."""
        self.go(Path(path).resolve().as_uri(), width, height, fragment)

    def go(self, url, width=1366, height=768, fragment=""):
        """Show what is at an address, and wait until it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        for self.url in ("about:blank", url):
            self.said, self.asked, self.events = [], [], []
            self.call("Page.navigate", url=self.url + (fragment if self.url != "about:blank" else ""))
            while "Page.loadEventFired" not in self.events:
                self.receive()

    def run(self, script, **where):
        """The value of a JavaScript expression, a promise's when it is kept."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, **where)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def frame(self):
        """Where to run what is to be run in the page's only frame, when that is ready."""
        (child,) = self.call("Page.getFrameTree")["frameTree"]["childFrames"]
        world = self.call("Page.createIsolatedWorld", frameId=child["frame"]["id"])
        where = {"contextId": world["executionContextId"]}
        self.run(READY, **where)
        return where

    def ready(self):
        """Wait for the page's own mark, and say when it came: milliseconds from the beginning."""
        return self.run(READY)

    def press(self, key, code=None):
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code or 0,
                text="\r" if key == "Enter" and kind == "keyDown" else "",
            )  # fmt: skip

    def screenshot(self, path):
        """The whole page as a PNG."""
        height = self.run("document.documentElement.scrollHeight")
        width = self.run("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        Path(path).write_bytes(base64.b64decode(answer["data"]))
