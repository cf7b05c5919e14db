//! Runs of jobs happen once over all workers: three workers share one store, and their clocks are
//! told what time it is.
//!
//! Every case runs on the embedded store, and on the servers that `FLOWSENTRY_TEST_ELASTICSEARCH`
//! and `FLOWSENTRY_TEST_OPENSEARCH` name.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "jobs/election.rs"]
mod election;
#[path = "jobs/lost_answers.rs"]
mod lost_answers;
#[path = "jobs/runs.rs"]
mod runs;
#[allow(dead_code, reason = "the contract fills its stores, runs do not")]
#[path = "store_contract/sites.rs"]
mod sites;

/// Makes one test per case of a store.
macro_rules! cases {
    ($store:ident: $($file:ident::$case:ident),* $(,)?) => {
        mod $store {$(
            #[test]
            fn $case() {
                let Some(site) = super::sites::$store(stringify!($case)) else { return };
                super::$file::$case(&site);
            }
        )*}
    };
}

/// Makes all tests of each store.
macro_rules! stores {
    ($($store:ident),* $(,)?) => {$(
        cases!($store:
            election::one_of_many_that_claim_at_once_wins,
            election::a_dead_holder_is_taken_over_after_its_lease_and_not_before,
            election::a_holder_that_renews_is_not_taken_over,
            election::a_stale_holder_cannot_end_the_run_of_another,
            election::a_late_end_counts_when_nobody_has_taken_over,
            election::a_failing_run_is_tried_again_and_then_given_up,
            election::a_run_that_kills_every_holder_is_given_up,
            election::the_first_start_is_the_first_one_that_was_written,
            election::a_document_of_somebody_else_is_named,
            runs::fifty_due_runs_happen_once_each_in_order,
            runs::workers_that_die_leave_nothing_undone,
            runs::missed_runs_are_made_up_for_oldest_first,
            runs::nothing_runs_before_the_first_start,
            runs::a_failing_run_holds_back_no_other,
            runs::a_changed_schedule_repeats_no_report,
            runs::a_run_that_cannot_be_read_holds_back_no_other,
            lost_answers::a_worker_goes_on_with_what_got_no_answer,
        );
    )*};
}

stores!(embedded, elasticsearch, opensearch);
