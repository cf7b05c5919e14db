#!/usr/bin/env python3
"""Runs every evaluation and writes what came of it.

usage: quality.py PROGRAM DATA OUT PAGE [--seeds 1,2,3] [--hours 168] [--flows-per-hour N]

PROGRAM is the flowsentry binary, DATA the folder of public captures (skipped when it is not there).
OUT gets quality.json (every run with data set, split, seed, checksums, commit) and quality.md; the
table in PAGE between the markers `quality:begin` and `quality:end` is replaced.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from datetime import datetime

# Nobody has so many attacks a day: all at once, they would ask for more alerts than the budget gives.
GROUPS = {
    "the first nine": "port_scan_vertical,port_scan_horizontal,port_scan_slow,blacklist,syn_flood,"
    "udp_amplification,brute_force,exfiltration,beacon",
    "the others": "carpet_bombing,reflector,lateral_movement,unanswered_storm,icmp_tunnel,dns_tunnel,"
    "long_connection,new_service,new_peer,new_port,too_many_ports",
    # Where worms and floods come ten times a day, the network shifts all day long: what only statistics
    # find is rare, or usual.
    "the rare ones": "unusual_volume,traffic_shift",
}
BEGIN, END = "<!-- quality:begin -->", "<!-- quality:end -->"


def run(command):
    begun = time.monotonic()
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)["runs"], time.monotonic() - begun


def commit():
    here = pathlib.Path(__file__).parent
    git = lambda *words: subprocess.run(
        ["git", "-C", str(here), *words], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    name = git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--", "../../src", "../../Cargo.lock")
    return name + ("+changes" if changed else "")


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    if not values:
        return None
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def seconds(value):
    if value is None:
        return "–"
    if value < 3600:
        return f"{value:.0f} s"
    return f"{value / 3600:.1f} h"


def days_of(one):
    first, last = (datetime.fromisoformat(t.replace("Z", "+00:00")) for t in one["extent"])
    return (last - first).total_seconds() / 86400


def rate(part, whole):
    return f"{part / whole:.2f}" if whole else "–"


def by_set(runs):
    sets = {}
    for one in runs:
        if one["evaluation"]:
            sets.setdefault(one["set"], []).append(one)
    return sets


def sets_table(runs):
    lines = [
        "| data set | runs | attacks found | alerts | outside of attacks | a day of a run | a host and day | above low | recall, 300 s | precision, 300 s | checks met |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, of in by_set(runs).items():
        evaluations = [one["evaluation"] for one in of]
        attacks = [a for e in evaluations for a in e["attacks"]]
        found = sum(bool(a["found_by"]) or a["is_line"] and a["is_noticed"] for a in attacks)
        outside = [alert for e in evaluations for alert in e["outside"]]
        host_days = sum(one["presence"]["host_days"] for one in of)
        days = sum(days_of(one) for one in of)
        windows = [
            w for e in evaluations for w in e["windows"] if w["seconds"] == 300 and w["least"] == "low"
        ]
        total = lambda key: sum(w[key] for w in windows)
        share = lambda part, whole: f"{100 * part / whole:.1f} %" if whole else "–"
        checks = [c for one in of for c in one["checks"]]
        above = sum(alert["severity"] != "low" for alert in outside)
        lines.append(
            f"| {name} | {len(of)} | {found} of {len(attacks)} | {sum(e['alerts'] for e in evaluations)} "
            f"| {len(outside)} | {rate(len(outside), days)} | {rate(len(outside), host_days)} | {above} "
            f"| {share(total('found'), total('malicious'))} "
            f"| {share(total('right'), total('alarmed') - total('background'))} "
            f"| {sum(c['is_met'] for c in checks)} of {len(checks)} |"
        )
    return lines


def kinds_table(runs):
    lines = [
        "| data set | kind | detectors | attacks found | noticed | alerts | outside | outside, above low | median latency |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, of in by_set(runs).items():
        kinds = {}
        for one in of:
            for kind, outcome in one["evaluation"]["by_kind"].items():
                kinds.setdefault(kind, []).append(outcome)
        for kind, outcomes in sorted(kinds.items()):
            total = lambda key: sum(outcome[key] for outcome in outcomes)
            detectors = sorted({d for outcome in outcomes for d in outcome["detectors"]})
            latencies = [o["median_latency_seconds"] for o in outcomes]
            latency = median([value for value in latencies if value is not None])
            found = f"{total('found')} of {total('attacks')}" if total("attacks") else "–"
            noticed = total("noticed") if total("attacks") else "–"
            lines.append(
                f"| {name} | {kind} | {', '.join(detectors) or '–'} | {found} | {noticed} | {total('alerts')} "
                f"| {total('outside')} | {total('outside_above_low')} | {seconds(latency)} |"
            )
    return lines


def files_table(runs):
    lines = ["| data set | split | SHA-256 |", "|---|---|---|"]
    for one in runs:
        for file in one["files"]:
            path = file["path"].split("/data/")[-1]
            lines.append(f"| {one['set']} | {path} | `{file['sha256']}` |")
        if one["set"] == "simulated":
            lines.append(f"| simulated | {one['name']}, {one['flows']:,} flows | – |")
    return lines


def misses(runs):
    lines = []
    for one in runs:
        for problem in one["problems"]:
            lines.append(f"* {one['name']}: not scored: {problem[:200]}")
        for check in one["checks"]:
            if not check["is_met"]:
                lines.append(f"* {one['name']}: {check['what']}: {check['detail']}")
    return lines


def outside(runs):
    """Alerts outside of attacks, ten of each kind and run; quality.json has all."""
    lines = []
    for one in runs:
        kinds = {}
        for alert in (one["evaluation"] or {}).get("outside", []):
            kinds.setdefault(alert["kind"], []).append(alert)
        for kind, alerts in sorted(kinds.items()):
            lines.append(f"* {one['name']}: {kind}: {len(alerts)} alerts")
            for alert in alerts[:10]:
                minute = alert["first"][:16]
                lines.append(f"  * {minute} {alert['subject']} {alert['severity']} {alert['score']:.0f}")
    return lines


def counted(lines):
    """Equal lines once, with their number."""
    counts = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    return [line if n == 1 else f"{line} (×{n})" for line, n in counts.items()]


def put(page, table, head):
    text = page.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{page} has no markers {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    page.write_text(before + BEGIN + "\n" + head + "\n\n" + "\n".join(table) + "\n" + END + after)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--hours", default="168")
    parser.add_argument("--flows-per-hour", default="66667")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    truth = pathlib.Path(__file__).with_name("captures.yml")
    runs, took, measured = [], {}, commit()
    evaluate = [args.program, "evaluate"]
    if args.data.is_dir():
        command = [*evaluate, "detection", "--data", str(args.data), "--truth", str(truth), "--json"]
        captures, took["captures"] = run(command)
        runs += captures
    else:
        print(f"skipped: no captures in {args.data}")
    for seed in args.seeds.split(","):
        for group, kinds in GROUPS.items():
            command = [*evaluate, "simulated", "--hours", args.hours, "--seed", seed, "--json"]
            command += ["--attacks", kinds, "--flows-per-hour", args.flows_per_hour]
            name = f"seed {seed}, {group}"
            simulated, took[name] = run(command)
            simulated[0]["name"] = name
            runs += simulated
            print(f"{name}: {simulated[0]['flows']:,} flows in {took[name]:.0f} s", flush=True)
    facts = {"commit": measured, "settings": "defaults", "seconds": took, "runs": runs}
    (args.out / "quality.json").write_text(json.dumps(facts, indent=1) + "\n")
    head = (
        f"Commit {facts['commit']}, default settings, {len(runs)} runs; simulated: seeds {args.seeds}, "
        f"{args.hours} hours each at {args.flows_per_hour} flows an hour."
    )
    report = [
        "# Quality of detection", "", head, "", *sets_table(runs), "", *kinds_table(runs), "",
        "## Not met", "", *counted(misses(runs)), "",
        "## Alerts outside of attacks", "", *outside(runs), "", "## Data", "", *files_table(runs),
    ]
    (args.out / "quality.md").write_text("\n".join(report) + "\n")
    put(args.page, [*sets_table(runs), "", *kinds_table(runs)], head)
    print(f"{args.out}/quality.md, {args.out}/quality.json and the table in {args.page.name} are written")


if __name__ == "__main__":
    main()
