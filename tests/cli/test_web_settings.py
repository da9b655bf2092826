"""Settings of the server: its tokens are secrets."""

from paceline.plugins.registry import Plugins
from paceline.settings.load import load_settings

from tests.support.cli_terminal import Terminal

WRITER = "writes-0123456789"


def test_a_token_is_masked_wherever_settings_are_shown(paceline: Terminal) -> None:
    secret = "sk-very-secret-token"
    paceline.setenv(PACELINE_WEB__TOKENS=f'[{{token = "{secret}", scope = "read"}}]')
    said = paceline("config", "show", "--json")
    assert "web.tokens" in said.out
    wrong = f'[{{token = "{secret}", scope = "all"}}]'
    paceline.setenv(PACELINE_WEB__TOKENS=wrong)
    assert "scope" in paceline("config", "show", code=2).err
    paceline.setenv(PACELINE_WEB__TOKENS='[{token = "sk-very-secret"}]')
    assert "web.tokens[0].token" in paceline("config", "show", code=2).err
    for odd in (f" {secret}", f"{secret} more", f"{secret}é"):
        paceline.setenv(PACELINE_WEB__TOKENS=f'[{{token = "{odd}"}}]')
        message = paceline("config", "show", code=2).err
        assert "web.tokens[0].token must consist of printable ASCII characters" in message
        assert "sk-very" not in message
    twice = f'[{{token = "{secret}", scope = "read"}}, {{token = "{secret}", tenant = "a"}}]'
    paceline.setenv(PACELINE_WEB__TOKENS=twice)
    message = paceline("config", "show", code=2).err
    assert "web.tokens has token 1 twice" in message
    assert "sk-very" not in message
    paceline.setenv(PACELINE_WEB__TOKENS='["sk-very-secret')
    assert "web.tokens" in paceline("config", "show", code=2).err


def test_tokens_are_read_from_a_file(paceline: Terminal) -> None:
    (paceline.folder / "paceline.toml").write_text(
        f'[web]\nhost = "0.0.0.0"\n[[web.tokens]]\ntoken = "{WRITER}"\ntenant = "acme"\n'
    )
    web = load_settings(Plugins()).settings.web
    assert [(one.tenant, one.scope) for one in web.tokens] == [("acme", "write")]
    assert WRITER not in repr(web)
