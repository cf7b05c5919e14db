//! The contract of `stores::Store`, written once for all stores.
//!
//! A store is added by one more [`contract!`] line. Every case works in a namespace of its own, so
//! that all cases can share a server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store_contract/aggregations.rs"]
mod aggregations;
#[path = "store_contract/filters.rs"]
mod filters;
#[path = "store_contract/model.rs"]
mod model;
#[path = "store_contract/writes.rs"]
mod writes;

use std::sync::Arc;

use flowsentry::stores::{EmbeddedConfig, EmbeddedStore, Namespace, Store};
use tempfile::TempDir;

/// A fresh embedded store in a folder that lives as long as the store.
fn embedded() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
    (Arc::new(store), folder)
}

/// Makes one test per case and store.
macro_rules! contract {
    ($store:ident: $($file:ident::{$($case:ident),* $(,)?}),* $(,)?) => {
        mod $store {
            $($(
                #[test]
                fn $case() {
                    let (store, _folder) = super::$store();
                    let namespace = stringify!($case).chars().take(60).collect::<String>();
                    super::$file::$case(&*store, &super::Namespace::new(&namespace).unwrap());
                }
            )*)*
        }
    };
}

contract!(embedded:
    writes::{
        a_document_is_created_once,
        a_repeated_id_within_a_call_is_created_once,
        a_wrong_document_is_rejected_alone,
        the_same_id_in_another_index_is_another_document,
        ids_may_hold_anything,
        what_was_created_is_read_back,
        an_update_needs_the_current_version,
        a_wrong_update_is_rejected_and_changes_nothing,
        an_update_is_seen_by_searches,
        one_of_many_rivals_wins,
        old_indices_are_dropped_whole,
        families_without_period_are_never_dropped,
    },
    filters::{
        filters_agree_with_a_naive_evaluation,
        range_ends_are_in_or_out_as_asked,
        a_search_sees_its_own_namespace_and_family_alone,
        a_time_range_cuts_at_the_millisecond,
        pages_follow_each_other_without_gap,
        missing_values_sort_last_in_both_directions,
        a_source_can_be_cut,
        unknown_fields_are_named,
        wrong_types_are_named,
        contradictions_are_refused,
    },
    aggregations::{
        aggregations_agree_with_a_naive_computation,
        an_empty_store_gives_empty_results,
        local_days_have_23_and_25_hours,
        empty_buckets_are_filled_to_the_bounds,
        terms_are_ordered_as_asked_and_ties_by_key,
        ranges_and_filters_keep_their_order,
        percentiles_interpolate,
        composite_pages_cover_every_combination,
        top_hits_carry_what_was_asked,
        everything_nests,
    },
);
