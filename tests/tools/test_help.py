"""What the command line says of itself: help of a screen, first steps, errors in one style."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main
from command_line import run_command

from eventsim_tools.main import app

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LINES = 50  # of a screen


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run_command(*arguments) == 0
    return capsys.readouterr().out.rstrip("\n").split("\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_a_screen_that_names_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, whole = (shown(capsys, command, flag) for flag in ("--help", "--help-all"))
    assert len(lines) <= LINES
    assert max(map(len, [*lines, *whole])) <= 80
    for page in (lines, whole):
        named = re.findall(r"(?<![-\w])--[a-z][-a-z]*", "\n".join(page))
        for param in COMMANDS[command].params:
            for option in (*param.opts, *param.secondary_opts):
                assert not option.startswith("--") or option in named, option
    explained = {line.split()[0] for line in whole if line.startswith("  --")}
    for param in COMMANDS[command].params:
        if param.param_type_name == "option":
            assert "/".join([*param.opts, *param.secondary_opts]) in explained
            assert param.help, param.name


def test_what_stands_in_brackets_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(" ".join(shown(capsys, "run", "--help")).split())
    assert "Threads (default all cores; of a worker of a cluster 1)." in text
    text = " ".join(" ".join(shown(capsys, "bench", "--help")).split())
    assert "Network for mlp (default random weights)." in text
    assert "(default 7)" in text


def test_choices_and_requirements_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "train", "--help")
    assert lines[0].startswith("Usage: eventsim train --data NAME --structure NAME --out PATH")
    assert any(line.startswith("  --model snn|rnn|lstm") for line in lines)
    assert any("--neuron lif|if|cubalif|alif" in line for line in lines)


def test_no_command_says_what_to_try_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)
    assert any("eventsim demo" in line for line in lines)
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    for line in lines:
        if line.startswith("  eventsim ") and "--help" not in line:
            assert line.split()[1] in COMMANDS


def test_every_command_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--help")
    assert len(lines) <= 40
    for command in COMMANDS:
        assert any(line.startswith(f"  {command} ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--nonsense"), "eventsim: No such option: --nonsense"),
        (("trian",), "eventsim: No such command 'trian'"),
        (("run",), "eventsim: Missing argument 'NET'"),
        (("train", "--data", "digits", "--neuron", "cuba"), "'cuba' is not one of"),
        (("run", "net.h5", "--limit", "x"), "Invalid value for '--limit'"),
    ],
)
def test_what_is_typed_wrongly_gets_one_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.startswith("eventsim: ")
    assert printed.err.endswith("--help lists what there is\n")
    assert printed.err.count("\n") == 1
