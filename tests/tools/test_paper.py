"""The files that `eventsim compare` writes for a paper."""

from __future__ import annotations

from eventsim_tools.compare.parts import Table


def test_signs_that_latex_reads_as_commands_are_written_out() -> None:
    caption, head = "50 % of a_b & {c} #1 $x$ ^ ~ <|>", ["a_b", "c\\d of all that"]
    table = Table("t", caption, head, [["x & y", "1 - 2 %"]])
    text = table.files()[".tex"].decode()
    assert (
        r"\caption{50 \% of a\_b \& \{c\} \#1 \$x\$ \textasciicircum{} \textasciitilde{} "
        r"\textless{}\textbar{}\textgreater{}}"
    ) in text
    assert r"a\_b & \shortstack[r]{c\textbackslash{}d of all\\that} \\" in text.splitlines()
    assert r"x \& y & 1--2 \% \\" in text.splitlines()
