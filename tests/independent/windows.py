"""Computes windows over flow records in SQL and compares them with ours, value by value.

    windows.py FOLDER

FOLDER holds flows.ndjson (goflow2 records) and our windows: source.ndjson, destination.ndjson,
exporter.ndjson and network.ndjson (60 s), pair.ndjson (10 s). Sums, ports and counts up to 2,048
must be equal, larger counts of keys within 3 %, entropies within 1e-9. `probes` and what exporters
lost are left out: a judgement of single flows and an estimate, no sums.
"""

import sys
from collections import Counter
from pathlib import Path

import duckdb

EXACT = 2048
TOLERANCE = 0.03

FLOWS = """
create table flows as
with records as (
    select *, greatest(time_flow_start_ns, time_flow_end_ns) as event_ns,
        greatest(sampling_rate, 1)::hugeint as factor,
        etype in ('IPv4', 'IPv6') as is_ip
    from read_json(?, format = 'newline_delimited', columns = {
        time_flow_start_ns: 'bigint', time_flow_end_ns: 'bigint', sequence_num: 'bigint',
        sampling_rate: 'bigint', sampler_address: 'varchar', bytes: 'ubigint', packets: 'ubigint',
        src_addr: 'varchar', dst_addr: 'varchar', etype: 'varchar', proto: 'varchar',
        src_port: 'int', dst_port: 'int'})
)
select event_ns // 10000000000 * 10 as pane, event_ns // 60000000000 * 60 as minute,
    nullif(nullif(nullif(src_addr, ''), '0.0.0.0'), '::') as src,
    nullif(nullif(nullif(dst_addr, ''), '0.0.0.0'), '::') as dst,
    case when is_ip then proto end as protocol,
    case when is_ip and proto in ('TCP', 'UDP', 'SCTP', 'DCCP', 'UDPLite') then src_port end as sport,
    case when is_ip and proto in ('TCP', 'UDP', 'SCTP', 'DCCP', 'UDPLite') then dst_port end as dport,
    case when not is_ip then 'other' when proto = 'TCP' then 'tcp' when proto = 'UDP' then 'udp'
        when proto in ('ICMP', 'IPv6-ICMP') then 'icmp' else 'other' end as class,
    sampler_address as sampler, sequence_num as sequence, sampling_rate as rate,
    bytes as raw_bytes, packets as raw_packets, bytes * factor as bytes, packets * factor as packets
from records
"""


def entropy(column, where):
    """Entropy in nats of the flows of a minute over the values of a column."""
    return f"""(select coalesce(greatest(ln(sum(n)) - sum(n * ln(n)) / sum(n), 0), 0) from
        (select count(*)::double as n from flows f where f.minute = w.minute and {where} group by {column}))"""


def host(side, other, other_port, names):
    """Columns of a host window; `names` are those of flows, bytes, packets, peers and ports."""
    flows, total_bytes, packets, peers, ports = names
    return f"""
        select minute as start, {side} as subject, count(distinct (sampler, sequence)) as {flows},
            sum(bytes) as {total_bytes}, sum(packets) as {packets}, count(distinct {other}) as {peers},
            count(distinct {other_port}) as {ports}, count(*) as records, 0 as bytesReturned
        from flows where {side} is not null group by all"""


CLASSES = ["tcp", "udp", "icmp", "other"]
NETWORK = f"""
    select w.minute as start, 'network' as subject, count(*) as flows, sum(bytes) as bytes,
        sum(packets) as packets, sum(raw_bytes) as raw_bytes, sum(raw_packets) as raw_packets,
        count(*) filter (rate = 0) as unknown_sampling, 0 as clock_skew,
        {", ".join(f"count(*) filter (class = '{c}') as flows_{c}" for c in CLASSES)},
        {", ".join(f"coalesce(sum(bytes) filter (class = '{c}'), 0) as bytes_{c}" for c in CLASSES)},
        count(distinct src) as count_src_ip, count(distinct dst) as count_dst_ip,
        count(distinct sport) as count_src_port, count(distinct dport) as count_dst_port,
        {entropy("src", "src is not null")} as entropy_src_ip,
        {entropy("dst", "dst is not null")} as entropy_dst_ip,
        {entropy("sport", "sport is not null")} as entropy_src_port,
        {entropy("dport", "dport is not null")} as entropy_dst_port,
        {entropy("protocol", "true")} as entropy_ip_protocol, 0 as entropy_state
    from flows w group by w.minute"""

# By file: the query, and the columns that are estimated beyond EXACT.
WINDOWS = {
    "source": (
        host("src", "dst", "dport", ["sumOfFlows", "sumOfBytes", "sumOfPackets", "uniqDstIPs", "uniqDstPorts"]),
        {"sumOfFlows", "uniqDstIPs"},
    ),
    "destination": (
        host("dst", "src", "sport", ["destSumOfFlows", "destSumOfBytes", "destSumOfPackets", "uniqSrcIPs", "uniqSrcPorts"]),
        {"destSumOfFlows", "uniqSrcIPs"},
    ),
    "exporter": (
        """select minute as start, sampler as subject, count(*) as flows, sum(bytes) as bytes,
            sum(packets) as packets, count(*) filter (rate = 0) as unknown_sampling
        from flows group by all""",
        set(),
    ),
    "pair": (
        """select pane as start, src || ' ' || dst as subject, sum(bytes) as bytes_up, 0 as bytes_dw,
            count(*) as num_conns, count(distinct (sport, dport, protocol)) as num_flows,
            count(distinct dport) as num_dst_port, count(distinct sport) as num_src_port,
            count(*) filter (class = 'tcp') as tcp_conns, count(*) filter (class = 'udp') as udp_conns
        from flows where src is not null and dst is not null group by all""",
        {"num_flows"},
    ),
    "network": (NETWORK, set()),
}
LOSS = {"expected_records", "lost_records", "expected_datagrams", "lost_datagrams", "export_loss"}
NOT_COMPARED = {"start", "subject", "probes"} | LOSS


def compare(database, folder, name, query, estimated):
    """Returns (values compared, of these estimated by column, differences in words)."""
    database.execute(f"create or replace table theirs as {query}")
    path = str(folder / f"{name}.ndjson")
    database.execute("create or replace table ours as select * from read_json(?, format = 'newline_delimited')", [path])
    columns = [row[0] for row in database.execute("describe ours").fetchall()]
    compared = [column for column in columns if column not in NOT_COMPARED]
    missing = set(compared) ^ {row[0] for row in database.execute("describe theirs").fetchall()} - {"start", "subject"}
    if missing:
        return 0, Counter(), [f"{name}: columns that only one side has: {sorted(missing)}"]
    pairs = ", ".join(f'ours."{c}"::double, theirs."{c}"::double' for c in compared)
    rows = database.execute(
        f"select start, subject, ours.start is null, theirs.start is null, {pairs} "
        "from ours full join theirs using (start, subject) order by 1, 2"
    ).fetchall()
    values, sketched, differences = 0, Counter(), []
    for start, subject, no_ours, no_theirs, *row in rows:
        if no_ours or no_theirs:
            differences.append(f"{name} {subject} at {start}: missing {'here' if no_ours else 'in the database'}")
            continue
        for column, ours, theirs in zip(compared, row[::2], row[1::2]):
            values += 1
            tolerance = 1e-9 if column.startswith("entropy") else 0
            if column in estimated and theirs > EXACT:
                sketched[column] += 1
                tolerance = TOLERANCE * theirs
            if not abs(ours - theirs) <= tolerance:
                differences.append(f"{name} {subject} at {start}: {column} is {ours}, the database has {theirs}")
    return values, sketched, differences


def main():
    folder = Path(sys.argv[1])
    database = duckdb.connect()
    database.execute(FLOWS, [str(folder / "flows.ndjson")])
    flows = database.execute("select count(*) from flows").fetchone()[0]
    values, sketched, differences = 0, 0, []
    for name, (query, estimated) in WINDOWS.items():
        compared, by_column, more = compare(database, folder, name, query, estimated)
        values, sketched, differences = values + compared, sketched + by_column.total(), differences + more
        if not compared and not more:
            differences.append(f"{name}: no windows")
        differences += [f"{name}: no {column} beyond {EXACT}" for column in sorted(estimated - set(by_column))]
    print(f"{flows} flows: {values} values compared, {sketched} of them estimated, {len(differences)} differ")
    print("\n".join(differences[:20]))
    sys.exit(1 if differences else 0)


main()
