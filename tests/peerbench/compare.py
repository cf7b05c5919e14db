#!/usr/bin/env python3
"""flowsentry beside DuckDB on the same records, in one run on the same cores.

    compare.py FLOWSENTRY FLOWS.ndjson TRUTH.json [REPEATS]

Both compute the windows per source and destination (60 s) and per pair (10 s); flowsentry also
judges them with every detector. Runs alternate, so that a slow minute of the machine hits both.
Checks flowsentry's windows against the truth and prints medians, the ratio, and peak memory.
Exit code 1 when a window differs from the truth.
"""
import json, os, re, statistics, subprocess, sys, time

QUERY = """
create temp table flows as select time_received_ns // 1000000000 s, src_addr, dst_addr, src_port, dst_port, bytes, packets, sequence_num
  from read_ndjson('{path}', columns={{time_received_ns:'BIGINT', sequence_num:'BIGINT', bytes:'BIGINT', packets:'BIGINT',
  src_addr:'VARCHAR', dst_addr:'VARCHAR', src_port:'INT', dst_port:'INT'}});
create temp table sources as select s // 60 w, src_addr, approx_count_distinct(sequence_num) f, sum(bytes) b, sum(packets) p,
  approx_count_distinct(dst_addr) i, approx_count_distinct(dst_port) q, count(*) n from flows group by 1, 2;
create temp table destinations as select s // 60 w, dst_addr, approx_count_distinct(sequence_num) f, sum(bytes) b, sum(packets) p,
  approx_count_distinct(src_addr) i, approx_count_distinct(src_port) q, count(*) n from flows group by 1, 2;
create temp table pairs as select s // 10 w, src_addr, dst_addr, sum(bytes) b, approx_count_distinct(dst_port) q,
  approx_count_distinct(src_port) r, count(*) n from flows group by 1, 2, 3;
select (select count(*) from sources), (select count(*) from destinations), (select count(*) from pairs), (select sum(b) from sources);
"""


def duckdb_child(path, threads):
    """Runs in a process of its own, so that its peak memory is its own."""
    import duckdb
    connection = duckdb.connect(config={"threads": threads})
    begun = time.monotonic()
    row = connection.execute(QUERY.format(path=path)).fetchone()
    print(json.dumps({"seconds": time.monotonic() - begun, "groups": row[:3], "bytes": int(row[3])}))


def timed(command):
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = child.communicate()
    seconds = time.monotonic() - begun
    if child.returncode != 0:
        sys.exit(f"{command[0]} failed: {err.decode()[-500:]}")
    return seconds, out.decode(), err.decode()


def peak_mebibytes(command):
    """Peak resident memory of one more run, by /usr/bin/time's way: the usage of a waited child."""
    code = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)")
    return int(subprocess.check_output([sys.executable, "-c", code, *command]))


def subjects(stderr):
    found = re.search(r"with ([\d,]+) sources and ([\d,]+) destinations; ([\d,]+) pairs", stderr)
    return [int(number.replace(",", "")) for number in found.groups()]


def main(program, path, truth_path, repeats):
    truth = json.load(open(truth_path))
    flows = truth["n"]
    threads = os.cpu_count()
    ours_command = [program, "score", path, "--only", "alerts"]
    peer_command = [sys.executable, __file__, "--duckdb", path, str(threads)]
    ours, peers, peer_jobs = [], [], []
    for _ in range(repeats):
        seconds, _, stderr = timed(ours_command)
        ours.append(seconds)
        seconds, stdout, _ = timed(peer_command)
        peers.append(seconds)
        peer = json.loads(stdout)
        peer_jobs.append(peer["seconds"])
    expected = [truth["groups_src_60s"], truth["groups_dst_60s"], truth["groups_pair_10s"]]
    _, windows, _ = timed([program, "score", path, "--only", "windows", "-E", "windows.keep_hosts=0"])
    features = [json.loads(line)["flowsentry"]["window"] for line in windows.splitlines()]
    totals = [window["features"] for window in features if window["subject"]["type"] == "network"]
    _, _, short = timed([program, "score", path, "--only", "alerts", "-E", "windows.host_seconds=10"])
    checks = {
        "sources 60 s, destinations 60 s, pairs 10 s": (subjects(stderr), expected),
        "sources 10 s": (subjects(short)[0], truth["groups_src_10s"]),
        "flows": (sum(window["flows"] for window in totals), flows),
        "bytes": (sum(window["raw_bytes"] for window in totals), truth["sum_bytes"]),
        "packets": (sum(window["raw_packets"] for window in totals), truth["sum_packets"]),
        "DuckDB's groups": (peer["groups"], expected),
    }
    failed = False
    for what, (found, wanted) in checks.items():
        same = found == wanted
        failed |= not same
        print(f"{'equal' if same else 'DIFFERENT':<10} {what}: {found}" + ("" if same else f", truth {wanted}"))
    mine, job = statistics.median(ours), statistics.median(peer_jobs)
    print(f"flowsentry {flows / mine:>12,.0f} flows/s, start-up included, {peak_mebibytes(ours_command)} MiB peak")
    print(f"DuckDB     {flows / job:>12,.0f} flows/s without start-up, {flows / statistics.median(peers):,.0f} with, {peak_mebibytes(peer_command)} MiB peak")
    print(f"ratio      {job / mine:>12.2f} (median of {repeats}, {threads} cores, {flows:,} flows, seed {truth['seed']})")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--duckdb":
        duckdb_child(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 5)
