//! Packets and capture files, made byte by byte.

use std::net::IpAddr;

use super::ip;

/// One packet of a capture under construction: a frame, when it was seen, and how long it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since the epoch.
    pub nanos: u64,
    /// What is kept of it.
    pub bytes: Vec<u8>,
    /// Its length on the wire.
    pub wire_bytes: u32,
}

/// An IP packet under construction: TCP from 10.0.0.1:50000 to 10.0.0.2:80, without payload.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    nanos: u64,
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    protocol: u8,
    flags: u16,
    sequence: u32,
    payload: Vec<u8>,
    /// Offset in bytes, whether more follow, identification.
    fragment: Option<(u16, bool, u32)>,
    vlans: Vec<u16>,
    is_bare: bool,
}

/// Returns a builder with ordinary values.
pub fn packet() -> PacketBuilder {
    PacketBuilder {
        nanos: 0,
        source: ip("10.0.0.1"),
        destination: ip("10.0.0.2"),
        ports: (50_000, 80),
        protocol: 6,
        flags: 0x10,
        sequence: 1,
        payload: Vec::new(),
        fragment: None,
        vlans: Vec::new(),
        is_bare: false,
    }
}

impl PacketBuilder {
    /// Sets the time in milliseconds since the epoch.
    pub fn at_millis(mut self, millis: u64) -> Self {
        self.nanos = millis * 1_000_000;
        self
    }

    /// Sets the sender.
    pub fn from(mut self, address: &str, port: u16) -> Self {
        (self.source, self.ports.0) = (ip(address), port);
        self
    }

    /// Sets the receiver.
    pub fn to(mut self, address: &str, port: u16) -> Self {
        (self.destination, self.ports.1) = (ip(address), port);
        self
    }

    /// Exchanges sender and receiver.
    pub fn back(mut self) -> Self {
        (self.source, self.destination) = (self.destination, self.source);
        self.ports = (self.ports.1, self.ports.0);
        self
    }

    /// Sets the TCP flags.
    pub fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the TCP sequence number.
    pub fn sequence(mut self, sequence: u32) -> Self {
        self.sequence = sequence;
        self
    }

    /// Makes it UDP.
    pub fn udp(self) -> Self {
        self.protocol(17)
    }

    /// Makes it another protocol, without a header of its own.
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self
    }

    /// Makes it an ICMP message with an identifier; the payload follows its eight bytes.
    pub fn icmp(mut self, kind: u8, code: u8, identifier: u16) -> Self {
        self.protocol = if self.source.is_ipv4() { 1 } else { 58 };
        self.is_bare = true;
        let mut message = vec![kind, code, 0, 0];
        message.extend(identifier.to_be_bytes());
        message.extend([0, 1]);
        self.payload = message;
        self
    }

    /// Adds so many bytes of payload.
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload.resize(self.payload.len() + bytes, 0x61);
        self
    }

    /// Adds these bytes of payload.
    pub fn quoting(mut self, bytes: &[u8]) -> Self {
        self.payload.extend_from_slice(bytes);
        self
    }

    /// Makes it a part of a datagram: its offset in bytes, whether more follow, the identification.
    /// A later part has no transport header.
    pub fn fragment(mut self, offset: u16, more: bool, identification: u32) -> Self {
        self.is_bare |= offset > 0;
        self.fragment = Some((offset, more, identification));
        self
    }

    /// Adds a VLAN tag inside of those that are there.
    pub fn vlan(mut self, vlan: u16) -> Self {
        self.vlans.push(vlan);
        self
    }

    /// The packet from its IP header on.
    pub fn ip(&self) -> Vec<u8> {
        let inside = self.transport();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (offset, more, identification) = self.fragment.unwrap_or_default();
                let mut header = vec![0x45, 0];
                header.extend(length(20 + inside.len()).to_be_bytes());
                header.extend((identification as u16).to_be_bytes());
                header.extend(((u16::from(more) << 13) | (offset / 8)).to_be_bytes());
                header.extend([64, self.protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                [header, inside].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut extension = Vec::new();
                if let Some((offset, more, identification)) = self.fragment {
                    extension.extend([self.protocol, 0]);
                    extension.extend(((offset & !7) | u16::from(more)).to_be_bytes());
                    extension.extend(identification.to_be_bytes());
                }
                let next = if self.fragment.is_some() { 44 } else { self.protocol };
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(length(extension.len() + inside.len()).to_be_bytes());
                header.extend([next, 64]);
                header.extend(source.octets());
                header.extend(destination.octets());
                [header, extension, inside].concat()
            }
            _ => panic!("both addresses of a packet are of one family"),
        }
    }

    /// The packet as an Ethernet frame, without padding.
    pub fn ethernet(&self) -> Frame {
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for vlan in &self.vlans {
            bytes.extend([0x81, 0x00]);
            bytes.extend(vlan.to_be_bytes());
        }
        bytes.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        bytes.extend(self.ip());
        self.frame(bytes)
    }

    /// The packet behind a header of another link.
    pub fn behind(&self, link_header: &[u8]) -> Frame {
        self.frame([link_header, &self.ip()].concat())
    }

    fn frame(&self, bytes: Vec<u8>) -> Frame {
        let wire_bytes = u32::try_from(bytes.len()).expect("a short packet");
        Frame { nanos: self.nanos, bytes, wire_bytes }
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.is_bare && matches!(self.protocol, 6 | 17) {
            bytes.extend(self.ports.0.to_be_bytes());
            bytes.extend(self.ports.1.to_be_bytes());
            if self.protocol == 6 {
                bytes.extend(self.sequence.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend((5 << 12 | self.flags).to_be_bytes());
                bytes.extend([0x20, 0, 0, 0, 0, 0]);
            } else {
                bytes.extend(length(8 + self.payload.len()).to_be_bytes());
                bytes.extend([0, 0]);
            }
        }
        bytes.extend(&self.payload);
        bytes
    }
}

impl Frame {
    /// Keeps only the first bytes; the length on the wire stays.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.bytes.truncate(bytes);
        self
    }
}

fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("a short packet")
}

/// How a pcap file is written.
#[derive(Clone, Copy, Debug)]
pub struct PcapForm {
    /// Whether numbers begin with their highest byte.
    pub big_endian: bool,
    /// Whether times have nanoseconds.
    pub nanos: bool,
    /// The kind of link.
    pub link: u32,
}

/// Ethernet on an ordinary machine.
pub const ETHERNET: PcapForm = PcapForm { big_endian: false, nanos: false, link: 1 };

/// Returns a pcap file.
pub fn pcap(form: PcapForm, frames: &[Frame]) -> Vec<u8> {
    let number = |number: u32| match form.big_endian {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    };
    let magic = if form.nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    // Version 2.4: two numbers of two bytes.
    let version = if form.big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut file =
        [number(magic), version, [0; 4], [0; 4], number(65_535), number(form.link)].concat();
    for frame in frames {
        let unit = if form.nanos { 1 } else { 1_000 };
        file.extend(number((frame.nanos / 1_000_000_000) as u32));
        file.extend(number((frame.nanos % 1_000_000_000 / unit) as u32));
        file.extend(number(frame.bytes.len() as u32));
        file.extend(number(frame.wire_bytes));
        file.extend(&frame.bytes);
    }
    file
}

/// A pcapng file under construction, little endian.
#[derive(Clone, Debug, Default)]
pub struct PcapNgBuilder {
    file: Vec<u8>,
}

impl PcapNgBuilder {
    /// Returns a file with a section header.
    pub fn new() -> Self {
        let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        body.extend([1, 0, 0, 0]);
        body.extend([0xff; 8]);
        Self::default().block(0x0a0d_0d0a, &body)
    }

    /// Adds an interface; a resolution other than microseconds is an option.
    pub fn interface(self, link: u16, resolution: Option<u8>) -> Self {
        let mut body = link.to_le_bytes().to_vec();
        body.extend([0, 0, 0, 0, 0, 0]);
        if let Some(resolution) = resolution {
            body.extend([9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0]);
        }
        self.block(1, &body)
    }

    /// Adds a packet of an interface whose clock ticks so often in a second.
    pub fn packet(self, interface: u32, ticks_per_second: u64, frame: &Frame) -> Self {
        let ticks = u128::from(frame.nanos) * u128::from(ticks_per_second) / 1_000_000_000;
        let ticks = ticks as u64;
        let mut body = interface.to_le_bytes().to_vec();
        body.extend(((ticks >> 32) as u32).to_le_bytes());
        body.extend((ticks as u32).to_le_bytes());
        body.extend((frame.bytes.len() as u32).to_le_bytes());
        body.extend(frame.wire_bytes.to_le_bytes());
        body.extend(&frame.bytes);
        self.block(6, &body)
    }

    /// Adds any block.
    pub fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padded = body.len().next_multiple_of(4);
        let length = (12 + padded as u32).to_le_bytes();
        self.file.extend(kind.to_le_bytes());
        self.file.extend(length);
        self.file.extend(body);
        self.file.resize(self.file.len() + padded - body.len(), 0);
        self.file.extend(length);
        self
    }

    /// The bytes of the file.
    pub fn build(self) -> Vec<u8> {
        self.file
    }
}
