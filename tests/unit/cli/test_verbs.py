"""What holds for every verb: help, examples, `--json`, and a line instead of a traceback."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from inferway.cli.root import VERBS, command

DAYS = ("--from", "2030-01-01", "--to", "2030-01-02")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "serve": ("--config", "none.toml"),
    "call": ("hi",),
    "batch": ("in.jsonl", "out.jsonl", "--retries", "0"),
    "dashboard": (),
    "key create": ("--name", "k"),
    "key list": (),
    "key revoke": ("inference",),
    "key budget": ("inference", "--daily-usd", "1"),
    "namespace create": ("team-a",),
    "namespace list": (),
    "namespace budget": ("default", "--monthly-usd", "2.5"),
    "organization create": ("acme", "--email", "a@example.com"),
    "organization list": (),
    "organization budget": ("default", "--daily-usd", "none"),
    "secrets rotate-key": (),
    "db status": (),
    "db upgrade": (),
    "usage show": DAYS,
    "usage export": ("--output", "usage.jsonl"),
    "usage reconcile": ("usage.csv",),
    "usage reprice": DAYS,
    "models list": (),
    "models pull": ("no-such-model",),
    "models remove": ("smollm2",),
    "models verify": (),
    "top": ("--once",),
    "doctor": (),
    "settings": (),
    "completion": ("zsh",),
}
"""Each verb's arguments here. What needs a server finds none and says so, in JSON too."""
FAILING = {"serve", "call", "batch", "dashboard", "usage reconcile", "models pull", "top"}


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every verb that does something, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


@pytest.fixture(scope="module")
def verbs() -> dict[str, click.Command]:
    assert isinstance(command, click.Group)
    return dict(leaves(command))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERWAY_SERVER__PORT", "1")
    (tmp_path / "in.jsonl").write_text('{"inputs": {"prompts": ["a"]}}\n')
    (tmp_path / "usage.csv").write_text("date,model,tokens\n2030-01-01,m,5\n")
    return tmp_path


def invoke(*words: str) -> Result:
    return CliRunner().invoke(command, ["--data-dir", "data", *words], prog_name="inferway")


def test_every_verb_is_looked_at_here(verbs: dict[str, click.Command]) -> None:
    assert verbs.keys() == ARGUMENTS.keys()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("verb", ARGUMENTS)
def test_every_verb_speaks_json(verb: str) -> None:
    if verb not in {"serve", "models pull", "models list", "settings", "completion"}:
        assert invoke("key", "list").exit_code == 0
    ended = invoke(*verb.split(), *ARGUMENTS[verb], "--json")
    assert (ended.exit_code == 1) == (verb in FAILING), ended.output
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    assert isinstance(json.loads(ended.stdout), dict | list)


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_every_verb_and_every_option_of_it_is_explained(verbs: dict[str, click.Command], verb: str) -> None:
    found = verbs[verb]
    assert found.help
    assert found.help.rstrip().endswith((".", "`"))
    unexplained = [
        each.opts
        for each in found.params
        if isinstance(each, click.Option) and not each.help and not each.hidden
    ]
    assert not unexplained
    assert "--json" in {name for each in found.params for name in each.opts}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_that_could_be_typed(verbs: dict[str, click.Command], verb: str) -> None:
    ended = invoke(verb, "--help")
    assert ended.exit_code == 0
    lines = [line for line in ended.output.partition("Examples:")[2].splitlines() if line.strip()]
    assert lines
    for line in lines:
        words = line.partition("inferway ")[2].replace('"', " ").split()
        name = next(known for known in (" ".join(words[:2]), words[0]) if known in verbs)
        options = {word for word in words if word.startswith("--")}
        assert options <= {name for each in verbs[name].params for name in each.opts}, line


@pytest.mark.parametrize("verb", VERBS)
def test_no_help_is_cut_or_too_wide(verb: str) -> None:
    ended = invoke(verb, "--help")
    _, *lines = ended.output.partition("Examples:")[0].splitlines()
    assert not [line for line in lines if len(line) > 80 or line.endswith("...")]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("key", "revoke", "nobody"), "inferway key list"),
        (("key", "budget", "nobody"), "inferway key list"),
        (("namespace", "budget", "nobody"), "inferway namespace list"),
        (("organization", "budget", "nobody"), "inferway organization list"),
        (("usage", "export", "--output", "none/x"), "none/x: no such file or directory"),
        (("usage", "reconcile", "in.jsonl"), "--column"),
        (("usage", "show", "--namespace", "nowhere"), "inferway namespace list"),
        (("call", "--schema", "none.json", "hi"), "Name a file that can be read.\n"),
        (("call", "--image", "none.png", "hi"), "Name a file that can be read, or a URL.\n"),
        (("dashboard", "--url", "http://127.0.0.1:1", "--data-dir", "elsewhere"), "Use the --data-dir of"),
        (("db", "status", "--config", "none.toml"), "Name a readable settings file"),
        (("call", "hi"), "inferway serve"),
        (("batch", "in.jsonl", "out.jsonl"), "inferway serve"),
    ],
)
def test_what_cannot_be_done_is_a_line_that_says_what_to_do(words: tuple[str, ...], message: str) -> None:
    ended = invoke(*words)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert isinstance(ended.exception, SystemExit)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("call",), "Nothing to ask"),
        (("call", "hi", "--provider", "openai"), "--model is needed"),
        (("call", "hi", "-p", "temperature"), "NAME=VALUE"),
        (("call", "hi", "--fallback", "openai"), "PROVIDER/MODEL"),
        (("call", "hi", "--body", "in.jsonl"), "--body is the whole call"),
        (("call", "-", "--text", "-"), "more than once"),
        (("usage", "show", "--from", "soon"), "2030-01-31"),
        (("usage", "show", "--from", "2030-01-31", "--to", "2030-01-01"), "behind"),
        (("key", "create", "--name", "a", "--expires", "tomorrow"), "30d"),
        (("models", "pull", "--from", "x"), "exactly one"),
        (("dashboard", "--url", "localhost"), "http://host:port"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(words: tuple[str, ...], message: str) -> None:
    ended = invoke(*words)
    assert ended.exit_code == 2, ended.output
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_a_link_that_no_server_takes_is_not_made() -> None:
    invoke("dashboard", "--url", "http://127.0.0.1:1", "--data-dir", "elsewhere")
    assert not Path("elsewhere", "secrets.key").exists()


def test_a_verb_that_is_spelled_wrongly_is_answered_with_the_right_one() -> None:
    assert "Did you mean serve?" in invoke("servr").stderr
    ended = invoke("xyz")
    assert (ended.exit_code, "Did you mean" in ended.stderr) == (2, False)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("wish", ["", "1"])
def test_colours_are_only_for_a_terminal_that_wants_them(wish: str) -> None:
    runner = CliRunner(env={"NO_COLOR": wish})
    words = ["--data-dir", "data", "doctor"]
    assert ("\x1b[" in runner.invoke(command, words, color=True).output) == (not wish)
    assert "\x1b[" not in runner.invoke(command, words).output


@pytest.mark.usefixtures("folder")
def test_of_several_keys_of_one_name_none_is_taken_for_the_other() -> None:
    ids = [
        json.loads(invoke("key", "create", "--name", "ci", "--user", user, "--json").stdout)["key_id"]
        for user in ("ann@example.com", "bob@example.com")
    ]
    for words in (("key", "revoke", "ci"), ("key", "budget", "ci"), ("usage", "show", "--key", "ci")):
        ended = invoke(*words)
        assert ended.exit_code == 1
        assert f"{ids[0]} or {ids[1]}" in ended.stderr
    assert invoke("key", "revoke", ids[0]).exit_code == 0
    assert json.loads(invoke("key", "revoke", "ci", "--json").stdout)["key_id"] == ids[1]


@pytest.mark.usefixtures("folder")
def test_an_organization_that_is_named_like_another_is_not_taken_for_it() -> None:
    def create(name: str) -> str:
        made = invoke("organization", "create", name, "--email", "a@example.com", "--json")
        return str(json.loads(made.stdout)["organization_id"])

    ours = create("acme")
    # A name is its own administrators' to choose.
    theirs = create(ours)
    for name in (ours, theirs):
        told = json.loads(invoke("organization", "budget", name, "--daily-usd", "1", "--json").stdout)
        assert told["organization_id"] == name
    create("acme")
    ended = invoke("organization", "budget", "acme", "--daily-usd", "2")
    assert ended.exit_code == 1
    assert ours in ended.stderr
