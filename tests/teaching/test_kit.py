"""Quizzes, claims, sources and bug hunts: what they show and refuse, in a notebook or not."""

import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from helpers.lesson_stage import Notebook, parts
from torch import nn

import ftkit.teaching
from ftkit.figures.plots import COLOURS, faded
from ftkit.lessons.lora import bugs
from ftkit.model.low_rank import LowRank
from ftkit.teaching import Claim, bug, claims, quiz, show
from ftkit.teaching import show_source as sources
from ftkit.teaching.bug_hunt import Bug
from ftkit.teaching.cards import CONTROLS_STYLE, STYLE, inline
from ftkit.teaching.claim_table import Finding
from ftkit.teaching.display import VIEW
from ftkit.techniques.lora import LoRA

OPTIONS = {
    "A <b>": "Then B would have to be drawn.",
    "B": "So that nothing moves at first.",
    "both": "Then nothing ever learns.",
}


def test_importing_the_teaching_kit_loads_neither_torch_nor_widgets() -> None:
    heavy = ("torch", "ipywidgets", "pandas", "IPython")
    code = (
        "import sys; from ftkit.teaching import *; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_fetched() -> None:
    assert set(ftkit.teaching.__all__) == {
        "predict",
        "tally",
        "hint",
        "quiz",
        "claims",
        "Claim",
        "show",
        "bug",
    }
    assert all(getattr(ftkit.teaching, name).__doc__ for name in ftkit.teaching.__all__)


def test_the_cards_have_the_colours_of_the_figures() -> None:
    colours = {
        "yes": COLOURS["full fine-tuning"],
        "no": COLOURS["sparse"],
        "open": COLOURS["frozen body"],
        "ask": COLOURS["LoRA"],
    }
    for kind, colour in colours.items():
        assert f".ftkit-{kind} {{ border-left-color: {colour}; }}" in STYLE
        tint = faded(colour, 0.18).replace(",", ", ")
        chip = f".ftkit-chip-{kind} {{ border-color: {colour}; background: {tint}; }}"
        assert (chip in STYLE) == (kind != "ask")
    named = {colour.lower() for colour in re.findall(r"#[0-9a-fA-F]{6}", STYLE + CONTROLS_STYLE)}
    assert named == set(colours.values())


def test_inline_text_is_safe_and_knows_code() -> None:
    assert inline("`x < y` & <script>\n`") == "<code>x &lt; y</code> &amp; &lt;script&gt;<br>`"


class TestQuiz:
    @pytest.mark.parametrize("option", OPTIONS)
    def test_every_option_has_its_explanation(self, option: str) -> None:
        result = quiz("Which starts at zero?", OPTIONS, "B").answer(option)
        assert OPTIONS[option] in result.words
        assert bool(result) == (option == "B")
        assert result.title == ("Right" if option == "B" else "Not this one")

    def test_choosing_shows_the_explanation_at_once(self, notebook: Notebook) -> None:
        quiz("Which starts at <zero>?", OPTIONS, "B")
        (choice,), shown = parts(notebook.box(), "RadioButtons"), parts(notebook.box(), "HTML")[-1]
        assert choice.value is None and shown.value == ""
        for option, words in OPTIONS.items():
            choice.value = option
            assert words in shown.value
        assert any(
            "Which starts at &lt;zero&gt;?" in part.value for part in parts(notebook.box(), "HTML")
        )
        assert "&lt;zero&gt;" in notebook.last() and "A &lt;b&gt;" in notebook.last()

    def test_headless_it_is_question_and_options(self, capsys: pytest.CaptureFixture[str]) -> None:
        quiz("Which starts at zero?", OPTIONS, "B")
        said = capsys.readouterr().out
        assert "Which starts at zero?" in said and all(
            f"  - {option}\n" in said for option in OPTIONS
        )
        assert not any(words in said for words in OPTIONS.values())

    @pytest.mark.parametrize(
        ("options", "answer", "message"),
        [
            (
                {"a": "why", "b": " "},
                "a",
                "every option must have an explanation, got none for 'b'",
            ),
            ({"a": "why"}, "a", "options must be at least two and all different"),
            ({"a": "why", "b": "why"}, "c", "the answer must be one of \\['a', 'b'\\], got 'c'"),
        ],
    )
    def test_an_incomplete_quiz_is_refused(
        self, options: dict[str, str], answer: str, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            quiz("What?", options, answer)

    def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the answer must be one of"):
            quiz("What?", OPTIONS, "B").answer("C")


HOLDS = Claim(
    "LoRA wants 10x the lr",
    "Schulman et al. 2025",
    "lr sweep, <docs>",
    "9.5x [7, 13], 8 seeds",
    "holds",
)


class TestClaims:
    def test_a_verdict_has_a_word_a_symbol_and_a_colour(self) -> None:
        others = [
            Claim("c", "s", "e", "x", "does not hold"),
            Claim("c", "s", "e", "x", "inconclusive"),
        ]
        shown = claims([HOLDS, *others])
        for kind, symbol, word in [
            ("yes", "✓", "holds"),
            ("no", "✗", "does not hold"),
            ("open", "○", "inconclusive"),
        ]:
            hidden = f'<span aria-hidden="true">{symbol}</span>'
            chip = f'<span class="ftkit-chip ftkit-chip-{kind}">{hidden} {word}</span>'
            assert chip in shown.html()
        assert (
            "-> holds" in shown.text()
            and "9.5x [7, 13], 8 seeds" in shown.text()
            and "Schulman et al. 2025" in shown.html()
        )
        assert "&lt;docs&gt;" in shown.html()

    def test_each_result_has_a_line(self) -> None:
        shown = claims(
            [
                Claim(
                    "c",
                    "s",
                    "one; a test",
                    [
                        Finding("library", "+1 [0, 2]", "inconclusive"),
                        Finding("opening", "0 [0, 0]", "ties"),
                    ],
                    "inconclusive",
                )
            ]
        )
        assert (
            "library +1 [0, 2], inconclusive<br>opening" in shown.html()
            and "one; a test" in shown.html()
        )
        assert "library +1 [0, 2], inconclusive; opening 0 [0, 0], ties\n" in shown.text()

    def test_a_claim_is_a_value(self) -> None:
        assert Claim(*vars(HOLDS).values()) == HOLDS
        with pytest.raises(AttributeError):
            HOLDS.verdict = "does not hold"  # type: ignore[misc]

    def test_other_verdicts_and_empty_fields_are_refused(self) -> None:
        with pytest.raises(
            ValueError, match="verdict must be one of .*, got 'maybe'; when in doubt"
        ):
            Claim("c", "s", "e", "x", "maybe")
        with pytest.raises(
            ValueError, match="every field of a claim must say something, got an empty source"
        ):
            Claim("c", " ", "e", "x", "holds")
        for nothing in ([], " ", [Finding("")]):
            with pytest.raises(ValueError, match="must say something, got an empty results"):
                Claim("c", "s", "e", nothing, "holds")
        with pytest.raises(ValueError, match="at least one Claim, got none"):
            claims([])


class TestShow:
    def test_the_source_has_its_file_and_lines_but_no_absolute_path(self) -> None:
        shown = show(LoRA.changes)
        first = LoRA.changes.__code__.co_firstlineno
        assert shown.text().startswith(f"ftkit/techniques/lora.py, lines {first}-")
        assert "\ndef changes(self, model" in shown.text()
        root = ftkit.__file__.removesuffix("ftkit/__init__.py")
        assert root not in shown.text() and root not in shown.html()

    def test_some_lines_of_it(self) -> None:
        whole, part = show(LowRank).text(), show(LowRank, lines=(7, 9)).text()
        start = int(whole.split("lines ")[1].split("-")[0])
        assert part.splitlines()[0] == f"ftkit/model/low_rank.py, lines {start + 6}-{start + 8}"
        assert part.splitlines()[2:] == [line[4:] for line in whole.splitlines()[2:][6:9]]

    def test_a_module_and_another_package(self) -> None:
        assert (
            show(sources, lines=(1, 1))
            .text()
            .startswith("ftkit/teaching/show_source.py, lines 1-1")
        )
        assert show(nn.Linear.forward).text().startswith("torch/nn/modules/linear.py, lines ")
        assert show(subprocess.run, lines=(1, 1)).text().startswith("subprocess.py, lines ")

    def test_code_is_escaped_with_and_without_pygments(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = 'x = "<script>" < y'
        assert '<span class="n">x</span>' in sources.highlighted(code)[0]
        monkeypatch.setattr(sources, "optional", lambda name: None)
        assert sources.highlighted(code) == ["x = &quot;&lt;script&gt;&quot; &lt; y"]

    def test_a_line_stays_a_line(self) -> None:
        code = 'def f():\n    """Two\n    lines."""\n\n\n    return 1'
        assert len(sources.highlighted(code)) == 6
        assert all(
            line.count("<span") == line.count("</span>") for line in sources.highlighted(code)
        )

    def test_an_object_without_source_is_refused(self) -> None:
        with pytest.raises(
            TypeError,
            match="must get a function, class or module that is written in Python, got <built-in",
        ):
            show(len)
        with pytest.raises(ValueError, match="lines must be in 1 to .*, got \\(0, 3\\)"):
            show(LowRank, lines=(0, 3))


CODE = "\n".join(f"x{n} = {n} < 1" for n in range(1, 13))


def planted(lines: dict[int, str] | None = None, nudges: dict[int, str] | None = None) -> Bug:
    return bug(
        CODE,
        lines=lines or {8: "it is <eight>"},
        nudges=nudges or {3: "nearly"},
        story="It should count.",
    )


class TestBug:
    def test_right_wrong_and_nudge(self) -> None:
        asked = planted()
        assert repr(asked.guess(1)) == "Line 1 is not it: Tried so far: 1."
        assert repr(asked.guess(3)) == "Line 3 is not it: nearly Tried so far: 1, 3."
        found = asked.guess(8)
        assert (
            found
            and repr(found) == "Found: line 8: it is <eight>"
            and "&lt;eight&gt;" in found.html()
        )

    def test_after_three_misses_it_says_where_to_look(self) -> None:
        asked = planted()
        said = [asked.guess(line).words for line in (1, 1, 2, 12, 11)]
        # a line tried twice is one miss
        narrows = ["Narrow it down" in words for words in said]
        assert narrows == [False, False, False, True, True]
        assert "the bug is in lines 5 to 8." in said[-1]

    def test_the_button_guesses_the_line_in_the_field(self, notebook: Notebook) -> None:
        planted()
        (field,), (button,), results = (
            parts(notebook.box(), kind) for kind in ("BoundedIntText", "Button", "HTML")
        )
        assert (field.min, field.max, field.description) == (1, 12, "line")
        field.value = 99
        assert field.value == 12
        button.click()
        assert "Line 12 is not it" in results[-1].value
        field.value = 8
        button.click()
        assert "Found: line 8" in results[-1].value
        assert '<span class="ftkit-n">12</span>' in notebook.last() and "&lt;" in notebook.last()

    def test_the_text_is_a_numbered_listing(self, capsys: pytest.CaptureFixture[str]) -> None:
        planted()
        said = capsys.readouterr().out
        assert "It should count." in said and "\n  8  x8 = 8 < 1\n" in said and "it is" not in said

    @pytest.mark.parametrize(
        ("lines", "nudges", "message"),
        [
            ({}, {}, "lines must name the bug, got none"),
            ({13: "w"}, {}, "must be in 1 to 12, got 13"),
            ({1: "w"}, {0: "n"}, "must be in 1 to 12, got 0"),
            ({1: "w"}, {1: "n"}, "must be bug or nudge, got both for 1"),
        ],
    )
    def test_an_impossible_bug_is_refused(
        self, lines: dict[int, str], nudges: dict[int, str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            bug(CODE, lines=lines, nudges=nudges, story="s")

    def test_a_line_outside_the_listing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="line must be 1 to 12, got 0; take a number"):
            planted().guess(0)
        with pytest.raises(ValueError, match="line must be 1 to 12, got '5'; take a number"):
            planted().guess("5")  # type: ignore[arg-type]


class TestPlantedBugs:
    """Running the code shows what the stories say."""

    def trained(self, layer: Any) -> float:
        torch.manual_seed(0)
        x, y = torch.randn(64, 5), torch.randn(64, 4)
        optimizer = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=0.05)
        first = nn.functional.mse_loss(layer(x), y).item()
        for _ in range(200):
            optimizer.zero_grad()
            nn.functional.mse_loss(layer(x), y).backward()
            optimizer.step()
        return first - nn.functional.mse_loss(layer(x), y).item()

    def test_with_both_factors_at_zero_nothing_ever_learns(self) -> None:
        torch.manual_seed(0)
        layer = bugs.NeverLearns(nn.Linear(5, 4), rank=2, alpha=4.0)
        assert self.trained(layer) == 0.0
        assert not layer.a.any() and not layer.b.any()
        for line, factor in ((5, "a"), (6, "b")):
            assert (
                f"self.{factor} = nn.Parameter(torch.zeros("
                in bugs.never_learns().source.splitlines()[line - 1]
            )
            fixed = bugs.NeverLearns(nn.Linear(5, 4), rank=2, alpha=4.0)
            nn.init.normal_(getattr(fixed, factor))
            assert self.trained(fixed) > 0.05
        assert bugs.never_learns().guess(5) and bugs.never_learns().guess(6)

    def test_merged_differs_by_the_scale(self) -> None:
        torch.manual_seed(0)
        layer, x = bugs.MergesWrong(nn.Linear(5, 4), rank=4, alpha=16.0), torch.randn(3, 5)
        assert self.trained(layer) > 0.05
        torch.testing.assert_close(
            layer.merged()(x) - layer.linear(x), 4 * (layer(x) - layer.linear(x))
        )
        assert (
            "merged.weight += self.scale * self.change()"
            in bugs.merges_wrong().source.splitlines()[17]
        )
        assert bugs.merges_wrong().guess(18)
        same = bugs.MergesWrong(nn.Linear(5, 4), rank=4, alpha=4.0)
        nn.init.normal_(same.b)
        torch.testing.assert_close(same.merged()(x), same(x))  # alpha = rank hides it

    def test_no_nudge_is_on_an_empty_line(self) -> None:
        for asked in (bugs.never_learns(), bugs.merges_wrong()):
            assert all(asked.source.splitlines()[line - 1].strip() for line in asked.nudges)


def test_everything_shown_in_a_notebook_has_html_and_text(notebook: Notebook) -> None:
    claims([HOLDS])
    show(LoRA)
    assert all(set(bundle) == {"text/html", "text/plain"} for bundle in notebook.shown)
    planted()
    assert VIEW in notebook.shown[-1]
