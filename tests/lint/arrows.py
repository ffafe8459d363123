#!/usr/bin/env python3
"""Includes go only the way that docs/ARCHITECTURE.md allows: who may know whom.

The linker checks the same for what is called; this finds a header that was only read.
"""
import pathlib
import re
import sys

# folder: folders of agent/ that it may include from, and libraries by the beginning of their headers
ALLOWED = {
    "core": ({"core"}, {"sluice/", "yaml-cpp/", "nlohmann/", "zlib.h"}),
    "sys": ({"sys", "core"}, {"sluice/", "systemd/", "nlohmann/"}),
    "kernel": ({"kernel", "sys", "core"}, {"sluice/", "bpf/", "dispatch.skel.h"}),
    "daemon": ({"daemon", "kernel", "sys", "core"}, {"sluice/", "systemd/", "nlohmann/", "spdlog/", "CLI/"}),
    "control": ({"control", "sys", "core"}, {"sluice/", "nlohmann/"}),
    "follow": ({"follow", "control", "sys", "core"}, {"sluice/", "nlohmann/", "spdlog/", "CLI/"}),
    "cli": ({"cli", "control", "kernel", "sys", "core"}, {"sluice/", "nlohmann/", "CLI/"}),
    "client": ({"client"}, {"sluice/"}),
}
# Only these folders may name these libraries, whatever the table above says.
ALL_LIBRARIES = {"sluice/", "yaml-cpp/", "nlohmann/", "zlib.h", "systemd/", "bpf/", "spdlog/", "fmt/", "CLI/", "linux/bpf.h"}
# core is pure: no header by which it could make a system call, read a clock or write a log. (But
# <sys/socket.h> and <arpa/inet.h>, for the names of constants and for inet_pton; and <chrono>, for the types of
# times that it is given.)
IMPURE = re.compile(
    r"sys/(un|stat|mman|epoll|types|wait|ioctl|syscall)\.h|unistd\.h|fcntl\.h|"
    r"netdb\.h|glob\.h|pwd\.h|grp\.h|dirent\.h|time\.h|ctime|iostream|fstream|filesystem|thread|mutex")
CLOCK = re.compile(r"_clock::now\b|\bClock::now\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def wrong_includes(path, folder):
    folders, libraries = ALLOWED[folder]
    if folder == "core" and CLOCK.search(path.read_text()):
        yield f"{path}: core is pure; it must not read a clock"
    for ours, theirs in INCLUDE.findall(path.read_text()):
        header = ours or theirs
        top = header.split("/")[0]
        if ours and "/" in header and top in ALLOWED:
            if top not in folders:
                yield f"{path}: {folder} must not know {top}: {header}"
        elif any(header.startswith(library) for library in ALL_LIBRARIES - libraries):
            yield f"{path}: {folder} must not include {header}"
        elif folder == "core" and IMPURE.fullmatch(header):
            yield f"{path}: core is pure; it must not include {header}"


problems, seen = [], 0
for folder in sorted(ALLOWED):
    for path in sorted(pathlib.Path("agent", folder).rglob("*")):
        if path.suffix in {".h", ".cpp", ".c"}:
            seen += 1
            problems += wrong_includes(path, folder)
for path in sorted(pathlib.Path("agent").iterdir()):
    if path.is_dir() and path.name not in ALLOWED:
        problems.append(f"{path}: a new folder: say in tests/lint/arrows.py whom it may know")
print("\n".join(problems) or f"{seen} files")
sys.exit(1 if problems or not seen else 0)
