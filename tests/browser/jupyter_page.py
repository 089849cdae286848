"""JupyterLab with one notebook in a real browser."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTINGS = ["--ServerApp.token=", "--ServerApp.password=", "--ServerApp.open_browser=False"]
SECONDS = 1000
"""Playwright counts in milliseconds."""


def with_preset(notebook: Path, folder: Path, preset: str) -> Path:
    """A copy of a notebook whose parameters ask for another preset."""
    page = json.loads(notebook.read_text())
    for cell in page["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = [
                f'preset = "{preset}"\n' if line.startswith("preset = ") else line
                for line in cell["source"]
            ]
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / notebook.name
    copy.write_text(json.dumps(page))
    return copy


@contextlib.contextmanager
def jupyter(folder: Path) -> Iterator[str]:
    """A server of a folder on a free port; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "jupyter.log").open("w")
    home = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    server = subprocess.Popen(
        [
            sys.executable, "-m", "jupyter", "lab", *SETTINGS, "--allow-root",
            f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ],
        stdout=log, stderr=subprocess.STDOUT, env=os.environ | home,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/status", timeout=1)
                break
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@contextlib.contextmanager
def browser_page(address: str) -> Iterator[tuple[Page, list[str]]]:
    """A page of a fresh browser, and the errors that its console tells."""
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(60 * SECONDS)
        page.goto(address)
        try:
            yield page, errors
        finally:
            browser.close()
