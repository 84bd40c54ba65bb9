"""The evaluation report as one HTML file: plots are SVG, nothing comes from elsewhere."""

from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape

import numpy as np

from loadtests import scoring_figures as figures
from loadtests.bars import Bar
from loadtests.scoring_figures import Evaluation, Floats

METRICS = (
    ("auc", "AUC"),
    ("pr_auc", "PR-AUC"),
    ("f1", "F1 at 0.5"),
    ("ece", "ECE"),
    ("brier", "Brier"),
)
STYLE = """
:root{--bg:#f4f6f8;--card:#fff;--line:#d9dfe5;--text:#17212b;--muted:#52606d;--s0:#0f5c6e;
--s1:#c2571a;--s2:#7b5ea7;--good:#2c6e49;--bad:#b3261e;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--bg:#10151a;--card:#181f26;--line:#2e3943;--text:#e5ebf0;
--muted:#a2afbb;--s0:#6cc3d5;--s1:#f2a25c;--s2:#b9a0e0;--good:#7fd0a0;--bad:#ff8b80}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:28px 20px 60px;
background:var(--bg);color:var(--text);font:14px/1.55 system-ui,"Noto Sans",sans-serif}
h1{font-size:25px;margin:0 0 4px}h2{font-size:18px;margin:0 0 8px}
h3{font-size:14px;margin:18px 0 6px}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:18px 20px;
margin:14px 0}.muted{color:var(--muted)}p{margin:0 0 10px;max-width:90ch}
.plots{display:grid;margin-top:14px;grid-template-columns:repeat(auto-fit,minmax(250px,1fr));gap:14px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:8px 28px}
figure{margin:0}figcaption{font-size:12.5px;color:var(--muted);font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--muted);font-size:12.5px;font-weight:600}
th,td{padding:4px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
tr:last-child td{border:0}.r{text-align:right}.good{color:var(--good)}.bad{color:var(--bad)}
svg{width:100%;height:auto;display:block}svg text{font-size:11px;fill:var(--muted)}
.axis{stroke:var(--line);fill:none}.even{stroke:var(--muted);stroke-dasharray:3 4;fill:none}
.l0,.l1,.l2{fill:none;stroke-width:1.8}.l0{stroke:var(--s0)}.l1{stroke:var(--s1)}.l2{stroke:var(--s2)}
.d0,.b0{fill:var(--s0)}.d1{fill:var(--s1)}.d2{fill:var(--s2)}.d0,.d1,.d2{fill-opacity:.75}
.b1{fill:var(--s1)}.b2{fill:var(--s2)}.key{display:inline-block;width:11px;height:11px;margin-right:5px}
"""


def page(evaluations: Sequence[Evaluation], ratios: Sequence[Bar], when: datetime) -> str:
    """The whole file."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Evaluation of scoring</title><style>{STYLE}</style></head><body>",
        "<h1>Evaluation of scoring</h1>",
        f'<p class="muted">Written {when:%Y-%m-%d %H:%M} UTC by <code>make bench-scoring</code>. '
        "Every figure is of rows that the model judged had not seen.</p>",
        f"<section><h2>Speed</h2>{_bars(ratios)}</section>" if ratios else "",
        *(_evaluation(one) for one in evaluations),
        "</body></html>",
    ]
    return "\n".join(parts)


def _evaluation(one: Evaluation) -> str:
    parts = [f"<section><h2>{escape(one.name)}</h2><p>{escape(one.text)}</p>"]
    parts.append(_bars(one.bars))
    parts.append(f"<h3>Figures</h3>{_systems(one)}")
    if one.paired:
        parts.append(f"<h3>Paired differences, turn by turn</h3>{_paired(one)}")
    parts.append(f'<div class="plots">{_plots(one)}</div>')
    if one.slices:
        parts.append(f"<h3>Slices</h3>{_slices(one)}")
    parts.append('<div class="pair">')
    if one.ablations:
        parts.append(f"<div><h3>Without a group of features</h3>{_ablations(one)}</div>")
    if one.importances:
        parts.append(f"<div><h3>What the trees gain from</h3>{_importances(one)}</div>")
    parts.append("</div></section>")
    return "".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table whose first `texts` columns are texts (already escaped), the others figures."""

    def line(cells: Sequence[str], tag: str) -> str:
        right = [' class="r"' if at >= texts else "" for at in range(len(cells))]
        pairs = zip(right, cells, strict=True)
        return "<tr>" + "".join(f"<{tag}{r}>{cell}</{tag}>" for r, cell in pairs) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return (
        f'<div class="scroll"><table><thead>{line(head, "th")}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _bars(bars: Sequence[Bar]) -> str:
    if not bars:
        return ""
    rows = [
        (
            escape(bar.text),
            f"{bar.value:.4f}",
            f"{'≥' if bar.at_least else '≤'} {bar.limit:g}",
            '<span class="good">holds</span>' if bar.held else '<span class="bad">missed</span>',
        )
        for bar in bars
    ]
    return _table(("Bar", "measured", "limit", ""), rows)


def _key(at: int, name: str) -> str:
    return (
        f'<svg class="key" viewBox="0 0 1 1" aria-hidden="true"><rect class="b{at}" width="1" '
        f'height="1"/></svg>{escape(name)}'
    )


def _systems(one: Evaluation) -> str:
    rows = []
    for at, system in enumerate(one.systems):
        told = figures.metrics(system.probability, one.label)
        low, high = figures.interval(system.probability, one.label, "auc", 1)
        first, last = figures.interval(system.probability, one.label, "pr_auc", 1)
        ranges = {"auc": f" ({low:.3f}–{high:.3f})", "pr_auc": f" ({first:.3f}–{last:.3f})"}
        cells = [f"{told[metric]:.4f}{ranges.get(metric, '')}" for metric, _ in METRICS]
        rows.append((_key(at, system.name), *cells))
    head = ("System", *(name for _, name in METRICS))
    note = (
        f'<p class="muted">{len(one.label):,} rows, {int(one.label.sum()):,} positive; in brackets '
        "95 % by bootstrap over rows.</p>"
    )
    return _table(head, rows) + note


def _paired(one: Evaluation) -> str:
    names = dict(METRICS)
    rows = [
        (escape(system), names[metric], f"{mean:+.4f}", f"{error:.4f}")
        for system, metric, mean, error in one.paired
    ]
    return _table(("Ours minus", "figure", "mean", "standard error"), rows, texts=2)


def _slices(one: Evaluation) -> str:
    rows = []
    for name, count, positives, told in one.slices:
        cells = [f"{told[metric]:.4f}" if metric in told else "–" for metric, _ in METRICS]
        rows.append((escape(name), f"{count:,}", f"{positives:,}", *cells))
    return _table(("Slice", "rows", "positive", *(name for _, name in METRICS)), rows)


def _ablations(one: Evaluation) -> str:
    def change(mean: float, error: float) -> str:
        return f"{mean:+.4f}" if np.isnan(error) else f"{mean:+.4f} ± {error:.4f}"

    rows = [
        (escape(name), change(auc, auc_error), change(pr, pr_error))
        for name, auc, pr, auc_error, pr_error in one.ablations
    ]
    note = (
        '<p class="muted">Change when the group is left out; ± one standard error, '
        "none of one turn alone.</p>"
    )
    return _table(("Left out", "AUC", "PR-AUC"), rows) + note


def _importances(one: Evaluation) -> str:
    top = max((share for _, _, share in one.importances), default=1.0) or 1.0
    row, left, width = 19, 215, 520
    parts = [
        f'<svg viewBox="0 0 {width} {row * len(one.importances) + 4}" role="img" '
        'aria-label="feature importances">'
    ]
    for at, (name, group, share) in enumerate(one.importances):
        y, wide = at * row + 4, (width - left - 60) * share / top
        parts.append(
            f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="b0" x="{left}" y="{y}" width="{max(wide, 1):.1f}" height="13">'
            f"<title>{escape(group)}</title></rect>"
            f'<text x="{left + wide + 6:.1f}" y="{y + 11}">{share:.1%}</text>'
        )
    return "".join([*parts, "</svg>"])


def _plots(one: Evaluation) -> str:
    def curves(of: Callable[[Floats, figures.Flags], Floats]) -> list[Floats]:
        return [of(system.probability, one.label) for system in one.systems]

    base = float(one.label.mean())
    lifts = curves(figures.lift)
    highest = max(float(curve[:, 1].max()) for curve in lifts) * 1.05
    plots = [
        _plot("ROC", curves(figures.roc), ("false positive rate", "true positive rate"),
              [(0, 0), (1, 1)]),
        _plot("Precision and recall", curves(figures.precision_recall), ("recall", "precision"),
              [(0, base), (1, base)]),
        _plot("Reliability", curves(figures.reliability), ("stated probability", "found share"),
              [(0, 0), (1, 1)], dots=True),
        _plot("Lift", lifts, ("share of rows, riskiest first", "times the base rate"),
              [(0, 1), (1, 1)], highest),
    ]  # fmt: skip
    return "".join(plots)


def _plot(
    title: str,
    curves: Sequence[Floats],
    axes: tuple[str, str],
    even: Sequence[tuple[float, float]],
    highest: float = 1.0,
    dots: bool = False,
) -> str:
    """Curves (x in [0, 1], y in [0, highest]) with the line of chance; ours is drawn last."""
    size, left, top = 220, 40, 24

    def at(x: float, y: float) -> str:
        return f"{left + x * size:.1f},{top + (1 - y / highest) * size:.1f}"

    parts = [
        f"<figure><figcaption>{title}</figcaption>"
        f'<svg viewBox="0 0 {size + left + 14} {size + 64}" role="img" aria-label="{title}">'
        f'<rect class="axis" x="{left}" y="{top}" width="{size}" height="{size}"/>'
        f'<polyline class="even" points="{" ".join(at(x, y) for x, y in even)}"/>'
    ]
    for place in np.linspace(0, 1, 6):
        x, y = left + place * size, top + (1 - place) * size
        parts.append(
            f'<text x="{x:.0f}" y="{top + size + 15}" text-anchor="middle">{place:.1f}</text>'
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{place * highest:.1f}</text>'
        )
    parts.append(
        f'<text x="{left + size / 2}" y="{top + size + 32}" text-anchor="middle">{axes[0]}</text>'
        f'<text x="{left}" y="{top - 9}">{axes[1]}</text>'
    )
    for order in range(len(curves) - 1, -1, -1):
        curve = curves[order]
        if dots:
            largest = float(curve[:, 2].max())
            parts += [
                f'<circle class="d{order}" cx="{left + x * size:.1f}" '
                f'cy="{top + (1 - y) * size:.1f}" r="{2.5 + 7 * np.sqrt(rows / largest):.1f}">'
                f"<title>{x:.3f} → {y:.3f} ({rows:,.0f} rows)</title></circle>"
                for x, y, rows in curve
            ]
        line = " ".join(at(point[0], point[1]) for point in curve)
        parts.append(f'<polyline class="l{order}" points="{line}"/>')
    return "".join([*parts, "</svg></figure>"])
