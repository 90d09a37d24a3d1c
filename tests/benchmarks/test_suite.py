"""The benchmark runner: the order of sides, missing and failed peers, records, tables, and two quick cases."""

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


def not_run(job: Any) -> Measured:
    raise AssertionError("tests do not run sides")


CASE = Case(
    title="Counting",
    unit="rows/s",
    sizes={"small": {"rows": 1}, "large": {"rows": 2}},
    limits={"large": {"share": 0.25}},
    sides=(
        Side("hfmm", not_run),
        Side("peer", not_run, against="hfmm", target=3),
        Side("absent", not_run, against="hfmm", needs=("no_such_package",)),
        Side("odd", not_run, against="hfmm"),
        Side("other", not_run, against="hfmm", not_comparable="other weights"),
        Side("as odd", not_run, against="hfmm", same_outputs_as="odd"),
    ),
)
SPEEDS = {"hfmm": 10.0, "peer": 4.0, "odd": 10.0, "other": 10.0, "as odd": 5.0}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the processes, and return the sides in the order in which they ran."""
    order: list[str] = []

    def measure(case: str, size: str, side: str, *_: Any) -> dict[str, Any]:
        order.append(side)
        if side == process.PREPARE:
            return {}
        outputs = [2.0 if "odd" in side else 1.0]
        result = {"value": SPEEDS[side], "outputs": outputs, "flops": 1e9, "memory_mib": 50.0}
        return result | {"details": {"share": 0.5} if side == "hfmm" else {}}

    monkeypatch.setattr(process, "measure", measure)
    return order


def run_case(sizes: tuple[str, ...] = ("small",), repeats: int = 2) -> dict[str, Any]:
    return suite.run_case("counting", CASE, sizes, repeats, MACHINE, None, lambda line: None)


def fail_side(monkeypatch: pytest.MonkeyPatch, failing: str, reason: str) -> None:
    original = process.measure

    def measure(case: str, size: str, side: str, *arguments: Any) -> dict[str, Any]:
        if side == failing:
            raise process.SideError(reason)
        return original(case, size, side, *arguments)

    monkeypatch.setattr(process, "measure", measure)


def test_sides_run_in_turn_and_in_reverse_after_one_preparation(measured: list[str]) -> None:
    run_case()
    order = ["hfmm", "peer", "odd", "other", "as odd"]
    assert measured == [process.PREPARE, *order, *reversed(order)]


def test_a_peer_that_is_not_installed_is_reported_as_missing(measured: list[str]) -> None:
    side = run_case()["sizes"]["small"]["sides"]["absent"]
    assert side["status"] == "missing" and "no_such_package" in side["because"]
    assert not {"median", "times_faster"} & set(side)


def test_different_outputs_are_reported_with_the_figure(measured: list[str]) -> None:
    sides = run_case()["sizes"]["small"]["sides"]
    assert sides["peer"]["agreement"]["same"] is True
    assert sides["odd"]["agreement"]["same"] is False
    assert sides["odd"]["times_faster"]["median"] == 1
    assert sides["other"]["agreement"] == {"same": None, "because": "other weights"}


def test_outputs_can_be_compared_with_another_side(measured: list[str]) -> None:
    side = run_case()["sizes"]["small"]["sides"]["as odd"]
    assert side["agreement"]["same"] is True
    assert side["times_faster"]["median"] == 2


def test_a_failed_side_is_reported_and_the_others_continue(
    measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_side(monkeypatch, "peer", "out of memory")
    sides = run_case()["sizes"]["small"]["sides"]
    assert sides["peer"]["status"] == "failed" and sides["peer"]["because"] == "out of memory"
    assert sides["other"]["times_faster"]["median"] == 1


def test_without_a_figure_of_hfmm_there_is_no_ratio(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_side(monkeypatch, "hfmm", "failed")
    peer = run_case()["sizes"]["small"]["sides"]["peer"]
    assert peer["median"] == 4 and "times_faster" not in peer


def test_the_table_has_ratios_utilization_missing_peers_and_targets(measured: list[str]) -> None:
    text = "\n".join(table.full_table({"counting": run_case(("small", "large"))}))
    assert "| Counting, large | hfmm | 10 rows/s |  |  | 2 % / 5 % | 50 |  |" in text
    assert "|  | peer | 4 rows/s | 2.5 x | 3 x, missed | 1 % / 2 % | 50 | yes, 0 apart |" in text
    assert "|  | absent | missing: no_such_package is not installed |" in text
    assert "NO, 0.5 apart" in text and "other weights" in text
    assert "share 0.5, share ABOVE the limit of 0.25" in text
    assert "bf16 unit: none" in text


def test_measuring_a_size_again_replaces_only_that_size(measured: list[str]) -> None:
    old = run_case(("large",), repeats=3)
    new = run_case(("small",), repeats=1)
    merged = suite.merge_records(old, new)
    assert {size: record["repeats"] for size, record in merged["sizes"].items()} == {"small": 1, "large": 3}
    assert list(merged["sizes"]) == ["small", "large"]
    again = suite.merge_records(merged, run_case(("large",), repeats=2))
    assert {size: record["repeats"] for size, record in again["sizes"].items()} == {"small": 1, "large": 2}
    assert suite.merge_records({}, new) == new


def test_each_machine_and_date_has_a_line_with_its_sizes(measured: list[str]) -> None:
    record = run_case(("small", "large"))
    record["sizes"]["small"]["date"] = "2026-01-01"
    machines = [line for line in table.full_table({"counting": record}) if line.startswith("- a processor")]
    assert [line.rpartition(": ")[2] for line in machines] == ["Counting, small.", "Counting, large."]


def test_targets_have_a_separate_table(measured: list[str]) -> None:
    lines = table.target_table({"counting": run_case(("small", "large"))})
    assert lines[2:] == [
        "| Counting | 10 rows/s, hfmm | 4 rows/s, peer | 2.5 x | 3 x, missed | yes, 0 apart |",
        "| Counting | 0.5 share, hfmm | | | at most 0.25, missed | |",
    ]


def test_a_target_with_a_failed_peer_keeps_its_row(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_side(monkeypatch, "peer", "out of memory")
    assert table.target_table({"counting": run_case(("large",))})[2] == "| Counting | | peer: failed | | 3 x | |"


def test_the_tables_replace_only_the_text_between_their_markers(
    measured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    records, readme = tmp_path / "benchmarks.json", tmp_path / "README.md"
    records.write_text(json.dumps({"counting": run_case(("large",))}))
    markers = [f"<!-- {name} -->\nold\n<!-- /{name} -->" for name in (table.TARGETS, table.ALL)]
    readme.write_text("before\n" + "\nbetween\n".join(markers) + "\nafter\n")
    monkeypatch.setattr(table, "BENCHMARKS", records)
    monkeypatch.setattr(table, "README", readme)
    table.main()
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "\nbetween\n" in text
    assert "old" not in text
    targets, _, figures = text.partition("between")
    assert "| Counting | 10 rows/s, hfmm |" in targets
    assert "| Counting, large | hfmm |" in figures


@pytest.mark.parametrize(("name", "make_table"), [(table.TARGETS, table.target_table), (table.ALL, table.full_table)])
def test_the_readme_has_the_tables_of_the_recorded_figures(
    name: str, make_table: Callable[[dict[str, Any]], list[str]]
) -> None:
    _, lines, _ = table.split_at_markers(table.README.read_text(), name)
    assert lines.strip().splitlines() == make_table(json.loads(table.BENCHMARKS.read_text()))


def test_the_plot_is_written(measured: list[str], tmp_path: Path) -> None:
    plot.draw({"counting": run_case()}, tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_quick_measures_the_small_size_once() -> None:
    arguments = command.parse_arguments(["--quick"])
    assert (arguments.size, arguments.repeats) == (["small"], 1)


@pytest.mark.parametrize(
    ("words", "message"), [(["--quick", "--size", "large"], "leave out --size"), (["--repeats", "0"], "--repeats")]
)
def test_contradictory_arguments_are_rejected(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.parse_arguments(words)
    assert message in capsys.readouterr().err


def test_quick_measures_in_separate_processes_and_saves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "start_up", "retrieval", "--quick"]
    arguments = [*command, "--out", str(tmp_path / "records")]
    finished = subprocess.run(arguments, cwd=process.ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for side in ("Start of the command line, small | hfmm", "Exact ranks, small | hfmm"):
        assert f"| {side} | " in finished.stdout
    assert "yes, " in finished.stdout  # the ranks were compared
    assert not list(tmp_path.iterdir())


def test_the_error_of_a_killed_side_names_the_signal() -> None:
    code = (
        "import os, signal, sys; print('a warning', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(process.SideError, match="ended by SIGKILL"):
        process._run(["-c", code], 1)


def test_a_checkpoint_is_used_by_the_cases_of_its_model_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    selected = {name: cases.load(name) for name in ("whisper_latency", "retrieval")}
    assert command.assign_checkpoints(selected, [tmp_path]) == {"whisper_latency": str(tmp_path)}
    with pytest.raises(UserError, match="'whisper' model, which none of retrieval can use"):
        command.assign_checkpoints({"retrieval": selected["retrieval"]}, [tmp_path])


def test_the_error_for_an_unknown_case_lists_the_choices() -> None:
    with pytest.raises(UserError, match=r"no benchmark 'vit'.*vit_finetune"):
        cases.load("vit")


@pytest.mark.parametrize("name", cases.names())
def test_a_case_has_two_sizes_with_the_same_options_and_valid_sides(name: str) -> None:
    case = cases.load(name)
    assert list(case.sizes) == ["small", "large"]
    assert case.sizes["small"].keys() == case.sizes["large"].keys()
    names = [side.name for side in case.sides]
    assert len(set(names)) == len(names)
    assert case.sides[0].against is None
    assert all(side.against is None or side.against in names for side in case.sides)


def test_loading_the_cases_does_not_import_heavy_libraries() -> None:
    code = (
        "from tests.benchmarks import case; [case.load(name) for name in case.names()]; import sys; "
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=process.ROOT, capture_output=True, text=True)
    assert finished.stdout.strip() == "[]", finished.stderr


def test_no_case_is_named_like_a_test() -> None:
    assert not [name for name in cases.names() if name.startswith("test_") or name.endswith("_test")]
