#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.py FIGURES... DIRECTORY: what the drivers measured, as a page with tables and plots.

FIGURES are files of JSON lines (lookup_bench --json, system_bench --json). DIRECTORY gets performance.md and
performance/*.svg. The words around the figures are bench/performance.md.in.
"""
import datetime
import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CANDIDATES = [("baseline", "#888888"), ("tries", "#c06020"), ("index", "#1060c0"), ("floor", "#40a040")]
# What the index was built to reach: of lookups alone, random keys of the edge mix.
LIMITS = {10: 0.45, 1000: 0.2, 10000: 0.15, 100000: 0.12, 1000000: 0.12}


def load(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(line) for line in file if line.strip()]
    return lines


class Figures:
    def __init__(self, lines):
        self.runs = {}
        self.programs = [line for line in lines if "program" in line]
        self.system = [line for line in lines if "system" in line]
        self.build = [line for line in lines if "control" in line]
        for line in lines:
            if "figures" not in line:
                continue
            key = (line["family"], line["table"], line["workload"])
            by_name = {each["candidate"]: each for each in line["figures"]}
            self.runs.setdefault(key, {})[line["size"]] = by_name

    def sizes(self):
        return sorted({size for sizes in self.runs.values() for size in sizes})


def short(size):
    return f"{size:,}"


def spread(five):
    return f"{five[2]:.2f} ({five[1]:.2f}–{five[3]:.2f})"


def row(cells):
    return "| " + " | ".join(cells) + " |\n"


def ratios(figures, family, candidate, sizes):
    if not sizes:
        return ""
    text = row([f"{family}: {candidate}"] + [short(size) for size in sizes])
    text += row(["---"] * (len(sizes) + 1))
    for (of, table, workload), runs in figures.runs.items():
        if of != family:
            continue
        cells = [workload]
        for size in sizes:
            each = runs.get(size, {}).get(candidate)
            # Alone is measured where the rest is: not with caches that were displaced.
            cells.append(spread(each["ratio"]) if each else "–")
        text += row(cells)
    return text + "\n"


def nanoseconds(figures, family, sizes):
    if not sizes:
        return ""
    names = [name for name, _ in CANDIDATES] + ["empty"]
    text = row([f"{family}"] + [short(size) for size in sizes])
    text += row(["---"] * (len(sizes) + 1))
    for (of, table, workload), runs in figures.runs.items():
        if of != family or workload not in ("one hot key", "random keys", "random keys, cold"):
            continue
        for name in names:
            cells = [f"{workload}: {name}"]
            for size in sizes:
                each = runs.get(size, {}).get(name)
                cells.append(f"{each['nanoseconds'][2]:.0f}" if each else "–")
            text += row(cells)
    return text + "\n"


def goals(figures):
    if not figures.runs:
        return ""
    text = row(["random keys, edge mix", "wanted at most", "ipv4", "ipv6", "reached"])
    text += row(["---"] * 5)
    for size, limit in LIMITS.items():
        cells, good = [], True
        for family in ("ipv4", "ipv6"):
            each = figures.runs.get((family, "edge mix", "random keys"), {}).get(size)
            each = each and each.get("index find")
            cells.append(spread(each["ratio"]) if each else "not run")
            good = good and bool(each) and each["ratio"][2] <= limit
        reached = "not run" if "not run" in cells else "yes" if good else "no"
        text += row([short(size), f"{limit}"] + cells + [reached])
    worst, hot = [], []
    for (family, table, workload), runs in figures.runs.items():
        for size, each in runs.items():
            if size >= 100 and "index find" in each and each["index find"]["ratio"][2] > 0.7:
                worst.append(f"{family} {workload} at {short(size)}: {each['index find']['ratio'][2]:.2f}")
            if workload == "one hot key":
                hot.append(each["index"]["nanoseconds"][2] - each["floor"]["nanoseconds"][2])
    if hot:
        text += f"\nHot, the whole program takes {min(hot):.0f} to {max(hot):.0f} ns more than the floor.\n"
    text += "\nLookups alone above 0.7 of the baseline, from 100 bindings on: "
    return text + ("; ".join(worst) if worst else "none") + ".\n"


def plot(figures, family, table, workload, path):
    """Nanoseconds over size, both logarithmic; median and quartiles."""
    runs = figures.runs.get((family, table, workload), {})
    sizes = sorted(runs)
    if len(sizes) < 2:
        return False
    import math

    width, height, left, right, top, bottom = 560, 320, 56, 92, 34, 40
    low, high = 20, max(max(run[n]["nanoseconds"][3] for n, _ in CANDIDATES) for run in runs.values()) * 1.2
    x = lambda s: left + (width - left - right) * (math.log(s / sizes[0]) / math.log(sizes[-1] / sizes[0]))
    y = lambda v: height - bottom - (height - top - bottom) * (
        math.log(max(v, low) / low) / math.log(high / low))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="11">', f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="18" font-size="13">{family}, {table}, {workload}: ns a lookup, whole program'
           '</text>']
    for tick in (20, 50, 100, 200, 500, 1000, 2000, 5000):
        if low <= tick <= high:
            out.append(f'<line x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
                       'stroke="#ddd"/>'
                       f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    for size in sizes:
        out.append(f'<text x="{x(size):.1f}" y="{height - bottom + 16}" text-anchor="middle">{short(size)}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">bindings</text>')
    for name, colour in CANDIDATES:
        points = [(x(size), runs[size][name]["nanoseconds"]) for size in sizes]
        band = [f"{px:.1f},{y(five[3]):.1f}" for px, five in points]
        band += [f"{px:.1f},{y(five[1]):.1f}" for px, five in reversed(points)]
        out.append(f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.2"/>')
        line = " ".join(f"{px:.1f},{y(five[2]):.1f}" for px, five in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{points[-1][0] + 6:.1f}" y="{y(points[-1][1][2]) + 4:.1f}" fill="{colour}">{name}'
                   '</text>')
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
    return True


def system_table(figures):
    if not figures.system:
        return "Not part of this run.\n"
    text = row(["what", "plain", "steered", "ratio (quartiles)"]) + row(["---"] * 4)
    for each in figures.system:
        plain, steered, ratio = each["plain"], each["steered"], each["ratio"]
        text += row([each["system"], f"{plain[2]:.1f} {each['unit']}", f"{steered[2]:.1f} {each['unit']}",
                     spread(ratio)])
    return text


def control_table(figures):
    if not figures.build:
        return "Not part of this run.\n"
    text = row(["what", "figure"]) + row(["---"] * 2)
    for each in figures.build:
        text += row([each["control"], each["value"]])
    return text


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip() or "unknown"
    load = os.getloadavg()[0]
    return (f"{datetime.date.today()}, commit {commit}, Linux {platform.release()}, {model}, "
            f"{os.cpu_count()} processors, load {load:.1f} at the end")


def main(arguments):
    if len(arguments) < 3:
        sys.exit(__doc__)
    figures = Figures(load(arguments[1:-1]))
    directory = arguments[-1]
    os.makedirs(os.path.join(directory, "performance"), exist_ok=True)
    sizes = figures.sizes()
    plots = ""
    for family in ("ipv4", "ipv6"):
        for table, workload in (("edge mix", "random keys"), ("edge mix", "one hot key"),
                                ("edge mix", "nothing bound"), ("all lengths", "all lengths nested")):
            name = f"{family}-{workload.replace(' ', '-')}.svg"
            if plot(figures, family, table, workload, os.path.join(directory, "performance", name)):
                plots += f"![{family}, {workload}](performance/{name})\n"
    programs = row(["program", "instructions", "verified", "ms in the verifier"]) + row(["---"] * 4)
    for each in figures.programs:
        programs += row([each["program"], f"{each['instructions']:,}", f"{each['verified']:,}",
                         f"{each['milliseconds']:.1f}"])
    filled = {
        "MACHINE": machine(), "GOALS": goals(figures), "PLOTS": plots, "PROGRAMS": programs,
        "ALONE": "".join(ratios(figures, f, "index find", sizes) for f in ("ipv4", "ipv6")),
        "WHOLE": "".join(ratios(figures, f, "index", sizes) for f in ("ipv4", "ipv6")),
        "TRIES": "".join(ratios(figures, f, "tries", sizes) for f in ("ipv4", "ipv6")),
        "NANOSECONDS": "".join(nanoseconds(figures, f, sizes) for f in ("ipv4", "ipv6")),
        "SYSTEM": system_table(figures), "CONTROL": control_table(figures),
    }
    with open(os.path.join(HERE, "performance.md.in"), encoding="utf-8") as file:
        page = file.read()
    for name, text in filled.items():
        page = page.replace(f"@{name}@", text.rstrip("\n") or "Not part of this run.")
    with open(os.path.join(directory, "performance.md"), "w", encoding="utf-8") as file:
        file.write(page)


main(sys.argv)
