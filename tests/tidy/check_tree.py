#!/usr/bin/env python3
"""Checks the source tree against the design: which folder may include what, and plain style.

    messages <- {core, store, adapters} <- actors <- runtime <- tools

Prints every violation as file:line: text and exits 1 when there is one. `--self-test` runs the
checks on made-up files that break each rule once, so that a rule that sees nothing is noticed.
"""
import os
import re
import sys

FOLDERS = ["messages", "actors", "store", "adapters", "runtime", "tools", "tests"]
LINES_MAX = 600
COLUMNS_MAX = 100

# Project folders that each layer may include, and libraries that it must not.
PROJECT = {
    "messages": {"messages"},
    "core": {"messages", "core"},
    "store": {"messages", "store"},
    "adapters": {"messages", "adapters"},
    "actors": {"messages", "core", "store", "adapters", "actors"},
    "runtime": {"messages", "core", "store", "adapters", "actors", "runtime"},
    "tools": {"messages", "core", "store", "adapters", "actors", "runtime", "tools"},
}
HEAVY = ["caf/", "rocksdb/", "boost/", "spdlog/", "yaml-cpp/", "curl/", "libssh2", "CLI/",
         "prometheus/", "pugixml"]
FOREIGN = {
    "messages": HEAVY,
    "core": HEAVY + ["nlohmann/", "sodium", "thread", "mutex", "fstream", "filesystem", "random",
                     "iostream", "unistd.h", "sys/"],
    "store": ["caf/", "boost/", "spdlog/", "yaml-cpp/", "curl/", "libssh2", "CLI/", "prometheus/"],
    "adapters": ["caf/", "rocksdb/", "boost/", "spdlog/", "yaml-cpp/", "CLI/", "prometheus/"],
    "actors": ["rocksdb/", "boost/", "yaml-cpp/", "CLI/", "prometheus/"],
    "runtime": ["rocksdb/"],
    "tools": ["libssh2"],
}
# The node agent runs on every compute node: it links neither CAF nor RocksDB.
AGENT_PROJECT = {"messages", "adapters", "tools"}
AGENT_FOREIGN = ["caf/", "rocksdb/"]

# Kinds of schedulers are folders here; what is said of one elsewhere belongs into its row.
SCHEDULERS = "runtime/schedulers/"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KINDS = sorted(entry.name for entry in os.scandir(os.path.join(ROOT, SCHEDULERS))
               if entry.is_dir())

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
CLOCK = re.compile(r"_clock::now\s*\(|\bstd::time\s*\(|\bgettimeofday\b|\brand\s*\(|"
                   r"\brandom_device\b")


def layer_of(path):
    """The layer of a file or of an included header; None when it is not ours or is not layered."""
    parts = path.split("/")
    if parts[0] != "actors":
        return parts[0] if parts[0] in PROJECT else None
    name = parts[-1].rsplit(".", 1)[0]
    shell = ("shell" in parts[:-1] or name == "actor" or
             len(parts) == 2 and name.endswith("interfaces") or name == "gateway_interface")
    return "actors" if shell else "core"


def check_arrows(path, lines, report):
    layer = layer_of(path)
    if layer is None:
        return
    agent = "node-agent" in path or "node_agent" in path
    allowed = AGENT_PROJECT if agent else PROJECT[layer]
    foreign = FOREIGN[layer] + (AGENT_FOREIGN if agent else [])
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if found:
            header = found.group(1)
            target = layer_of(header)
            if target is not None and target not in allowed:
                report(number, f"{layer} must not include {target} ({header})")
            for prefix in foreign:
                if header.startswith(prefix):
                    report(number, f"{layer} must not include <{header}>")
        elif layer == "core" and CLOCK.search(line.split("//")[0]):
            report(number, "core must not read clocks or draw random numbers")


def own_kinds(path):
    """The kinds that a file may name: all in the rows, its own in an adapter and its benchmark."""
    if path.startswith((SCHEDULERS, "tests/")):
        return set(KINDS)
    return {kind for kind in KINDS
            if path.startswith((f"adapters/{kind}/", f"tools/ve_bench/{kind}."))}


def check_kinds(path, lines, report):
    others = "|".join(sorted(set(KINDS) - own_kinds(path)))
    if not others:
        return
    folder = re.compile(rf"({re.escape(SCHEDULERS)}|adapters/)({others})/")
    named = re.compile(rf"\b({others})(_config|_kind)\b|\b(adapters|scheduler_type)::({others})\b|"
                       rf"\bkind->name\s*[!=]=|find_scheduler_kind\(\s*\"|"
                       rf"[!=]=\s*\"({others})\"")
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if found and folder.match(found.group(1)):
            report(number, f"only {SCHEDULERS} may include what is of one kind ({found.group(1)})")
        elif not found and named.search(line.split("//")[0]):
            report(number, f"only {SCHEDULERS} may tell kinds of schedulers apart: ask the row")


def check_style(path, lines, report):
    if len(lines) > LINES_MAX:
        report(LINES_MAX + 1, f"longer than {LINES_MAX} lines ({len(lines)})")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            report(number, f"longer than {COLUMNS_MAX} columns ({len(line)})")
        if "\t" in line:
            report(number, "tab")
        if line != line.rstrip():
            report(number, "space at the end of the line")
    if path.endswith(".hpp"):
        if not any(line == "#pragma once" for line in lines):
            report(1, "no #pragma once")
        for number, line in enumerate(lines, 1):
            if re.match(r"\s*using\s+namespace\b", line):
                report(number, "using namespace in a header")


def check_sections(lines, report):
    """A return out of a section ends its test case: what stands after it is never run."""
    blocks = []  # "section", "lambda" or "" for each brace that is open
    for number, line in enumerate(lines, 1):
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line.split("//")[0])
        start = 0
        for found in re.finditer(r"[{}]|\breturn\b", code):
            head, start = code[start:found.start()], found.end()
            if found[0] == "{":
                is_lambda = re.search(r"\]\s*(\(|$|mutable|->)", head)
                blocks.append("section" if "SECTION(" in head else "lambda" if is_lambda else "")
            elif found[0] == "}":
                del blocks[-1:]
            elif "section" in blocks and \
                    "lambda" not in blocks[len(blocks) - blocks[::-1].index("section"):]:
                report(number, "a return out of a section hides what stands after it")


def check_file(path, text):
    problems = []

    def report(line, what):
        problems.append(f"{path}:{line}: {what}")

    lines = text.splitlines()
    check_style(path, lines, report)
    if path.endswith((".hpp", ".cpp")):
        check_arrows(path, lines, report)
        check_kinds(path, lines, report)
    if path.startswith("tests/") and path.endswith("_test.cpp"):
        check_sections(lines, report)
    return problems


METRIC = re.compile(r'"(ved_[a-z_]+)"')


def check_metrics(files):
    """A metric is named in one file, so that a new one touches that and where it is counted."""
    named = {}
    for path, text in files.items():
        if not path.startswith("tests/"):
            for name in METRIC.findall(text):
                named.setdefault(name, set()).add(path)
    return [f"{max(places)}:1: metric {name} is also named in {min(places)}"
            for name, places in sorted(named.items()) if len(places) > 1]


# Events that others than their entity need to know by name: who counts them, tells them to hooks
# or has a line of its own form for them. All others follow from the .proto and its marks.
EVENTS_OF_OTHERS = {
    "job": {"accepted", "submitted", "submission_refused", "submission_unresolved",
            "lookup_absent", "held", "control_refused", "observed", "went_missing",
            "duplicate_found", "claim_lost", "finished", "abandoned_over"},
    "cluster": {"down", "begun"},
    "hook": {"delivered", "begun"},
    "daemon": set(),
}
EVENT = re.compile(r"^ +(\w+) (\w+) = \d+\s*\[\(event_level\)", re.M)


def check_events(files):
    """A new event is a line of its .proto and the business of its entity's folder alone."""
    out = []
    for entity, others in EVENTS_OF_OTHERS.items():
        events = EVENT.findall(files.get(f"messages/{entity}_event.proto", ""))
        if entity == "job" and not events:
            out.append("messages/job_event.proto:1: no event of it is read here")
        for message, name in events:
            if name in others:
                continue
            case = "k" + "".join(part.title() for part in name.split("_"))
            named = re.compile(rf"\bpb::{message}\b|\b{entity.title()}Event::{case}\b|"
                               rf"\b{entity}\(\)\.(has_)?{name}\(\)")
            out += [f"{path}:1: names the event {name}, which is its entity's business"
                    for path, text in sorted(files.items())
                    if path.endswith((".cpp", ".hpp")) and
                    not path.startswith((f"actors/{entity}", "tests/", "tools/")) and
                    named.search(text)]
    return out


def tree(root):
    for folder in FOLDERS:
        for directory, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".hpp", ".cpp", ".proto")):
                    yield os.path.relpath(os.path.join(directory, name), root)


BROKEN = [
    ("messages/a.cpp", '#include "store/kv.hpp"'),
    ("messages/a.cpp", "#include <caf/actor.hpp>"),
    ("actors/job/core.cpp", '#include "store/kv.hpp"'),
    ("actors/job/core.cpp", "#include <caf/actor.hpp>"),
    ("actors/job/core.cpp", '#include "actors/job/actor.hpp"'),
    ("actors/job/core.cpp", "auto t = std::chrono::system_clock::now();"),
    ("store/a.cpp", '#include "adapters/scheduler.hpp"'),
    ("store/a.cpp", '#include "actors/job/core.hpp"'),
    ("store/a.cpp", "#include <caf/actor.hpp>"),
    ("adapters/a.cpp", '#include "store/kv.hpp"'),
    ("adapters/a.cpp", "#include <rocksdb/db.h>"),
    ("actors/job/actor.cpp", '#include "runtime/version.hpp"'),
    ("actors/job/actor.cpp", "#include <rocksdb/db.h>"),
    ("runtime/a.cpp", '#include "tools/vectl/cli.hpp"'),
    ("runtime/a.cpp", '#include "adapters/slurm/cluster.hpp"'),
    ("runtime/a.cpp", '#include "runtime/schedulers/slurm/config.hpp"'),
    ("runtime/config/a.cpp", "const auto& c = cluster.sections.of<slurm_config>();"),
    ("runtime/a.cpp", 'if (cluster.kind == find_scheduler_kind("x")) return;'),
    ("runtime/a.cpp", 'if (cluster.kind->name == name) return;'),
    ("runtime/a.cpp", "auto options = adapters::local::local_options{};"),
    ("actors/link/actor.cpp", 'if (deps_.scheduler_type == "local") return;'),
    ("adapters/slurm/a.cpp", '#include "adapters/local/spool.hpp"'),
    ("tools/vectl/a.cpp", "return &moab_kind;"),
    ("tools/hpc-node-agent/a.cpp", '#include "store/kv.hpp"'),
    ("tools/hpc-node-agent/a.cpp", "#include <caf/actor.hpp>"),
    ("store/a.hpp", "int x;"),
    ("store/a.hpp", "#pragma once\nusing namespace std;"),
    ("store/a.cpp", "int\tx;"),
    ("store/a.cpp", "int x; "),
    ("store/a.cpp", "// " + "x" * COLUMNS_MAX),
    ("store/a.cpp", "\n" * (LINES_MAX + 1)),
    ("tests/a_test.cpp", 'SECTION("a {") {\n  if (x) {\n    return;\n  }\n}'),
    ("tests/a_test.cpp", 'SECTION("a") { return; }'),
]
CLEAN = [
    ("messages/json.cpp", "#include <nlohmann/json.hpp>\n#include <sodium.h>"),
    ("actors/job/core.cpp", '#include "messages/time.hpp"\n#include "actors/job/core.hpp"'),
    ("actors/interfaces.hpp", '#pragma once\n#include <caf/actor.hpp>\n#include "store/kv.hpp"'),
    ("actors/shell/pool.cpp", "#include <caf/actor.hpp>\n#include <thread>"),
    ("runtime/schedulers/slurm/a.cpp", '#include "adapters/slurm/cluster.hpp"\nslurm_config c;'),
    ("runtime/a.cpp", '#include "runtime/schedulers/kind.hpp"\nif (cluster.kind->in_process) run();'),
    ("adapters/slurm/a.cpp", '#include "adapters/slurm/cluster.hpp"'),
    ("tests/runtime/a_test.cpp", "add(slurm_kind).sections.of<slurm_config>();"),
    ("tools/ve_sim/a.cpp", '#include "actors/link/core.hpp"\n#include "store/event_log.hpp"'),
    ("tests/a_test.cpp", 'SECTION("a") {\n  const auto f = [&](int n) {\n    return n;\n  };\n'
                         '  f([] { return 1; }());\n}\nif (y) {\n  return;\n}'),
]


def self_test():
    failed = 0
    for path, text in BROKEN:
        if len(check_file(path, text)) != 1:
            print(f"self-test: {path}: {text[:60]!r} was not seen exactly once")
            failed = 1
    for path, text in CLEAN:
        for problem in check_file(path, text):
            print(f"self-test: clean text was reported: {problem}")
            failed = 1
    twice = {"runtime/a.cpp": 'count("ved_jobs")', "runtime/b.cpp": 'count("ved_jobs")'}
    if len(check_metrics(twice)) != 1:
        print("self-test: a metric that is named twice was not seen")
        failed = 1
    once = {"runtime/a.cpp": 'count("ved_jobs")', "tests/b.cpp": 'shows("ved_jobs")'}
    if check_metrics(once):
        print("self-test: a metric that is named once was reported")
        failed = 1
    events = {"messages/job_event.proto": "    JobSold sold = 21 [(event_level) = 1];"}
    for path, wrong in (("runtime/a.cpp", 1), ("actors/job/a.cpp", 0)):
        for text in ("case pb::JobEvent::kSold:", "what.job().has_sold()", "const pb::JobSold& e"):
            if len(check_events(events | {path: text})) != wrong:
                print(f"self-test: {path}: {text}: not judged as it should be")
                failed = 1
    if len(check_events({})) != 1:
        print("self-test: that no event was read was not seen")
        failed = 1
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    files = {}
    for path in tree(ROOT):
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            files[path] = source.read()
    problems = [one for path, text in files.items() for one in check_file(path, text)]
    problems += check_metrics(files) + check_events(files)
    for problem in problems:
        print(problem)
    print(f"{len(files)} files, {len(problems)} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
