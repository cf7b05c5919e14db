//! The two file formats in all their forms, kinds of links, and what cannot be used of them.

use flowsentry::formats::RejectReason;
use flowsentry::model::Timestamp;
use flowsentry::sources::Place;
use flowsentry::testkit::capture::{
    ETHERNET, Frame, PacketBuilder, PcapForm, PcapNgBuilder, packet, pcap,
};

use super::{lines, read};

/// Two packets of a UDP exchange, the first one at 1.25 s.
fn exchange() -> [PacketBuilder; 2] {
    let ask = packet().udp().to("10.0.0.2", 53).payload(30).at_millis(1_250);
    [ask.clone(), ask.back().at_millis(1_500)]
}

fn frames() -> Vec<Frame> {
    exchange().iter().map(PacketBuilder::ethernet).collect()
}

const EXPECTED: [&str; 1] = ["udp 10.0.0.1:50000 > 10.0.0.2:53 1/58 1/58 closed Exchanged"];

#[test]
fn every_form_of_pcap_and_pcapng_gives_the_same_flow() {
    let mut files = Vec::new();
    for big_endian in [false, true] {
        for nanos in [false, true] {
            files.push(pcap(PcapForm { big_endian, nanos, link: 1 }, &frames()));
        }
    }
    // Microseconds, nanoseconds, 2^-20 s and milliseconds, among blocks that say other things.
    for (option, ticks) in
        [(None, 1_000_000), (Some(9), 1_000_000_000), (Some(0x94), 1 << 20), (Some(3), 1_000)]
    {
        let mut file = PcapNgBuilder::new().interface(113, None).interface(1, option);
        for frame in &frames() {
            file = file.block(4, &[0; 8]).packet(1, ticks, frame).block(0xbad, &[1, 2, 3, 4]);
        }
        files.push(file.build());
    }
    for file in files {
        let reading = read(file);
        assert_eq!(lines(&reading.flows()), EXPECTED);
        let flow = &reading.located[0].flow;
        assert_eq!(flow.start, Timestamp::from_nanos(1_250_000_000));
        assert_eq!(flow.end, Timestamp::from_nanos(1_500_000_000));
        assert_eq!((reading.reasons(), reading.problem), (vec![], None));
    }
}

#[test]
fn sections_of_one_file_have_interfaces_of_their_own() {
    let [ask, answer] = frames().try_into().unwrap();
    let mut file = PcapNgBuilder::new().interface(1, None).packet(0, 1_000_000, &ask).build();
    let second = PcapNgBuilder::new().interface(1, Some(9)).packet(0, 1_000_000_000, &answer);
    file.extend(second.build());
    assert_eq!(lines(&read(file).flows()), EXPECTED);
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, plain).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn compressed_captures_are_read() {
    let plain = pcap(ETHERNET, &frames());
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(&plain[..], level);
    for file in [gzip(&plain), zstd] {
        assert_eq!(lines(&read(file).flows()), EXPECTED);
    }
}

#[test]
fn every_kind_of_link_gives_the_same_flow() {
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..]].concat();
    let mut cooked_2 = vec![8, 0, 0, 0];
    cooked_2.extend([0; 16]);
    let links: [(u32, Vec<u8>); 8] = [
        (0, vec![2, 0, 0, 0]),
        (0, vec![0, 0, 0, 2]),
        (108, vec![0, 0, 0, 2]),
        (101, vec![]),
        (228, vec![]),
        (12, vec![]),
        (113, cooked),
        (276, cooked_2),
    ];
    for (link, header) in links {
        let frames: Vec<_> = exchange().iter().map(|packet| packet.behind(&header)).collect();
        let file = pcap(PcapForm { link, ..ETHERNET }, &frames);
        assert_eq!(lines(&read(file).flows()), EXPECTED, "link {link}");
    }
    let six = exchange()[0].clone().from("2001:db8::1", 50_000).to("2001:db8::2", 53);
    let file = pcap(PcapForm { link: 0, ..ETHERNET }, &[six.behind(&[30, 0, 0, 0])]);
    assert_eq!(read(file).flows()[0].sent.bytes, 40 + 8 + 30);
    // PPP over Ethernet behind a tag.
    let mut header = vec![0; 12];
    header.extend([0x81, 0, 0, 9, 0x88, 0x64, 0x11, 0, 0, 1, 0, 60, 0, 0x21]);
    let frames: Vec<_> = exchange().iter().map(|packet| packet.behind(&header)).collect();
    let flows = read(pcap(ETHERNET, &frames)).flows();
    assert_eq!((lines(&flows), flows[0].vlan), (EXPECTED.map(str::to_owned).to_vec(), Some(9)));
}

#[test]
fn lengths_are_those_of_the_headers() {
    let packet = packet().flags(0x02).payload(500);
    let whole = packet.ethernet();
    let mut padded = whole.clone();
    padded.bytes.extend([0; 10]);
    padded.wire_bytes += 10;
    for frame in [whole.clone(), padded, whole.clone().cut(54), whole.clone().cut(96)] {
        let reading = read(pcap(ETHERNET, &[frame]));
        assert_eq!(
            lines(&reading.flows()),
            ["tcp 10.0.0.1:50000 > 10.0.0.2:80 1/540 0/0 flags 0x2 new Unanswered"]
        );
    }
    // Ports, but no flags.
    let reading = read(pcap(ETHERNET, &[whole.clone().cut(40)]));
    assert_eq!(lines(&reading.flows()), ["tcp 10.0.0.1:50000 > 10.0.0.2:80 1/540 0/0 - Unknown"]);
    // The card was to fill in the length.
    let mut offloaded = whole;
    offloaded.bytes[16..18].fill(0);
    assert_eq!(read(pcap(ETHERNET, &[offloaded])).flows()[0].sent.bytes, 540);
}

#[test]
fn what_is_no_ip_is_counted_and_what_is_broken_is_kept() {
    let [ask, answer] = frames().try_into().unwrap();
    let mut arp = ask.clone();
    arp.bytes[12..14].copy_from_slice(&[0x08, 0x06]);
    let short_header = Frame { bytes: ask.bytes[..20].to_vec(), ..ask.clone() };
    let mut bad_version = ask.clone();
    bad_version.bytes[14] = 0x95;
    let file = pcap(ETHERNET, &[ask, arp, short_header, bad_version, answer]);
    let reading = read(file.clone());
    assert_eq!(lines(&reading.flows()), EXPECTED);
    assert_eq!((reading.records, reading.notes.not_ip), (6, 1));
    assert_eq!(reading.reasons(), ["bad_packet", "bad_packet"]);
    // The first record stands behind the header of the file, and each takes 16 + 72 bytes.
    assert_eq!(reading.located[0].place, Place { offset: 24, line: 2 });
    let rejected = &reading.rejected[0];
    assert_eq!(rejected.place, Place { offset: 24 + 2 * 88, line: 4 });
    assert_eq!(rejected.record, file[200..236]);
    assert_eq!(rejected.length, 36);
}

#[test]
fn a_capture_that_breaks_off_gives_what_was_read() {
    let file = pcap(ETHERNET, &frames());
    for length in [24 + 88 + 5, file.len() - 1] {
        let reading = read(file[..length].to_vec());
        assert_eq!(reading.flows().len(), 1);
        assert_eq!(reading.flows()[0].returned.unwrap().packets, 0);
        assert_eq!(reading.reasons(), ["bad_capture"]);
        assert_eq!(reading.rejected[0].place.offset, 24 + 88);
    }
    let reading = read(file[..20].to_vec());
    assert_eq!((reading.flows().len(), reading.reasons()), (0, vec!["bad_capture"]));
    assert_eq!(read(file[..24].to_vec()).records, 1);
    // The same within a compressed file is an error, behind the flows.
    let noise: Vec<_> = (0..20_000_u64)
        .map(|number| {
            let port = 1_024 + (number * 7_919 % 50_000) as u16;
            packet().udp().from("10.0.0.1", port).at_millis(number).ethernet()
        })
        .collect();
    let file = gzip(&pcap(ETHERNET, &noise));
    let reading = read(file[..file.len() * 9 / 10].to_vec());
    assert!(reading.problem.unwrap().starts_with("cannot read on in `made` after line "));
    assert_eq!(reading.located.len() as u64 + 1, reading.records);
}

#[test]
fn unusable_records_lose_no_neighbour() {
    let [ask, answer] = frames().try_into().unwrap();
    let start = || PcapNgBuilder::new().interface(1, None).packet(0, 1_000_000, &ask);
    let mut simple = 40_u32.to_le_bytes().to_vec();
    simple.extend([0; 40]);
    let mut other_length = PcapNgBuilder::default().block(6, &[0; 40]).build();
    let end = other_length.len() - 4;
    other_length[end] ^= 4;
    let cases = [
        (start().packet(9, 1, &answer), RejectReason::BadCapture),
        (start().block(6, &[0; 12]), RejectReason::BadCapture),
        (start().block(3, &simple), RejectReason::BadTime),
        (start().block(6, &vec![0; 2 << 20]), RejectReason::TooLong),
        (start().interface(147, None).packet(1, 1, &answer), RejectReason::UnknownLink),
    ];
    for (file, reason) in cases {
        let reading = read(file.packet(0, 1_000_000, &answer).build());
        assert_eq!(reading.reasons(), [reason.name()]);
        assert_eq!(lines(&reading.flows()), EXPECTED, "{reason}");
    }
    let mut file = start().build();
    file.extend(other_length);
    file.extend(&PcapNgBuilder::default().packet(0, 1_000_000, &answer).build());
    let reading = read(file);
    assert_eq!(
        (lines(&reading.flows()), reading.reasons()),
        (EXPECTED.map(str::to_owned).to_vec(), vec!["bad_capture"])
    );
    // Nothing can be found behind a length that is none.
    let mut file = start().build();
    file.extend([6, 0, 0, 0, 7, 0, 0, 0, 1, 2, 3, 4]);
    file.extend(&PcapNgBuilder::default().packet(0, 1_000_000, &answer).build());
    let reading = read(file);
    assert_eq!((reading.flows().len(), reading.reasons()), (1, vec!["bad_capture"]));
}

#[test]
fn a_record_that_says_gigabytes_fills_no_memory() {
    let mut file = pcap(ETHERNET, &frames());
    let place = file.len() as u64;
    file.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    file.extend([0; 100]);
    let reading = read(file);
    assert_eq!(lines(&reading.flows()), EXPECTED);
    assert_eq!((reading.reasons(), reading.rejected[0].place.offset), (vec!["too_long"], place));
}

#[test]
fn a_capture_is_not_followed_nor_sent_on() {
    use flowsentry::sources::{FileSource, Opening, for_each_record};
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pcap(ETHERNET, &frames())).unwrap();
    let mut source = FileSource::open(file.path(), &Opening::default()).unwrap();
    assert_eq!(source.format(), "pcap");
    let error = source.next_batch(true).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "is a packet capture, which is not read while it grows (leave out `follow`)"
        ),
        "{error}"
    );
    let sent = for_each_record(file.path(), |_| std::ops::ControlFlow::Continue(()));
    let error = sent.unwrap_err().to_string();
    assert!(error.ends_with("is a packet capture, which holds no records to send on"), "{error}");
}

#[test]
fn what_is_no_capture_is_told_so() {
    let reading = read(b"\xa1\xb2\xc3\xd5 no capture".to_vec());
    assert!(reading.problem.unwrap().ends_with(", table, pcap, pcapng)"));
    // A section header with a byte order that is none.
    let reading = read(vec![0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
    assert!(reading.problem.is_some());
}
