"""The plots of the report, as SVG that is the same for the same results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from .goals import Key, Rates, Spread, growth_ratios, is_large
from .services import (
    CHERRYPY_LAUNCHER,
    CHERRYPY_UWSGI,
    LAUNCHER,
    NGINX,
    NOT_DURABLE,
    ORIGINAL_UWSGI,
    RCLONE,
    UWSGI,
)

# One look for each service in all plots: colours that the colour-blind tell apart.
_LOOKS = {
    UWSGI: ("#0072b2", "o"),
    NOT_DURABLE: ("#56b4e9", "s"),
    LAUNCHER: ("#009e73", "^"),
    CHERRYPY_UWSGI: ("#999999", "D"),
    CHERRYPY_LAUNCHER: ("#555555", "v"),
    NGINX: ("#d55e00", "P"),
    RCLONE: ("#cc79a7", "X"),
}
_KIND_LOOKS = {"GET": ("#0072b2", "o"), "HEAD": ("#009e73", "^"), "PUT": ("#d55e00", "s")}
_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]


def draw_plots(results: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Draw into *out* what there is to draw; return the names of the files with what they show."""
    rates = Rates(results["records"])
    shown = {}
    # Letters stay letters, and names within the file depend on nothing but the results.
    with rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}):
        for place in results["about"]["file systems"]:
            small = [key for key in rates.keys if key[0] == place and (key[1].endswith(" 1 KiB") or key[1] == "mixed")]
            large = [key for key in rates.keys if key[0] == place and is_large(key[1])]
            for name, keys, unit in (("small", small, "connections"), ("large", large, "streams")):
                if _draw_ratios(rates, keys, unit, out / f"{name}-{place}.svg"):
                    shown[f"{name}-{place}.svg"] = f"Rates in {name} files on {place}, as multiples of the original's"
        if results["growth"]:
            _draw_growth(results["growth"], out / "growth.svg")
            shown["growth.svg"] = "Rates by the number of files in the archive, as multiples of those with the fewest"
    return shown


def _draw_ratios(rates: Rates, keys: Sequence[Key], unit: str, path: Path) -> bool:
    """Draw a panel for each work, with every service's rate relative to the original's; tell if there is any."""
    works = list(dict.fromkeys(work for _, work, _ in keys if _compared(rates, keys, work)))
    if not works:
        return False
    figure, panels = _panels(works, "times the original's rate")
    for panel, work in zip(panels, works, strict=True):
        _draw_panel(panel, rates, [key for key in keys if key[1] == work], unit)
    _scale_by_factors(panels)
    _save(figure, panels, path)
    return True


def _compared(rates: Rates, keys: Sequence[Key], work: str) -> bool:
    return any(rates.ratio(key, UWSGI, ORIGINAL_UWSGI) for key in keys if key[1] == work)


def _draw_panel(panel: Axes, rates: Rates, keys: Sequence[Key], unit: str) -> None:
    clients = sorted(count for _, _, count in keys)
    for number, (service, look) in enumerate(_LOOKS.items()):
        found = {key[2]: rates.ratio(key, service, ORIGINAL_UWSGI) for key in keys}
        present = {count: spread for count, spread in found.items() if spread}
        aside = (number - len(_LOOKS) / 2) * 0.08  # else one would hide the other
        places = [clients.index(count) + aside for count in present]
        if present:
            _draw_spreads(panel, places, list(present.values()), service, look)
    panel.set_xticks(range(len(clients)), [str(count) for count in clients])
    panel.set_xlim(-0.5, len(clients) - 0.5)
    panel.set_xlabel(unit)


def _draw_spreads(panel: Axes, x: list[float], spreads: list[Spread], label: str, look: tuple[str, str]) -> None:
    """Draw medians as marks, with a line from the least to the greatest."""
    medians = [spread.median for spread in spreads]
    below = [spread.median - min(spread.ratios) for spread in spreads]
    above = [max(spread.ratios) - spread.median for spread in spreads]
    colour, marker = look
    panel.errorbar(
        x,
        medians,
        yerr=[below, above],
        label=label,
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=0.8,
        capsize=2,
    )


def _draw_growth(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    layouts = list(dict.fromkeys(record["layout"] for record in records))
    figure, panels = _panels(layouts, "times the rate with the fewest files")
    ratios = list(growth_ratios(records))
    for panel, layout in zip(panels, layouts, strict=True):
        for kind, look in _KIND_LOOKS.items():
            ours = [
                (record, spread) for record, spread in ratios if (record["layout"], record["kind"]) == (layout, kind)
            ]
            files = [record["files"] for record, _ in ours]
            _draw_spreads(panel, files, [spread for _, spread in ours], kind, look)
        panel.set_xscale("log")
        panel.set_xlabel("files")
    panels[0].set_ylim(bottom=0)
    _save(figure, panels, path)


def _panels(titles: Sequence[str], what: str) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(1.2 + 2.9 * len(titles), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, len(titles), sharey=True, squeeze=False)[0])
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
        panel.axhline(1, color="black", linewidth=1)
    panels[0].set_ylabel(what)
    return figure, panels


def _scale_by_factors(panels: Sequence[Axes]) -> None:
    """Give half the rate as much room as twice the rate."""
    low, high = min(panel.dataLim.y0 for panel in panels), max(panel.dataLim.y1 for panel in panels)
    axes = panels[0]  # the others share its scale
    axes.set_yscale("log")
    axes.set_yticks(_TICKS)
    axes.set_ylim(low / 1.2, high * 1.2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _save(figure: Figure, panels: Sequence[Axes], path: Path) -> None:
    named = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=len(panels), frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
