"""Which tests of a suite pytest finds, and in which order."""

from paceline.testing.contracts import StrategyContract


def test_tests_are_found_in_the_order_in_which_they_are_written() -> None:
    class Suite(StrategyContract):
        limit = 2
        shared = True

    suite = vars(StrategyContract)
    written = [name for name in suite if name.startswith("test_") and name in vars(Suite)]
    found = [name for name in vars(Suite) if name in written]
    assert len(found) > 5
    assert found == written, "processes that share the tests out must agree on their order"
