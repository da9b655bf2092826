"""What all tests share."""

pytest_plugins = ["paceline.testing.plugin"]
