//! IP headers: who sends to whom, and how long the packet really was.

use std::net::IpAddr;

use etherparse::{Ipv6ExtensionSlice, LaxIpSlice};

use super::Fault;
use crate::model::{NetworkType, Protocol};

/// An IP header and what was kept of the rest.
#[derive(Debug)]
pub(super) struct Ip<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: Protocol,
    /// Bytes of the whole packet by its header.
    pub(super) bytes: u64,
    /// Bytes behind the headers, extension headers included.
    pub(super) payload_bytes: u64,
    /// What was kept of the payload.
    pub(super) payload: &'a [u8],
    pub(super) fragment: Option<Fragment>,
}

/// The part of a datagram that a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// The same for all parts of a datagram between two hosts.
    pub(super) datagram: u32,
    /// Whether it is the first part, which alone has the ports.
    pub(super) is_first: bool,
}

impl<'a> Ip<'a> {
    /// Reads the headers at the beginning of `bytes`. Where they do not say how long the packet is
    /// (the network card was to fill it in, or it is a jumbogram), it was `on_wire` bytes.
    pub(super) fn read(bytes: &'a [u8], on_wire: u64) -> Result<Self, Fault> {
        let (slice, stopped) =
            LaxIpSlice::from_slice(bytes).map_err(|error| Fault::packet(error.to_string()))?;
        if let Some((error, _)) = stopped {
            return Err(Fault::packet(error.to_string()));
        }
        let (declared, headers, fragment, protocol) = match &slice {
            LaxIpSlice::Ipv4(ip) => {
                let header = ip.header();
                let authentication = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
                let fragment = ip.is_payload_fragmented().then(|| Fragment {
                    datagram: u32::from(header.identification()),
                    is_first: header.fragments_offset().value() == 0,
                });
                let headers = header.slice().len() + authentication;
                let total = usize::from(header.total_len());
                (Some(total).filter(|&total| total >= headers), headers, fragment, None)
            }
            LaxIpSlice::Ipv6(ip) => {
                let header = ip.header();
                let headers = header.slice().len() + ip.extensions().slice().len();
                let payload = Some(usize::from(header.payload_length())).filter(|&bytes| bytes > 0);
                let total = payload.map(|bytes| header.slice().len() + bytes);
                let (fragment, protocol) = ipv6_fragment(ip.extensions().clone()).unzip();
                (total.filter(|&total| total >= headers), headers, fragment, protocol)
            }
        };
        let bytes = declared.map_or(on_wire, |declared| declared as u64);
        Ok(Self {
            source: slice.source_addr(),
            destination: slice.destination_addr(),
            protocol: Protocol(protocol.unwrap_or(slice.payload_ip_number().0)),
            bytes,
            payload_bytes: bytes.saturating_sub(headers as u64),
            payload: slice.payload().payload,
            fragment,
        })
    }

    pub(super) fn is_first_part(&self) -> bool {
        self.fragment.is_none_or(|fragment| fragment.is_first)
    }
}

/// The address family.
pub(super) fn network_of(address: IpAddr) -> NetworkType {
    if address.is_ipv4() { NetworkType::Ipv4 } else { NetworkType::Ipv6 }
}

/// The part of a datagram and its protocol. Behind the header of a later part stand bytes of the
/// middle of the datagram, which are no headers.
fn ipv6_fragment(extensions: etherparse::Ipv6ExtensionsSlice<'_>) -> Option<(Fragment, u8)> {
    extensions.into_iter().find_map(|extension| match extension {
        Ipv6ExtensionSlice::Fragment(header) if header.is_fragmenting_payload() => {
            let is_first = header.fragment_offset().value() == 0;
            let fragment = Fragment { datagram: header.identification(), is_first };
            Some((fragment, header.next_header().0))
        }
        _ => None,
    })
}
