//! Flows as CICFlowMeter writes them, with the cleaning rules and label codes of system 004.
//!
//! Of the 79 columns, three say where and when (`dst_port`, `protocol`, `timestamp`) and eight
//! never vary; 68 are used. Endless and negative values count as missing, except the two initial
//! window sizes, where −1 says that there was no window.

use super::{Absent, Column, Invalid, Kind, Schema};

const COLUMNS: &str = "flow_duration tot_fwd_pkts tot_bwd_pkts totlen_fwd_pkts totlen_bwd_pkts \
    fwd_pkt_len_max fwd_pkt_len_min fwd_pkt_len_mean fwd_pkt_len_std bwd_pkt_len_max \
    bwd_pkt_len_min bwd_pkt_len_mean bwd_pkt_len_std flow_byts_s flow_pkts_s flow_iat_mean \
    flow_iat_std flow_iat_max flow_iat_min fwd_iat_tot fwd_iat_mean fwd_iat_std fwd_iat_max \
    fwd_iat_min bwd_iat_tot bwd_iat_mean bwd_iat_std bwd_iat_max bwd_iat_min fwd_psh_flags \
    fwd_urg_flags fwd_header_len bwd_header_len fwd_pkts_s bwd_pkts_s pkt_len_min pkt_len_max \
    pkt_len_mean pkt_len_std pkt_len_var fin_flag_cnt syn_flag_cnt rst_flag_cnt psh_flag_cnt \
    ack_flag_cnt urg_flag_cnt cwe_flag_count ece_flag_cnt down_up_ratio pkt_size_avg \
    fwd_seg_size_avg bwd_seg_size_avg subflow_fwd_pkts subflow_fwd_byts subflow_bwd_pkts \
    subflow_bwd_byts init_fwd_win_byts init_bwd_win_byts fwd_act_data_pkts fwd_seg_size_min \
    active_mean active_std active_max active_min idle_mean idle_std idle_max idle_min";
const IGNORED: &str = "dst_port protocol timestamp bwd_psh_flags bwd_urg_flags fwd_byts_b_avg \
    fwd_pkts_b_avg fwd_blk_rate_avg bwd_byts_b_avg bwd_pkts_b_avg bwd_blk_rate_avg";
/// In the order of the codes 0–17.
const CLASSES: [&str; 18] = [
    "Benign",
    "Bot",
    "Brute Force -Web",
    "Brute Force -XSS",
    "DoS attacks-GoldenEye",
    "DoS attacks-Hulk",
    "DoS attacks-SlowHTTPTest",
    "DoS attacks-Slowloris",
    "DDOS attack-HOIC",
    "DDOS attack-LOIC-UDP",
    "DDoS attacks-LOIC-HTTP",
    "FTP-BruteForce",
    "Infilteration",
    "SQL Injection",
    "SSH-Bruteforce",
    "DDOS LOIT",
    "Heartbleed",
    "PortScan",
];

pub(super) fn schema() -> Schema {
    let aliases = [("infiltration", "Infilteration"), ("normal", "Benign")];
    Schema {
        name: "cicflow".to_owned(),
        columns: COLUMNS.split_whitespace().map(column).collect(),
        labels: vec!["label".to_owned()],
        ignored: IGNORED.split_whitespace().map(str::to_owned).collect(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        normal: "Benign".to_owned(),
        label_map: aliases.map(|(label, class)| (label.to_owned(), class.to_owned())).into(),
    }
}

fn column(name: &str) -> Column {
    let is_window = name.starts_with("init_");
    let least = if is_window { None } else { Some(0.0) };
    let kind = Kind::Number { log: true, least, invalid: Invalid::Missing };
    Column { name: name.to_owned(), aliases: Vec::new(), kind, absent: Absent::Rejected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::record::{Value, record_of};

    /// The first row of system 004's sample, but for its endless rate and its negative duration.
    #[test]
    fn endless_and_negative_values_are_missing_but_minus_one_is_a_window() {
        let schema = schema();
        let value = |name: &str| match name {
            "flow_duration" => Value::Number(-188_505_000_000.0),
            "flow_byts_s" => Value::Text("Infinity"),
            "init_fwd_win_byts" => Value::Number(-1.0),
            _ => Value::Number(3.0),
        };
        let named = schema.columns.iter().map(|column| (column.name.as_str(), value(&column.name)));
        let record = record_of(&schema, named.chain([("Dst Port", Value::Number(80.0))])).unwrap();
        let at = |name: &str| record.numbers[schema.column(name).unwrap()];
        assert!(at("flow_duration").is_nan() && at("Flow Byts/s").is_nan());
        assert_eq!((at("init_fwd_win_byts"), at("tot_fwd_pkts")), (-1.0, 3.0));
    }

    #[test]
    fn sixty_eight_columns_are_used_and_the_codes_are_those_of_system_004() {
        let schema = schema();
        assert_eq!(schema.columns.len(), 68);
        assert_eq!(schema.columns.len() + schema.ignored.len(), 79);
        assert_eq!(schema.class_of("Infilteration"), Some(12));
        assert_eq!(schema.class_of("PortScan"), Some(17));
        assert_eq!(schema.normal_code(), 0);
    }
}
