"""Finding plugins, built in or not."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import click
import pytest
from paceline import Context, NoOptions, Permit, Register, Step, Strategy, Work, hookimpl
from paceline.errors import PluginError, SettingsError
from paceline.plugins.built_ins import BUILT_IN_COMMANDS, BUILT_INS, Kind
from paceline.plugins.masking import MASK, masked
from paceline.plugins.registry import Plugins
from paceline.settings.model import Settings


class Nothing(Strategy):
    async def admit(self, work: Work) -> Permit:
        return Permit()


def module(**names: object) -> ModuleType:
    """A module with these names in it."""
    made = ModuleType("theirs")
    vars(made).update(names)
    return made


def plugin_offering(name: str) -> object:
    @hookimpl
    def paceline_register_strategies(register: Register[Strategy]) -> None:
        register(name, lambda _options, _context: Nothing(), options=NoOptions, summary="None.")

    return module(paceline_register_strategies=paceline_register_strategies)


def built_ins() -> Iterator[tuple[Kind, str]]:
    for kind, names in BUILT_INS.items():
        for name in names:
            yield kind, name


@pytest.mark.parametrize(("kind", "name"), list(built_ins()))
def test_the_index_of_built_ins_is_correct(kind: Kind, name: str) -> None:
    plugins = Plugins()
    if kind == "command":
        offer = plugins.command(name)
        assert offer is not None
        assert isinstance(offer.load(), click.Command)
        assert offer.summary == BUILT_IN_COMMANDS[name]
    else:
        assert plugins.offer(kind, name).plugin == BUILT_INS[kind][name]


def test_a_plugin_is_found_by_name() -> None:
    plugins = Plugins()
    plugins.register(plugin_offering("mine"), "mine")
    assert "mine" in plugins.names("strategy")
    assert plugins.strategy("mine").plugin == "mine"


@pytest.mark.parametrize("name", ["global", "mine"])
def test_a_duplicate_name_is_rejected_with_its_owner(name: str) -> None:
    plugins = Plugins()
    plugins.register(plugin_offering("mine"), "first")
    with pytest.raises(PluginError, match=f"strategy '{name}' is taken by"):
        plugins.register(plugin_offering(name), "second")


def test_a_misspelled_hook_is_an_error() -> None:
    @hookimpl
    def paceline_register_strategy(register: Callable[..., None]) -> None:
        raise AssertionError

    wrong = module(paceline_register_strategy=paceline_register_strategy)
    with pytest.raises(PluginError, match="paceline_register_strategy"):
        Plugins().register(wrong, "wrong")


def test_an_unknown_name_is_reported_with_the_nearest_and_all_names() -> None:
    with pytest.raises(SettingsError, match=r"did you mean 'unbounded'\? \(allowed: .*global"):
        Plugins().strategy("unbound")


def test_help_imports_no_adapter() -> None:
    code = (
        "import sys\nfrom paceline.cli import main\n"
        "sys.argv = ['paceline', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = ('paceline_adapters', 'paceline_strategies', 'celery', 'arq', 'redis', 'openai',"
        " 'sqlalchemy', 'aiohttp', 'rich')\n"
        "print([name for name in sys.modules if name.split('.')[0] in heavy])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_context_without_a_worker_has_no_ledger() -> None:
    with pytest.raises(PluginError):
        Context(settings=Settings()).ledger()


@pytest.mark.parametrize("plugin", ["my_plugin", "my-plugin"])
@pytest.mark.parametrize("use", ["my_plugin:quiz", "my-plugin:quiz"])
def test_a_replacement_is_found_however_its_plugin_is_registered(plugin: str, use: str) -> None:
    class Module:
        @hookimpl
        def paceline_register_steps(self, register: Register[Step]) -> None:
            register("quiz", lambda _, __: Quiz(), options=NoOptions, summary="Ours.")

    class Quiz(Step):
        answer = NoOptions

    plugins = Plugins()
    plugins.register(Module(), plugin)
    assert plugins.step(use).summary == "Ours."
    assert plugins.step("quiz").summary != "Ours."


def test_secrets_are_masked_in_texts_of_plugins() -> None:
    settings = Settings.model_validate(
        {
            "provider": {"api_key": "sk-abc"},
            "store": {"url": "postgresql://me:p%40ss@db.example/name"},
            "models": {"other": {"api_key": "sk-abcdef"}},
            "resources": {"search": {"concurrency": 1, "keys": {"A": "key-of-a"}}},
            "web": {"tokens": [{"token": "0123456789abcdef"}]},
        }
    )
    text = "sk-abcdef sk-abc p%40ss p@ss key-of-a 0123456789abcdef db.example"
    assert masked(text, settings) == " ".join([MASK] * 6) + " db.example"
