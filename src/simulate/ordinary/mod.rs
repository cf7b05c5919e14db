//! Ordinary traffic: everything that a detector must not cry wolf about.
//!
//! Two parts: what grows with `flows_per_hour` (people and the services they use: `people`,
//! `services`), a table of activities, each with its share of the records and its rhythm; and what
//! follows the clock whatever the load (`machines`: polls, time, cameras, backups, updates, noise).

mod machines;
mod people;
mod services;

use super::clock::{Rhythm, SECOND, level};
use super::contact::Contact;
use super::export::Outbox;
use super::network::Network;
use super::random::Dice;

/// One kind of event that happens at random moments.
struct Activity {
    /// Named by the test of the table.
    #[cfg_attr(not(test), expect(dead_code, reason = "named by the test of the table"))]
    name: &'static str,
    rhythm: Rhythm,
    /// Part of the records that are not `machines`; all shares together are 1.
    share: f64,
    /// Mean records of one event, measured; a test keeps it true.
    records: f64,
    happen: fn(&mut Scene<'_>),
}

macro_rules! activity {
    ($module:ident :: $name:ident, $rhythm:ident, $share:literal, $records:literal) => {
        Activity {
            name: stringify!($name),
            rhythm: Rhythm::$rhythm,
            share: $share,
            records: $records,
            happen: $module::$name,
        }
    };
}

const ACTIVITIES: [Activity; 13] = [
    activity!(people::open_page, Office, 0.44, 12.6),
    activity!(people::chatter, Machine, 0.10, 4.8),
    activity!(people::read_mail, Office, 0.03, 1.78),
    activity!(people::use_files, Office, 0.05, 2.85),
    activity!(people::log_in, Office, 0.05, 3.63),
    activity!(people::develop, Office, 0.02, 4.86),
    activity!(people::call, Office, 0.015, 20.9),
    activity!(people::print, Office, 0.005, 1.48),
    activity!(services::answer_visitor, Public, 0.13, 4.13),
    activity!(services::exchange_mail, Public, 0.03, 5.24),
    activity!(services::query_database, Machine, 0.07, 2.0),
    activity!(services::look_up_name, Machine, 0.04, 3.26),
    activity!(services::write_log, Machine, 0.02, 1.5),
];

/// Mean records per hour of `machines` over a working day, measured: what servers and devices do,
/// and what each desk adds. A test keeps it true.
const MACHINE_RECORDS: (f64, f64) = (9_200.0, 5.39);

/// Where an event happens.
pub(super) struct Scene<'a> {
    network: &'a Network,
    dice: &'a mut Dice,
    outbox: &'a mut Outbox,
    /// The second being simulated.
    second: i64,
    /// The moment of the event, in nanoseconds.
    at: i64,
}

impl Scene<'_> {
    fn send(&mut self, contact: Contact) {
        self.outbox.send(contact, self.dice);
    }

    /// A moment up to `seconds` later.
    fn later(&mut self, seconds: f64) -> i64 {
        self.at + self.dice.below((seconds * SECOND as f64) as u64) as i64
    }
}

/// The source of ordinary traffic.
#[derive(Clone, Debug)]
pub(super) struct Ordinary {
    dice: Dice,
    machine_dice: Dice,
    visit_dice: Dice,
    machines: machines::Schedule,
    /// Records per hour of all activities together at level 1.
    budget: f64,
    /// Records per hour of the machines.
    machine_records: f64,
}

/// Mean records per hour of the machines of `network`.
fn machine_records(network: &Network) -> f64 {
    MACHINE_RECORDS.0 + MACHINE_RECORDS.1 * network.workstations.len() as f64
}

impl Ordinary {
    pub(super) fn new(seed: u64, network: &Network, flows_per_hour: f64) -> Self {
        let machine_records = machine_records(network);
        Self {
            dice: Dice::new(seed, 2),
            machine_dice: Dice::new(seed, 3),
            visit_dice: Dice::new(seed, 7),
            machines: machines::Schedule::new(seed, network),
            budget: (flows_per_hour - machine_records).max(0.0),
            machine_records,
        }
    }

    /// Sends everything that begins in `second`.
    pub(super) fn happen(&mut self, network: &Network, second: i64, outbox: &mut Outbox) {
        let dice = &mut self.machine_dice;
        let mut scene = Scene { network, dice, outbox, second, at: second * SECOND };
        self.machines.run(&mut scene);
        let dice = &mut self.visit_dice;
        machines::look_after(&mut Scene { network, dice, outbox, second, at: second * SECOND });
        for activity in &ACTIVITIES {
            let mean = self.events_per_second(activity, second);
            for _ in 0..self.dice.count(mean) {
                let at = second * SECOND + self.dice.below(SECOND as u64) as i64;
                let dice = &mut self.dice;
                (activity.happen)(&mut Scene { network, dice, outbox, second, at });
            }
        }
    }

    fn events_per_second(&self, activity: &Activity, second: i64) -> f64 {
        let per_hour = self.budget * activity.share / activity.records;
        per_hour * level(activity.rhythm, second) / 3600.0
    }

    /// Expected records of the minute that begins at `second`.
    pub(super) fn expected_per_minute(&self, second: i64) -> f64 {
        let levels: f64 = ACTIVITIES.iter().map(|a| a.share * level(a.rhythm, second)).sum();
        (self.budget * levels + self.machine_records) / 60.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02T10:00:00Z, a Monday.
    const MORNING: i64 = 1_772_445_600;

    fn drain(outbox: &mut Outbox, seconds: i64) -> usize {
        let mut dice = [0, 1, 2].map(|stream| Dice::new(8, stream));
        let mut records = 0;
        for _ in 0..seconds {
            outbox.continue_open(&mut dice);
            records += outbox.take_second().len();
        }
        records
    }

    #[test]
    fn the_shares_are_the_whole() {
        let sum: f64 = ACTIVITIES.iter().map(|activity| activity.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn an_event_gives_the_stated_number_of_records() {
        let network = Network::new(1, 450);
        let mut wrong = Vec::new();
        for activity in &ACTIVITIES {
            let (mut outbox, mut dice) = (Outbox::new(MORNING), Dice::new(5, 0));
            let events = 100_000;
            for event in 0..events {
                let at = MORNING * SECOND + event * 1000;
                let (dice, outbox) = (&mut dice, &mut outbox);
                let mut scene = Scene { network: &network, dice, outbox, second: MORNING, at };
                (activity.happen)(&mut scene);
            }
            let mean = drain(&mut outbox, 20_000) as f64 / events as f64;
            if (mean / activity.records - 1.0).abs() > 0.03 {
                wrong.push(format!("{} gives {mean:.2} records", activity.name));
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    fn machine_records_of_a_day(network: &Network) -> f64 {
        let mut schedule = machines::Schedule::new(1, network);
        let midnight = MORNING - 36_000;
        let (mut outbox, mut dice) = (Outbox::new(midnight), Dice::new(5, 0));
        let mut records = 0;
        for second in midnight..midnight + 86_400 {
            let (dice, outbox) = (&mut dice, &mut outbox);
            let at = second * SECOND;
            schedule.run(&mut Scene { network, dice, outbox, second, at });
            records += drain(outbox, 1);
        }
        records as f64 / 24.0
    }

    #[test]
    fn machines_give_the_stated_number_of_records() {
        for hosts in [450, 4_500] {
            let network = Network::new(1, hosts);
            let (measured, stated) =
                (machine_records_of_a_day(&network), machine_records(&network));
            let error = (measured / stated - 1.0).abs();
            assert!(error < 0.05, "{hosts} hosts: {measured:.0} records per hour");
        }
    }
}
