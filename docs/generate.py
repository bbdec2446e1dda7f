"""Write what is made from the code: config.ini, the page docs/options.md, the table in docs/metrics.md.

Run it after a change of an option or a metric; the files are kept in the repository, and a test says when they are
stale.
"""

import textwrap
from pathlib import Path

from pacifica.archiveinterface.auth.issuers.sections import Issuer
from pacifica.archiveinterface.config import built_in_sections
from pacifica.archiveinterface.metrics.definitions import COUNTED, PREFIX, READINGS
from pacifica.archiveinterface.metrics.kinds import Counter, Reading
from pacifica.archiveinterface.options import options

ROOT = Path(__file__).resolve().parent.parent

_INI_TOP = """\
# The options of the archive interface with their defaults: a file with nothing in it means the same.
# Made by docs/generate.py from the options.py of each room and backend.
"""
_PAGE_TOP = """\
<!-- Made by docs/generate.py; change the options.py of the room or backend instead. -->
# Options of config.ini

Every option may be left out. A value that cannot be read and an option that does not exist are errors,
named with file, section and option, and so is a section whose name is nearly a known one. Any other unknown section
is ignored with a warning.
"""

_ISSUERS_TOP = """\
# Options of the file of issuers

`[auth] issuers_file` names this file. It has a section for each issuer of signed tokens, whose name is what its tokens
have in `iss`: see [Users](users.md#tokens-of-issuers). A wrong file ends the start; of a change that is wrong, the log
tells, and the file as it was stays in force.
"""

# The rest of the page stays as it is.
_TABLE = """\
<!-- The table is made by docs/generate.py from pacifica/archiveinterface/metrics/definitions.py. -->

| metric | type | labels | meaning |
|---|---|---|---|
"""


def config_ini() -> str:
    """Return the shipped config.ini."""
    return _INI_TOP + "".join(f"\n{_ini_section(name, section)}" for name, section in built_in_sections().items())


def _ini_section(name: str, section: type) -> str:
    lines = [f"# {section.__doc__}", f"[{name}]"]
    for option, default, meaning in options(section):
        lines += textwrap.wrap(meaning.replace("`", ""), 100, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"{option} = {default}".rstrip())
    return "\n".join(lines) + "\n"


def options_page() -> str:
    """Return the page docs/options.md."""
    sections = [_page_section(f"[{name}]", section) for name, section in built_in_sections().items()]
    return "\n".join([_PAGE_TOP, *sections, _ISSUERS_TOP, _page_section("[URL of an issuer]", Issuer)])


def _page_section(title: str, section: type) -> str:
    lines = [f"## {title}", "", section.__doc__ or "", "", "| option | default | meaning |", "|---|---|---|"]
    for option, default, meaning in options(section):
        lines.append(f"| `{option}` | {f'`{default}`' if default else 'empty'} | {meaning} |")
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Return the page docs/metrics.md with the table of all metrics as they are now."""
    before, _, rest = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").partition(_TABLE)
    after = rest.partition("\n\n")[2]
    counted = [_metric_row(metric, "histogram" if metric.bounds else "counter") for metric in COUNTED]
    read = [_metric_row(reading, "counter" if reading.is_counter else "gauge") for reading in READINGS]
    rows = sorted(counted + read)
    return f"{before}{_TABLE}" + "".join(rows) + f"\n{after}"


def _metric_row(metric: Counter | Reading, kind: str) -> str:
    name = f"{PREFIX}{metric.name}{'_total' if kind == 'counter' else ''}"
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {kind} | {labels} | {metric.meaning} |\n"


MADE = {
    ROOT / "config.ini": config_ini,
    ROOT / "docs" / "options.md": options_page,
    ROOT / "docs" / "metrics.md": metrics_page,
}

if __name__ == "__main__":
    for path, make in MADE.items():
        path.write_text(make(), encoding="utf-8")
