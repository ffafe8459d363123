#!/usr/bin/env python3
"""Every relative link in a Markdown file points to a file that exists, and every #anchor to a heading."""
import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]\n]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def markdown_files():
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={pathlib.Path.cwd()}", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"],
        check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted({pathlib.Path(name) for name in listed if name and pathlib.Path(name).exists()})


def anchors(path):
    """The anchors that GitHub makes of a file's headings."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_links(path):
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        pointed_at = path.parent / name if name else path
        if not pointed_at.exists():
            yield f"{path}: {target}: no such file"
        elif anchor and pointed_at.suffix == ".md" and anchor not in anchors(pointed_at):
            yield f"{path}: {target}: no such heading"


files = markdown_files()
problems = [problem for path in files for problem in wrong_links(path)]
print("\n".join(problems) or f"{len(files)} files")
sys.exit(1 if problems or not files else 0)
