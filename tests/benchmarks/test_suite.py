"""The runner: sides in turn, peers that are missing or fail, what is written and shown; two quick cases for a try."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfmm.errors import UserError
from tests.benchmarks import __main__ as command
from tests.benchmarks import case as cases
from tests.benchmarks import plot, process, suite, table
from tests.benchmarks.case import Case, Measured, Side

MACHINE: dict[str, Any] = {
    "hardware": "a processor", "threads": 2, "bf16_unit": "none", "peak_gflops": {"bf16": 400.0, "fp32": 200.0},
    "packages": {"torch": "2"},
}  # fmt: skip


def nothing(job: Any) -> Measured:
    raise AssertionError("a test measures nothing")


CASE = Case(
    title="Counting",
    unit="rows/s",
    sizes={"small": {"rows": 1}, "large": {"rows": 2}},
    limits={"large": {"share": 0.25}},
    sides=(
        Side("hfmm", nothing),
        Side("peer", nothing, against="hfmm", asked=3),
        Side("absent", nothing, against="hfmm", needs=("no_such_package",)),
        Side("odd", nothing, against="hfmm"),
        Side("other", nothing, against="hfmm", differs="other weights"),
        Side("as odd", nothing, against="hfmm", alike="odd"),
    ),
)
SPEEDS = {"hfmm": 10.0, "peer": 4.0, "odd": 10.0, "other": 10.0, "as odd": 5.0}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the processes; returns the sides in the order in which they ran."""
    order: list[str] = []

    def measure(case: str, size: str, side: str, *_: Any) -> dict[str, Any]:
        order.append(side)
        if side == process.PREPARE:
            return {}
        outputs = [2.0 if "odd" in side else 1.0]
        found = {"value": SPEEDS[side], "outputs": outputs, "flops": 1e9, "memory_mib": 50.0}
        return found | {"details": {"share": 0.5} if side == "hfmm" else {}}

    monkeypatch.setattr(process, "measure", measure)
    return order


def run(sizes: tuple[str, ...] = ("small",), repeats: int = 2) -> dict[str, Any]:
    return suite.run_case("counting", CASE, sizes, repeats, MACHINE, None, lambda line: None)


def break_off(monkeypatch: pytest.MonkeyPatch, broken: str, why: str) -> None:
    whole = process.measure

    def measure(case: str, size: str, side: str, *others: Any) -> dict[str, Any]:
        if side == broken:
            raise process.Failed(why)
        return whole(case, size, side, *others)

    monkeypatch.setattr(process, "measure", measure)


def test_sides_run_in_turn_there_and_back_and_all_read_what_was_prepared_once(measured: list[str]) -> None:
    run()
    there = ["hfmm", "peer", "odd", "other", "as odd"]
    assert measured == [process.PREPARE, *there, *reversed(there)]


def test_a_peer_that_is_not_installed_is_missing_and_has_no_figure(measured: list[str]) -> None:
    side = run()["sizes"]["small"]["sides"]["absent"]
    assert side["status"] == "missing" and "no_such_package" in side["because"]
    assert not {"median", "times_faster"} & set(side)


def test_a_difference_in_outputs_is_reported_and_does_not_hide_the_figure(measured: list[str]) -> None:
    sides = run()["sizes"]["small"]["sides"]
    assert sides["peer"]["agreement"]["same"] is True
    assert sides["odd"]["agreement"]["same"] is False
    assert sides["odd"]["times_faster"]["median"] == 1
    assert sides["other"]["agreement"] == {"same": None, "because": "other weights"}


def test_outputs_may_be_those_of_another_side_than_the_one_it_stands_against(measured: list[str]) -> None:
    side = run()["sizes"]["small"]["sides"]["as odd"]
    assert side["agreement"]["same"] is True
    assert side["times_faster"]["median"] == 2


def test_a_side_that_breaks_off_is_reported_and_the_others_go_on(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(monkeypatch, "peer", "out of memory")
    sides = run()["sizes"]["small"]["sides"]
    assert sides["peer"]["status"] == "failed" and sides["peer"]["because"] == "out of memory"
    assert sides["other"]["times_faster"]["median"] == 1


def test_without_our_own_figure_there_is_no_ratio(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(monkeypatch, "hfmm", "broken")
    peer = run()["sizes"]["small"]["sides"]["peer"]
    assert peer["median"] == 4 and "times_faster" not in peer


def test_the_table_shows_ratios_utilisation_missing_peers_and_what_was_asked(measured: list[str]) -> None:
    shown = "\n".join(table.lines({"counting": run(("small", "large"))}))
    assert "| Counting, large | hfmm | 10 rows/s |  |  | 2 % / 5 % | 50 |  |" in shown
    assert "|  | peer | 4 rows/s | 2.5 x | 3 x, missed | 1 % / 2 % | 50 | yes, 0 apart |" in shown
    assert "|  | absent | missing: no_such_package is not installed |" in shown
    assert "NO, 0.5 apart" in shown and "other weights" in shown
    assert "share 0.5, share ABOVE the limit of 0.25" in shown
    assert "bf16 unit: none" in shown


def test_a_size_that_is_measured_again_replaces_itself_alone(measured: list[str]) -> None:
    known = run(("large",), repeats=3)
    fresh = run(("small",), repeats=1)
    merged = suite.merged(known, fresh)
    assert {size: found["repeats"] for size, found in merged["sizes"].items()} == {"small": 1, "large": 3}
    assert list(merged["sizes"]) == ["small", "large"]
    again = suite.merged(merged, run(("large",), repeats=2))
    assert {size: found["repeats"] for size, found in again["sizes"].items()} == {"small": 1, "large": 2}
    assert suite.merged({}, fresh) == fresh


def test_each_machine_and_day_has_a_line_with_the_sizes_that_were_measured_there(measured: list[str]) -> None:
    known = run(("small", "large"))
    known["sizes"]["small"]["date"] = "2026-01-01"
    machines = [line for line in table.lines({"counting": known}) if line.startswith("- a processor")]
    assert [line.rpartition(": ")[2] for line in machines] == ["Counting, small.", "Counting, large."]


def test_what_was_asked_for_is_a_short_table_of_its_own(measured: list[str]) -> None:
    shown = table.asked({"counting": run(("small", "large"))})
    assert shown[2:] == [
        "| Counting | 10 rows/s, hfmm | 4 rows/s, peer | 2.5 x | 3 x, missed | yes, 0 apart |",
        "| Counting | 0.5 share, hfmm | | | at most 0.25, missed | |",
    ]


def test_a_target_whose_peer_broke_off_keeps_its_row(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(monkeypatch, "peer", "out of memory")
    assert table.asked({"counting": run(("large",))})[2] == "| Counting | | peer: failed | | 3 x | |"


def test_both_tables_go_between_their_marks_and_the_rest_stays(
    measured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = tmp_path / "benchmarks.json"
    figures.write_text(json.dumps({"counting": run(("large",))}))
    monkeypatch.setattr(table, "BENCHMARKS", figures)
    for name in ("SHORT", "WHOLE"):
        file = tmp_path / f"{name}.md"
        file.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
        monkeypatch.setattr(table, name, file)
    table.main()
    for name, row in (("SHORT", "| Counting | 10 rows/s, hfmm |"), ("WHOLE", "| Counting, large | hfmm |")):
        text = (tmp_path / f"{name}.md").read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n")
        assert row in text and "old" not in text


@pytest.mark.parametrize(("file", "made"), [(table.SHORT, table.asked), (table.WHOLE, table.lines)])
def test_the_tables_are_those_of_the_recorded_figures(file: Path, made: Callable[[dict[str, Any]], list[str]]) -> None:
    _, _, rest = file.read_text().partition(table.BEGIN)
    shown, _, _ = rest.partition(table.END)
    assert shown.strip().splitlines() == made(json.loads(table.BENCHMARKS.read_text()))


def test_the_picture_is_drawn(measured: list[str], tmp_path: Path) -> None:
    plot.draw({"counting": run()}, tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_quick_is_the_small_size_once() -> None:
    asked = command.arguments(["--quick"])
    assert (asked.size, asked.repeats) == (["small"], 1)


@pytest.mark.parametrize(
    ("words", "said"), [(["--quick", "--size", "large"], "leave out --size"), (["--repeats", "0"], "--repeats")]
)
def test_a_command_that_cannot_be_meant_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.arguments(words)
    assert said in capsys.readouterr().err


def test_quick_measures_in_processes_of_their_own_and_keeps_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "start_up", "retrieval", "--quick"]
    done = subprocess.run([*command, "--out", str(tmp_path / "kept")], cwd=process.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for side in ("Start of the command line, small | hfmm", "Exact ranks, small | hfmm"):
        assert f"| {side} | " in done.stdout
    assert "yes, " in done.stdout  # the ranks were compared
    assert not list(tmp_path.iterdir())


def test_a_side_that_is_killed_says_by_what() -> None:
    code = (
        "import os, signal, sys; print('a warning', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(process.Failed, match="ended by SIGKILL"):
        process._run(["-c", code], 1)


def test_a_checkpoint_goes_to_the_cases_of_its_model_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    chosen = {name: cases.load(name) for name in ("whisper_latency", "retrieval")}
    assert command.checkpoint_of(chosen, [tmp_path]) == {"whisper_latency": str(tmp_path)}
    with pytest.raises(UserError, match="'whisper' model, which none of retrieval can use"):
        command.checkpoint_of({"retrieval": chosen["retrieval"]}, [tmp_path])


def test_an_unknown_case_names_the_choices() -> None:
    with pytest.raises(UserError, match=r"no benchmark 'vit'.*vit_finetune"):
        cases.load("vit")


@pytest.mark.parametrize("name", cases.names())
def test_a_case_has_two_sizes_of_the_same_options_and_ratios_against_its_own_sides(name: str) -> None:
    case = cases.load(name)
    assert list(case.sizes) == ["small", "large"]
    assert case.sizes["small"].keys() == case.sizes["large"].keys()
    names = [side.name for side in case.sides]
    assert len(set(names)) == len(names)
    assert case.sides[0].against is None
    assert all(side.against is None or side.against in names for side in case.sides)


def test_naming_the_cases_loads_nothing_heavy_so_that_a_child_inherits_no_memory() -> None:
    code = (
        "from tests.benchmarks import case; [case.load(name) for name in case.names()]; import sys; "
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=process.ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_case_is_a_test() -> None:
    assert not [name for name in cases.names() if name.startswith("test_") or name.endswith("_test")]
