//! Who takes part in an episode.

use std::net::IpAddr;

use super::super::contact::Node;
use super::super::network::{Network, Workstation, outside_ipv4};
use super::super::random::Dice;
use super::{HOSTILE, Span, listed_addresses};

/// Hands out attackers and victims, as far as possible each only once.
pub(super) struct Cast<'a> {
    pub(super) network: &'a Network,
    pub(super) dice: Dice,
    /// Unsampled IPv4 desks in random order, those that were used go to the end.
    inside: Vec<Workstation>,
    next_server: usize,
    listed: Vec<IpAddr>,
    next_listed: usize,
    vigour: Vigour,
}

/// How much of each kind's range is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Vigour {
    /// All of it.
    Usual,
    /// The lowest counts and lengths, so that a run of few records has room for every kind.
    Least,
}

impl Vigour {
    fn between(self, dice: &mut Dice, low: u64, high: u64) -> u64 {
        let drawn = dice.between(low, high);
        match self {
            Self::Usual => drawn,
            Self::Least => low,
        }
    }
}

impl<'a> Cast<'a> {
    pub(super) fn new(seed: u64, network: &'a Network, vigour: Vigour) -> Self {
        let mut dice = Dice::new(seed, 10);
        let mut inside = network.core_desks();
        dice.shuffle(&mut inside);
        let listed = listed_addresses(seed);
        Self { network, dice, inside, next_server: 0, listed, next_listed: 0, vigour }
    }

    /// Who was not used yet goes on with dice of their own: what was drawn before stays.
    pub(super) fn for_later_kinds(&mut self, seed: u64) {
        self.dice = Dice::new(seed, 11);
    }

    /// A desk that is on during the span; failing that, one that is on at its start; else any.
    pub(super) fn insider(&mut self, span: Span) -> Node {
        let is_on = |desk: &Workstation| desk.is_on(span.start);
        let stays = |desk: &Workstation| is_on(desk) && desk.is_on(span.end);
        let index = self.inside.iter().position(stays);
        let index = index.or_else(|| self.inside.iter().position(is_on)).unwrap_or(0);
        let desk = self.inside.remove(index);
        self.inside.push(desk);
        desk.node
    }

    /// A desk that is never off.
    pub(super) fn night_owl(&mut self) -> Node {
        let index = self.inside.iter().position(|desk| desk.stays_on).unwrap_or(0);
        let desk = self.inside.remove(index);
        self.inside.push(desk);
        desk.node
    }

    /// A server that only its makers reach from outside, with their port; in turn. Those that
    /// reflectors use are left out: they answer too many.
    pub(super) fn quiet_server(&mut self) -> (Node, u16) {
        let reflectors = self.network.reflectors();
        let is_quiet = |(node, _): &&(Node, u16)| reflectors.iter().all(|dual| dual.v4() != *node);
        let servers: Vec<_> = self.network.looked_after().iter().filter(is_quiet).collect();
        self.next_server += 1;
        *servers[self.next_server % servers.len()]
    }

    /// A number of things to send.
    pub(super) fn amount(&mut self, low: u64, high: u64) -> u64 {
        self.vigour.between(&mut self.dice, low, high)
    }

    pub(super) fn outsider(&mut self) -> Node {
        Node::outside(outside_ipv4(HOSTILE, self.dice.word()))
    }

    pub(super) fn listed(&mut self) -> Node {
        self.next_listed += 1;
        Node::outside(self.listed[(self.next_listed - 1) % self.listed.len()])
    }
}
