//! The program on captures: as a file, as a stream, and as the configured input of a worker.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flowsentry::testkit::capture::{ETHERNET, packet, pcap};

/// A scan of 400 ports within 40 s beside ordinary exchanges over ten minutes.
fn scan() -> Vec<u8> {
    let mut frames = Vec::new();
    for number in 0..400_u16 {
        let at = 200_000 + u64::from(number) * 100;
        frames.push(
            packet().flags(2).at_millis(at).from("10.0.0.66", 40_000).to("10.0.0.2", 1 + number),
        );
    }
    for number in 0..600_u16 {
        let ask = packet().udp().payload(30).from("10.0.0.5", 20_000 + number).to("10.0.0.2", 53);
        let at = u64::from(number) * 1_000;
        frames.push(ask.clone().at_millis(at));
        frames.push(ask.back().payload(90).at_millis(at + 20));
    }
    let mut frames: Vec<_> = frames.iter().map(|packet| packet.ethernet()).collect();
    frames.sort_by_key(|frame| frame.nanos);
    pcap(ETHERNET, &frames)
}

/// Runs the program and returns what it printed and told.
fn flowsentry(folder: &Path, arguments: &[&str], input: Option<&[u8]>) -> (String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowsentry"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.unwrap_or_default()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    (String::from_utf8(output.stdout).unwrap(), told)
}

/// Silent probes are ended five minutes of the capture after their time: a stream must not take them
/// for late.
#[test]
fn a_stream_of_packets_finds_what_the_file_finds() {
    let folder = tempfile::tempdir().unwrap();
    let file = scan();
    std::fs::write(folder.path().join("scan.pcap"), &file).unwrap();
    let (of_file, _) = flowsentry(folder.path(), &["score", "scan.pcap"], None);
    let (of_stream, told) = flowsentry(folder.path(), &["score", "-"], Some(&file));
    assert!(of_file.contains("port_scan_vertical"), "{of_file}");
    assert_eq!(of_stream, of_file);
    assert!(told.starts_with("Scored 1,000 flows of 1,601 records"), "{told}");
    assert!(!told.contains("late") && !told.contains("rejected"), "{told}");
}

#[test]
fn a_worker_reads_captures_among_its_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scan.pcap"), scan()).unwrap();
    let arguments = ["run", "--once", "-E", "input.files.paths=[scan.pcap]"];
    let (_, told) = flowsentry(folder.path(), &arguments, None);
    assert!(told.contains("flows=1000"), "{told}");
}
