//! The contract of `stores::Store`, written once for all stores.
//!
//! A store is added by one more line of [`contracts!`]. Every case works in a namespace of its own,
//! so that all cases can share a server. Those of Elasticsearch and OpenSearch run against the
//! servers that `FLOWSENTRY_TEST_ELASTICSEARCH` and `FLOWSENTRY_TEST_OPENSEARCH` name.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store_contract/aggregations.rs"]
mod aggregations;
#[path = "store_contract/filters.rs"]
mod filters;
#[path = "store_contract/letters.rs"]
mod letters;
#[path = "store_contract/model.rs"]
mod model;
#[path = "store_contract/orders.rs"]
mod orders;
#[path = "store_contract/scans.rs"]
mod scans;
#[path = "store_contract/sites.rs"]
mod sites;
#[path = "store_contract/sketches.rs"]
mod sketches;
#[path = "store_contract/types.rs"]
mod types;
#[path = "store_contract/writes.rs"]
mod writes;

/// Makes one test per case of a store.
macro_rules! contract {
    (
        $store:ident:
        $($file:ident::{$($case:ident),* $(,)?}),* ;
        random: $($random_file:ident::$random:ident),* $(,)?
    ) => {
        mod $store {
            $($(
                #[test]
                fn $case() {
                    let Some(site) = super::sites::$store(stringify!($case)) else { return };
                    super::$file::$case(&*site.store, &site.namespace);
                }
            )*)*
            $(
                #[test]
                fn $random() {
                    let Some(site) = super::sites::$store(stringify!($random)) else { return };
                    super::$random_file::$random(&*site.store, &site.namespace, site.fillings);
                }
            )*
        }
    };
}

/// Makes all tests of each store.
macro_rules! contracts {
    ($($store:ident),* $(,)?) => {$(
        contract!($store:
            writes::{
                a_document_is_created_once,
                one_document_is_created_once,
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
            letters::{
                letters_hold_anything_once_and_come_back_by_time,
                many_letters_are_read_page_by_page,
            },
            filters::{
                range_ends_are_in_or_out_as_asked,
                a_search_sees_its_own_namespace_and_family_alone,
                a_time_range_cuts_at_the_millisecond,
                a_source_can_be_cut,
                limits_are_the_same_everywhere,
                unknown_fields_are_named,
                wrong_types_are_named,
                contradictions_are_refused,
            },
            orders::{
                pages_follow_each_other_without_gap,
                missing_values_sort_last_in_both_directions,
                every_type_is_paged_through_what_is_missing,
                the_largest_number_is_beside_what_is_missing,
                several_values_sort_by_the_first_on_the_way,
            },
            types::{
                every_type_is_stored_and_found,
                every_type_makes_keys,
                long_keywords_are_stored_not_found,
                what_one_server_refuses_all_refuse,
                flows_are_found_by_their_day,
            },
            scans::{
                a_scan_gives_every_hit_once_in_order,
                a_scan_sees_one_moment,
                a_scan_stops_when_told,
                a_scan_of_nothing_gives_nothing,
                a_scan_needs_an_order,
                several_requests_read_one_moment,
                equals_stand_on_one_page,
                without_an_order_every_hit_comes_once,
                a_moment_answers_its_own_family,
            },
            aggregations::{
                an_empty_store_gives_empty_results,
                local_days_have_23_and_25_hours,
                hours_follow_the_clocks_of_all_zones,
                empty_buckets_are_filled_to_the_bounds,
                terms_are_ordered_as_asked_and_ties_by_key,
                ranges_and_filters_keep_their_order,
                composite_pages_cover_every_combination,
                top_hits_carry_what_was_asked,
                everything_nests,
            },
            sketches::{
                percentiles_interpolate,
                percentiles_stay_within_their_error,
                thousands_of_values_are_counted,
            };
            random:
                filters::filters_agree_with_a_naive_evaluation,
                aggregations::aggregations_agree_with_a_naive_computation,
        );
    )*};
}

contracts!(embedded, elasticsearch, opensearch);
