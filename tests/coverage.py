#!/usr/bin/env python3
"""Reads what llvm-cov exported (lcov), tells lines, functions and branches of each module of src/, and holds modules to a figure.

coverage.py LCOV --title TITLE [--missed] [--write FILE] [--least PERCENT --of MODULE...]

Lines of tests inside src/ do not count. A module is a file of src/ with the directory of its name.
"""

import argparse
import collections
import pathlib
import re
import sys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lcov")
    parser.add_argument("--title", required=True)
    parser.add_argument("--least", type=float)
    parser.add_argument("--missed", action="store_true")
    parser.add_argument("--write")
    parser.add_argument("--of", nargs="+", default=[])
    arguments = parser.parse_args()
    modules = by_module(read(arguments.lcov))
    table = render(modules)
    print(table)
    unreached = [line for module in modules.values() for file in module for line in file.unreached()]
    print(f"functions never reached: {len(unreached)}", *unreached, sep="\n  ")
    if arguments.missed:
        print("lines never reached:")
        for module in modules.values():
            for file in module:
                file.print_missed()
    if arguments.write:
        write(pathlib.Path(arguments.write), arguments.title, table)
    if arguments.least is not None:
        hold(modules, arguments.of, arguments.least)


class File:
    def __init__(self, path):
        self.path = path
        self.text = path.read_text().splitlines()
        # Tests stand at the end of a file.
        ends = (at for at, line in enumerate(self.text, 1) if line == "#[cfg(test)]" and self.text[at].startswith("mod tests {"))
        self.end = next(ends, len(self.text) + 1)
        self.lines, self.functions, self.branches = {}, {}, {}

    def take(self, table, line, key, count):
        if line < self.end:
            table[key] = max(table.get(key, 0), count)

    def unreached(self):
        for line, count in sorted(self.functions.items()):
            name = re.search(r"\bfn (\w+)", self.text[line - 1])
            # A closure that was never called is among the lines, and so is what a derive wrote.
            if count == 0 and name:
                yield f"{self.path}:{line} {name[1]}"

    def print_missed(self):
        for line, count in sorted(self.lines.items()):
            if count == 0:
                print(f"  {self.path}:{line}: {self.text[line - 1].strip()}")
        for (line, *_), count in sorted(self.branches.items()):
            if count == 0 and self.lines.get(line):
                print(f"  {self.path}:{line}: one way only: {self.text[line - 1].strip()}")


def read(lcov):
    """One file of src/ after the other. Several functions made of one source line, one for each type, count as one."""
    files, file, starts = [], None, {}
    for line in open(lcov):
        key, _, value = line.rstrip("\n").partition(":")
        if key == "SF":
            path = pathlib.Path(value)
            path = path.relative_to(pathlib.Path.cwd()) if path.is_absolute() else path
            wanted = path.parts[0] == "src" and "tests" not in path.parts
            file, starts = (File(path) if wanted else None), {}
            files += [file] if file else []
        elif file is None:
            continue
        elif key == "FN":
            start, name = value.split(",", 1)
            starts[name] = int(start)
        elif key == "FNDA":
            count, name = value.split(",", 1)
            file.take(file.functions, starts[name], starts[name], int(count))
        elif key == "DA":
            at, count = map(int, value.split(",")[:2])
            file.take(file.lines, at, at, count)
        elif key == "BRDA":
            at, block, branch, count = value.split(",")
            file.take(file.branches, int(at), (int(at), block, branch), 0 if count == "-" else int(count))
    return sorted(files, key=lambda file: file.path)


def by_module(files):
    modules = collections.defaultdict(list)
    for file in files:
        modules[file.path.parts[1].removesuffix(".rs")].append(file)
    return dict(sorted(modules.items()))


def sums(files, what):
    counts = [count for file in files for count in getattr(file, what).values()]
    return sum(count > 0 for count in counts), len(counts)


def percent(part, whole):
    """Never rounded up: 100 is all."""
    return int(10000 * part / whole) / 100 if whole else 100.0


def render(modules):
    everything = [file for module in modules.values() for file in module]
    kinds = [kind for kind in ("lines", "functions", "branches") if sums(everything, kind)[1]]
    rows = ["| module | " + " | ".join(kinds) + " |", "|---" * (1 + len(kinds)) + "|"]
    for name, files in [*modules.items(), ("**all**", everything)]:
        cells = []
        for kind in kinds:
            part, whole = sums(files, kind)
            cells.append(f"{part} of {whole}, {percent(part, whole):.2f} %")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
        if len(files) > 1 and name in modules:
            for file in files:
                part, whole = sums([file], "lines")
                if part < whole:
                    print(f"  {file.path}: {part} of {whole} lines, {percent(part, whole):.2f} %")
    return "\n".join(rows)


def write(path, title, table):
    begin, end = f"<!-- coverage.sh --write: {title} -->", f"<!-- end: {title} -->"
    text = path.read_text()
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"{path} has no part between {begin} and {end}")
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def hold(modules, names, least):
    below = []
    for name in names:
        part, whole = sums(modules[name], "lines")
        if percent(part, whole) < least:
            below.append(f"{name} {percent(part, whole):.2f} %")
    if below:
        sys.exit(f"below {least} % of the lines: {', '.join(below)}")
    print(f"at least {least} % of the lines each: {', '.join(names)}")


main()
