"""Figures of the benchmarks are kept and told as they were measured."""

from loadtests import bars
from loadtests.bench import Run, keep, kept, machine, named, report


def test_figures_are_kept_in_their_order_and_judged(tmp_path, monkeypatch):
    monkeypatch.setenv(bars.VARIABLE, str(tmp_path / "bars"))

    held = [bars.note("rate", 5.5, 5), bars.note("ratio", 0.7, 0.8), bars.at_most("p99", 2.0, 2)]

    found = bars.noted(tmp_path / "bars")
    assert held == [bar.held for bar in found] == [True, False, True]
    assert [bar.text for bar in found] == ["rate", "ratio", "p99"]


def test_without_a_file_figures_are_judged_and_not_kept(monkeypatch):
    monkeypatch.delenv(bars.VARIABLE, raising=False)

    assert not bars.at_most("p99", 2.1, 2)


def test_the_report_names_what_is_missed_and_what_failed():
    missed, held = bars.Bar("memory", 44.0, 40.0, at_least=False), bars.Bar("rate", 5.5, 5.0)
    runs = [
        Run(
            "python -m loadtests.bench_one",
            "2026-11-27",
            "one 1\n",
            3.2,
            0,
            [missed, held],
            machine(),
        ),
        Run("python -m loadtests.bench_two", "2026-11-28", "", 0.4, 1, [], "slower one"),
    ]

    page = report(runs)

    assert "1 of 2 figures hold" in page
    assert "Not run this time: bench_numbers, " in page
    assert "| memory | 44 | <= 40 | **missed** |" in page
    assert "| rate | 5.5 | >= 5 | holds |" in page
    assert "## python -m loadtests.bench_two\n\n2026-11-28, 0 s, exit status 1" in page
    assert page.count("On another machine: slower one.") == page.count("On another machine") == 1


def test_figures_of_a_benchmark_called_otherwise_have_other_names():
    bar = bars.Bar("rate", 5.5, 5.0)

    assert named(bar, []) == bar
    assert named(bar, ["--scale"]) == bars.Bar("rate --scale", 5.5, 5.0)


def test_runs_of_before_are_kept(tmp_path):
    bar = bars.Bar("memory", 44.0, 40.0, at_least=False)
    runs = [
        Run("python -m loadtests.bench_one", "2026-11-27", "数 1\n", 3.2, 1, [bar], "two cores")
    ]

    keep(runs, tmp_path / "bench" / "runs.json")

    assert kept(tmp_path / "bench" / "runs.json") == {runs[0].command: runs[0]}
    assert kept(tmp_path / "nothing.json") == {}
