//! What exporters numbered and never came.

use super::*;

impl Site {
    /// Adds what an exporter numbered in an hour, and what of it never came.
    fn numbered(&self, hour: i64, last: u8, unit: &str, (expected, lost): (f64, f64)) {
        let [all, gone] = match unit {
            "records" => ["expected_records", "lost_records"],
            _ => ["expected_datagrams", "lost_datagrams"],
        };
        let span = WindowSpan { start: nth(hour), seconds: 60, truncated: false };
        let subject = Subject::Exporter(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        let features = vec![(all, expected), ("flows", 1.0), (gone, lost)];
        let summary = WindowSummary { span, subject, features };
        let document = self.write(Family::Windows, span.start, summary.document());
        self.store().bulk(vec![document]).unwrap();
    }
}

#[test]
fn exporters_that_lose_more_than_the_limit_are_named_with_numbers() {
    let site = Site::new();
    site.hours([made(1200, 60); 8]);
    site.numbered(7, 11, "records", (10_000.0, 100.0));
    let finding = |site: &Site| site.check(nth(7)).finding("export_loss").unwrap().clone();
    let fine = finding(&site);
    assert_eq!(fine.status, HealthStatus::Ok);
    assert_eq!(fine.cause, "By their own count, exporters miss at most 1.0 % (192.0.2.11).");
    site.numbered(7, 12, "records", (10_000.0, 101.0));
    site.numbered(7, 13, "datagrams", (400.0, 50.0));
    // Too few to be worth a look.
    site.numbered(7, 14, "datagrams", (20.0, 9.0));
    let found = finding(&site);
    assert_eq!((found.status, found.since), (HealthStatus::Warn, Some(nth(7))));
    assert_eq!(
        found.cause,
        "2 of 4 exporters sent more than came: 192.0.2.12 (1.0 %, 101 of 10000 records), \
         192.0.2.13 (12.5 %, 50 of 400 datagrams)."
    );
    let mut patient = site;
    patient.settings.export_loss_share = 1.0;
    assert_eq!(finding(&patient).status, HealthStatus::Ok);
}

#[test]
fn datagrams_without_flows_are_no_loss_once_their_share_is_known() {
    let site = Site::new();
    site.hours([made(1200, 60); 8]);
    for hour in 0..8 {
        site.numbered(hour, 11, "datagrams", (1_000.0, 100.0));
        site.numbered(hour, 12, "records", (1_000.0, 100.0));
    }
    let named = |hour| {
        let report = site.check(nth(hour));
        let finding = report.finding("export_loss").unwrap();
        ["192.0.2.11", "192.0.2.12"].map(|ip| finding.cause.contains(&format!("{ip} (10.0 %")))
    };
    // What numbers records is exact: no share of them is usual.
    assert_eq!([named(2), named(3)], [[true, true], [false, true]]);
    site.numbered(8, 11, "datagrams", (1_000.0, 115.0));
    assert!(site.check(nth(8)).finding("export_loss").unwrap().cause.contains("115 of 1000"));
}

#[test]
fn who_numbers_nothing_is_not_asked() {
    let site = Site::new();
    site.hours([made(1200, 60); 8]);
    assert!(site.check(nth(7)).finding("export_loss").is_none());
}
