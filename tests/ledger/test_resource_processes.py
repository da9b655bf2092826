"""A resource with a pool of keys, used by real processes over Redis."""

import subprocess
import sys

from tests.ledger.test_processes import peak
from tests.support import resource_user_process as user


def used(url: str, *, uses: int, seconds: float, refused: str = "") -> dict[str, list[str]]:
    """What two processes printed, by key: lines of begin and end."""
    words = [sys.executable, user.__file__, url, str(uses), str(seconds)]
    both = [
        subprocess.Popen([*words, key], stdout=subprocess.PIPE, text=True) for key in (refused, "")
    ]
    found: dict[str, list[str]] = {}
    for process in both:
        with process:
            for line in process.communicate()[0].splitlines():
                key, _, times = line.partition(" ")
                found.setdefault(key, []).append(times)
        assert process.returncode == 0
    return found


def test_two_processes_use_all_keys_and_exceed_the_limit_of_none(redis_url: str) -> None:
    found = used(redis_url, uses=40, seconds=0.05)
    assert sum(map(len, found.values())) == 80
    assert found.keys() == {"one", "two"}
    for lines in found.values():
        assert len(lines) >= 20
        assert peak(lines) <= user.AT_ONCE
        began = [float(line.split()[0]) for line in lines]
        # A burst of 1.5 s, then 1.05 times the quota. A busy machine may delay the first uses.
        most = 1.05 * user.REQUESTS / 60 * (max(began) - min(began) + 1.5 + 0.5) + 1
        assert len(lines) <= most


def test_a_refusal_in_one_process_pauses_that_key_in_both(redis_url: str) -> None:
    found = used(redis_url, uses=40, seconds=0.05, refused="one")
    assert len(found["one"]) + len(found["two"]) == 80
    [when] = (float(line.split()[0]) for line in found["refused"])
    # Uses that had begun, or were granted before the refusal arrived, may still begin.
    late = [line for line in found["one"] if float(line.split()[0]) > when + 1.0]
    assert not late
