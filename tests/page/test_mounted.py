"""The page in another application, under a path of that application."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.support.browser_tab import Tab, roadmap
from tests.support.cli_processes import Home
from tests.support.eventually import eventually

_APPLICATION = """
from contextlib import asynccontextmanager

from fastapi import FastAPI
from paceline import App
from paceline_adapters.web import Backend, create_app

backend = Backend(App.load(), work=False)


@asynccontextmanager
async def lifespan(app):
    async with backend:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/shop/content", create_app(backend))
"""


def test_the_page_works_under_any_path(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(_APPLICATION)
    home = Home(tmp_path, {"PACELINE_PROVIDER__API_KEY": "none"})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "uvicorn", "theirs:app", "--fd", str(listening.fileno())]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=home.whole(), pass_fds=[listening.fileno()]
        )
        with process:
            try:
                place = f"http://127.0.0.1:{listening.getsockname()[1]}/shop/content"
                tab.page.goto(place)
                tab.says("#connection", "live")
                tab.submit(roadmap("theirs", 2))
                tab.get(".run").click()
                eventually(lambda: tab.get(".concept").count() == 2, 60)
                tab.get(".concept").first.click()
                tab.says("#concept-title", "Concept 0")
                tab.page.reload()
                tab.says("#concept-title", "Concept 0")
                tab.quiet()
            finally:
                process.kill()
