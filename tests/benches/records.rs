//! Records to measure on, made here: the same bytes in every run.

use std::net::Ipv4Addr;

use flowsentry::formats::ecs;
use flowsentry::model::{Flow, Outcome, Timestamp};
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Lines of one source, each with its line feed.
pub type Lines = Vec<u8>;

/// `flows` records of simulated offices with every kind of attack, as goflow2 v2 writes them: about
/// 1,000 bytes each, 66,667 an hour.
pub fn simulated(flows: u64) -> Lines {
    let config = Config { extent: Extent::Flows(flows), ..Config::default() };
    let mut lines = Vec::new();
    for flow in Simulation::new(config).expect("the settings are in range") {
        write_goflow2(&flow, &mut lines);
    }
    lines
}

/// A loaded ten minutes: `flows` goflow2 records of about 400 bytes, 1,000 hosts inside and 20,000
/// outside with a long tail, and in the seventh minute a tenth of all flows as a flood of SYNs,
/// nearly every one from a forged source of its own.
pub fn flooded(flows: u64) -> Lines {
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let start = 1_795_232_400_000_000_000_u64;
    let mut lines = Vec::new();
    for number in 0..flows {
        let received = start + number * (600_000_000_000 / flows);
        let minute = number * 10 / flows;
        if minute == 6 {
            write_syn(&mut lines, &mut dice, received, number);
        } else {
            write_ordinary(&mut lines, &mut dice, received, number);
        }
    }
    lines
}

struct Record {
    received: u64,
    number: u64,
    duration: u64,
    bytes: u64,
    packets: u64,
    source: (Ipv4Addr, u16),
    destination: (Ipv4Addr, u16),
    protocol: &'static str,
    flags: u8,
}

fn write_syn(lines: &mut Lines, dice: &mut ChaCha8Rng, received: u64, number: u64) {
    let forged = Ipv4Addr::from_bits(0x0b00_0000 + dice.random_range(0..0x5400_0000));
    let source = (forged, dice.random_range(1024..=65_535));
    let destination = (Ipv4Addr::new(10, 0, 0, 5), 443);
    let (bytes, packets, duration) = (60, 1, 0);
    let protocol = "TCP";
    let flags = 2;
    let record =
        Record { received, number, duration, bytes, packets, source, destination, protocol, flags };
    record.write(lines);
}

fn write_ordinary(lines: &mut Lines, dice: &mut ChaCha8Rng, received: u64, number: u64) {
    const SERVICES: [(u16, &str); 6] =
        [(443, "TCP"), (443, "TCP"), (80, "TCP"), (53, "UDP"), (22, "TCP"), (3306, "TCP")];
    // The square of a uniform number: a few busy hosts, a long tail.
    let mut pick = |hosts: u32| (dice.random::<f64>().powi(2) * f64::from(hosts)) as u32;
    let client = Ipv4Addr::from_bits(0x0a00_0001 + pick(1_000));
    let server = Ipv4Addr::from_bits(0x6400_0001 + 997 * pick(20_000));
    let (port, protocol) = SERVICES[dice.random_range(0..SERVICES.len())];
    let (client, server) = ((client, dice.random_range(1024..=65_535)), (server, port));
    let (source, destination) =
        if dice.random_bool(0.6) { (client, server) } else { (server, client) };
    let packets = dice.random_range(1..40);
    let bytes = packets * dice.random_range(46..1_500);
    let duration = dice.random_range(0..8_000_000_000);
    let flags = if protocol == "TCP" { 27 } else { 0 };
    let record =
        Record { received, number, duration, bytes, packets, source, destination, protocol, flags };
    record.write(lines);
}

impl Record {
    fn write(&self, lines: &mut Lines) {
        let Self { received, number, duration, bytes, packets, protocol, flags, .. } = self;
        let (from, from_port) = self.source;
        let (to, to_port) = self.destination;
        let (sequence, start) = (number / 20, received - duration);
        let text = format!(
            r#"{{"type":"NETFLOW_V9","time_received_ns":{received},"sequence_num":{sequence},"sampling_rate":0,"sampler_address":"192.0.2.1","time_flow_start_ns":{start},"time_flow_end_ns":{received},"bytes":{bytes},"packets":{packets},"src_addr":"{from}","dst_addr":"{to}","etype":"IPv4","proto":"{protocol}","src_port":{from_port},"dst_port":{to_port},"in_if":1,"out_if":2,"src_vlan":10,"dst_vlan":0,"vlan_id":10,"ip_tos":0,"tcp_flags":{flags},"icmp_type":0,"icmp_code":0}}"#
        );
        lines.extend_from_slice(text.as_bytes());
        lines.push(b'\n');
    }
}

/// The IP flows among `flows` as another tool would have logged them.
pub fn rewritten(flows: &[Flow], head: &str, line: fn(&Flow) -> String) -> Lines {
    let mut lines = head.as_bytes().to_vec();
    let is_ip = |flow: &&Flow| flow.source.ip.is_some() && flow.destination.ip.is_some();
    for flow in flows.iter().filter(is_ip) {
        lines.extend_from_slice(line(flow).as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// The head of a Zeek `conn.log`.
pub const ZEEK_HEAD: &str = "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\ttunnel_parents\n";
/// The head of an Argus binetflow.
pub const ARGUS_HEAD: &str = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts\n";

struct Common {
    from: String,
    from_port: u16,
    to: String,
    to_port: u16,
    protocol: &'static str,
    seconds: f64,
}

fn common(flow: &Flow) -> Common {
    let address = |ip: Option<std::net::IpAddr>| ip.map_or_else(String::new, |ip| ip.to_string());
    let protocol = flow.protocol.and_then(|protocol| protocol.name()).unwrap_or("udp");
    Common {
        from: address(flow.source.ip),
        from_port: flow.source.port.unwrap_or(0),
        to: address(flow.destination.ip),
        to_port: flow.destination.port.unwrap_or(0),
        protocol: if protocol.starts_with("ipv6-icmp") { "icmp" } else { protocol },
        seconds: flow.end.seconds_since(flow.start),
    }
}

fn clock(time: Timestamp) -> String {
    time.to_string().trim_end_matches('Z').replace('T', " ")
}

/// A row of a Zeek `conn.log`.
pub fn zeek(flow: &Flow) -> String {
    let Common { from, from_port, to, to_port, protocol, seconds } = common(flow);
    let start = flow.start.nanos() as f64 / 1e9;
    let (bytes, packets) = (flow.sent.bytes, flow.sent.packets);
    format!(
        "{start:.6}\tC1a2b3\t{from}\t{from_port}\t{to}\t{to_port}\t{protocol}\t-\t{seconds:.6}\t{bytes}\t{bytes}\tSF\tT\tF\t0\tShADadFf\t{packets}\t{bytes}\t{packets}\t{bytes}\t(empty)"
    )
}

/// A record of a Zeek `conn.log` in JSON.
pub fn zeek_json(flow: &Flow) -> String {
    let Common { from, from_port, to, to_port, protocol, seconds } = common(flow);
    let start = flow.start.nanos() as f64 / 1e9;
    let (bytes, packets) = (flow.sent.bytes, flow.sent.packets);
    format!(
        r#"{{"ts":{start:.6},"uid":"C1a2b3","id.orig_h":"{from}","id.orig_p":{from_port},"id.resp_h":"{to}","id.resp_p":{to_port},"proto":"{protocol}","duration":{seconds:.6},"orig_bytes":{bytes},"resp_bytes":{bytes},"conn_state":"SF","missed_bytes":0,"history":"ShADadFf","orig_pkts":{packets},"orig_ip_bytes":{bytes},"resp_pkts":{packets},"resp_ip_bytes":{bytes}}}"#
    )
}

/// A row of an Argus binetflow.
pub fn argus(flow: &Flow) -> String {
    let Common { from, from_port, to, to_port, protocol, seconds } = common(flow);
    let (bytes, packets) = (flow.sent.bytes, flow.sent.packets);
    let start = clock(flow.start).replace('-', "/");
    let (all_packets, all_bytes) = (packets * 2, bytes * 2);
    format!(
        "{start},{seconds:.6},{protocol},{from},{from_port},  <->,{to},{to_port},FSPA_FSPA,0,0,{all_packets},{all_bytes},{bytes},{packets}"
    )
}

/// A row of the nine-column table.
pub fn table(flow: &Flow) -> String {
    let Common { from, from_port, to, to_port, protocol, .. } = common(flow);
    let start: String = clock(flow.start).chars().take(19).collect();
    let state = if flow.outcome == Outcome::Refused { "reset" } else { "closed" };
    let bytes = flow.sent.bytes;
    format!("{start},{protocol},{state},{from},{from_port},{to},{to_port},{bytes},{bytes}")
}

/// An ECS document.
pub fn ecs(flow: &Flow) -> String {
    ecs::flow_document(flow, "id").to_string()
}
