"""Which tests of a suite pytest finds, and in which order."""

from paceline.testing.contracts import StrategyContract


def test_tests_are_collected_in_the_order_of_their_definition() -> None:
    class Suite(StrategyContract):
        limit = 2
        shared = True

    suite = vars(StrategyContract)
    written = [name for name in suite if name.startswith("test_") and name in vars(Suite)]
    found = [name for name in vars(Suite) if name in written]
    assert len(found) > 5
    assert found == written, "processes that share the tests out must agree on their order"
