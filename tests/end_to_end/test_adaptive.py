"""``adaptive`` as a user sees it: a real worker and a provider with a concurrency limit."""

import re
from pathlib import Path

import pytest

from tests.support.cli_processes import Home, simulator
from tests.support.demo_roadmaps import ROADMAPS
from tests.support.eventually import eventually

#: "adaptive (openai:gpt-4o-mini: 4 calls in this process, 4 held here, 41 waiting (cut to …))"
LIMIT = r"adaptive \(openai:gpt-4o-mini: (\d+) calls in this process, \d+ held here, \d+ waiting \("
WHY = r"cut to \d+: \d+ calls? refused with \d+ in flight, \d+ s ago"
CAP = 3


@pytest.mark.soak
def test_status_shows_the_current_limit_and_its_reason(tmp_path: Path) -> None:
    with simulator("--speed", "20", "--max-concurrency", str(CAP)) as llm:
        home = Home(
            tmp_path,
            {
                "OPENAI_BASE_URL": llm.base_url,
                "OPENAI_API_KEY": "sk-test",
                "PACELINE_STRATEGY": "adaptive",
                "PACELINE_RUN__GRACE": "0.1",
            },
        )
        home.run("submit", str(ROADMAPS[0]))
        with home.workers(count=1):

            def said() -> str:
                (worker,) = home.json("status")["workers"]
                strategy: str = worker["strategy"]
                return strategy if re.search(LIMIT + ".*" + WHY, strategy) else ""

            # It starts with eight calls. The provider refuses five of them.
            strategy = eventually(said, within=60)
            found = re.search(LIMIT, strategy)
            assert found is not None
            assert 1 <= int(found[1]) < 8
            shown = " ".join(home.run("status").stdout.split())
            assert re.search(r"calls in this process", shown), shown
            assert re.search(r"refused with", shown), shown
        assert llm.figures()["in_flight_peak"] == CAP
