"""results.json → tables in Markdown, plots, and the table of the README. Knows nothing of how anything was measured."""
import json
import math
import os
import statistics

import svg

COSTS = (("Bytes on the wire, to the replica + back, MB", ("out_bytes", "in_bytes"), 1e6, "%.2f"),
         ("CPU seconds of all processes, primary + replica", ("cpu_a_s", "cpu_b_s"), 1, "%.2f"),
         ("Peak memory of all processes, primary + replica, MiB", ("memory_a_bytes", "memory_b_bytes"), 2**20, "%.0f"))


def span(seconds):
    """Three digits and the unit that suits."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms")):
        if seconds < limit:
            return f"{_digits(seconds * factor)} {unit}"
    return f"{_digits(seconds)} s"


def _digits(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def percentile(sorted_values, share):
    """The least value that so many are not above (nearest rank)."""
    return sorted_values[max(0, math.ceil(len(sorted_values) * share) - 1)]


def good(runs):
    """The runs if all of them count: what a program does when it does its work wrong is not its speed."""
    return [] if any("void" in run for run in runs) else runs


def void_cell(runs):
    return f"void ({sum('void' in run for run in runs)} of {len(runs)})"


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def _spread(values):
    middle = span(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({span(min(values))}–{span(max(values))})"


def _latency(runs):
    pooled = sorted(ms / 1000 for run in runs for ms in run["samples_ms"])
    return (f"p50 {span(statistics.median(pooled))}, p90 {span(percentile(pooled, 0.9))}, "
            f"p99 {span(percentile(pooled, 0.99))}, max {span(pooled[-1])}")


def _seconds(runs):
    return _spread([run["seconds"] for run in runs])


def _lag(runs):
    return (f"{_spread([run['after_s'] for run in runs])}; while it grew p50 {span(median(runs, 'lag_p50_s'))}, "
            f"max {span(max(run['lag_max_s'] for run in runs))}")


def _broken(runs):
    unequal = sum("unequal" in run for run in runs)
    return (f"{sum(run['broken'] for run in runs)} of {sum(run['samples'] for run in runs)}" +
            (f"; trees not equal in the end in {unequal} of {len(runs)}" if unequal else ""))


SCHEMA = 2  # of results.json
HEADLINES = {"latency": _latency, "seconds": _seconds, "lag": _lag, "broken": _broken}


def load(path):
    result = json.loads(path.read_text())
    if result.get("schema") != SCHEMA:
        raise SystemExit(f"bench: {path} is not a results.json of schema {SCHEMA}")
    return result


def _floor(headline, runs):
    if headline == "broken":
        return _broken(runs)
    return ", ".join(f"{what} {span(median(runs, what))}" for what in runs[0])


def one_line(headline, figures):
    """A single run, for the progress line."""
    if "void" in figures:
        return "VOID: " + figures["void"]
    known = {"latency": "samples_ms", "seconds": "seconds", "lag": "lag_p50_s", "broken": "broken"}[headline]
    return HEADLINES[headline]([figures]) if known in figures else _floor(headline, [figures])


def _cell(row, by_peer, peer):
    runs = by_peer.get(peer)
    if not runs:
        return "–"
    if not good(runs):
        return void_cell(runs)
    return _floor(row["headline"], runs) if peer == "floor" else HEADLINES[row["headline"]](runs)


def _table(heads, lines):
    return "\n".join(["| " + " | ".join(heads) + " |", "| --- |" + " --- |" * (len(heads) - 1),
                      *("| " + " | ".join(line) + " |" for line in lines)])


def time_table(result, filesystem):
    by_row = result["results"][filesystem]
    rows = [row for row in result["rows"] if row in by_row]
    return _table(["work", *result["peers"].values()],
                  [[result["rows"][row]["title"], *(_cell(result["rows"][row], by_row[row], peer)
                                                    for peer in result["peers"])] for row in rows])


def _cost_table(result, filesystem, keys, unit, form):
    by_row = result["results"][filesystem]
    lines = []
    for row in (row for row in result["rows"] if row in by_row):
        line = [result["rows"][row]["title"]]
        for peer in result["peers"]:
            runs = good(by_row[row].get(peer, []))
            if peer == "floor":
                continue
            if runs and keys[0] not in runs[0]:
                line.append("with the above")
            else:
                line.append(" + ".join(form % (median(runs, key) / unit) for key in keys) if runs else "–")
        lines.append(line)
    return _table(["work", *(title for peer, title in result["peers"].items() if peer != "floor")], lines)


def tables(result):
    parts = []
    for filesystem in result["results"]:
        parts.append(f"### {filesystem}\n\n{time_table(result, filesystem)}\n")
        for title, keys, unit, form in COSTS:
            parts.append(f"{title}:\n\n{_cost_table(result, filesystem, keys, unit, form)}\n")
    return "\n".join(parts)


def _others(versions):
    """Of the peers; several may be the same program."""
    return ", ".join(dict.fromkeys(version for peer, version in versions.items() if peer[:5] in ("lsync", "rsync")))


def provenance(result):
    env = result["environment"]
    load = f"{env['load_at_start'][0]} before"
    if "load_at_end" in env:
        load += f", {env['load_at_end'][0]} after"
    counts = {len(runs) for by_row in result["results"].values() for by_peer in by_row.values()
              for runs in by_peer.values()}
    runs = "–".join(map(str, sorted({min(counts, default=0), max(counts, default=0)})))
    runs += f" run{'s' * (runs != '1')}"
    for part in env.get("continued", []):
        load += f"; continued {part['date'][:16]}Z at load {part['load_at_start'][0]}"
    return (f"{env['date'][:10]}, {env['cpus']} × {env['cpu']}, {env['memory_gib']} GiB, Linux {env['kernel']}; "
            f"repl at {env['commit']}, {_others(env['versions'])}; {result['sizes']['name']} sizes, {runs}, median "
            f"(least–most); load average {load}." + ("" if result["complete"] else " **Stopped before its end.**"))


def markdown(result, plots):
    void = "\n".join(f"- {line}" for line in result["void"]) or "None."
    versions = ", ".join(f"{name}: {version}" for name, version in result["environment"]["versions"].items())
    return f"""# What was measured

{provenance(result)}

Versions: {versions}. Images on {result['environment']['images_on']}.

A number counts only if both trees were proved equal after it. The floor is what the machine alone takes for a part of
the same work, in the same run.

{tables(result)}
{chr(10).join(f'![{plot}]({plot})' for plot in plots)}

## Void

{void}
"""


def _plots(result, out):
    made = []
    for filesystem, by_row in result["results"].items():
        bars, lines = {}, {}
        for row, by_peer in by_row.items():
            headline = result["rows"][row]["headline"]
            for peer, title in result["peers"].items():
                runs = good(by_peer.get(peer, []))
                if not runs or peer == "floor":
                    continue
                if headline == "latency":
                    values = sorted(ms for run in runs for ms in run["samples_ms"])
                    lines.setdefault(row, {})[title] = values
                elif headline in ("seconds", "lag"):
                    values = [run["seconds" if headline == "seconds" else "after_s"] for run in runs]
                    bars.setdefault(result["rows"][row]["title"], {})[title] = (
                        statistics.median(values), min(values), max(values))
        titles = [title for peer, title in result["peers"].items() if peer != "floor"]
        for row, series in lines.items():
            made.append(_write(out, f"{row}-{filesystem}.svg", svg.distribution(
                f"{result['rows'][row]['title']}, {filesystem}", "ms until it is on the replica", series, titles)))
        if bars:
            made.append(_write(out, f"works-{filesystem}.svg", svg.bars(
                f"Seconds until the replica is equal, {filesystem}", bars, titles)))
    return made


def _write(out, name, text):
    (out / name).write_text(text)
    return name


def write(result, out):
    (out / "report.md").write_text(markdown(result, _plots(result, out)))


BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write_between_markers(result, source, path):
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"bench: {path} must have one '{BEGIN}' and after it one '{END}'")
    there = os.path.relpath(source.with_name("report.md"), path.parent)
    parts = [provenance(result), ""]
    for filesystem in result["results"]:
        parts += [f"On {filesystem}:", "", time_table(result, filesystem), ""]
    parts.append(f"Wire bytes, CPU time, memory, plots and what was void: [report]({there}).")
    before, rest = text.split(BEGIN)
    path.write_text(before + BEGIN + "\n" + "\n".join(parts) + "\n" + END + rest.split(END)[1])
