//! Short schemas: our own window features, UNSW-NB15, and the 19 columns of the CIC-IDS2017 sample.

use super::{Column, Invalid, Kind, Schema};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a source host did in one window, under the names that `features` publishes; the first five
/// are those of system 000.
pub(super) fn flow() -> Schema {
    let names = [
        "sumOfBytes",
        "sumOfFlows",
        "sumOfPackets",
        "uniqDstIPs",
        "uniqDstPorts",
        "records",
        "bytesReturned",
        "probes",
    ];
    let optional = |(n, name): (usize, &&str)| {
        let mut column = Column::count(name);
        if n >= 5 {
            // A table of system 000 has the first five only.
            column.absent = super::Absent::Median;
        }
        column
    };
    Schema {
        name: "flow".to_owned(),
        columns: names.iter().enumerate().map(optional).collect(),
        labels: owned(&["label", "class", "prediction"]),
        ignored: owned(&["id", "srcAddr", "vlanID", "date", "@timestamp"]),
        classes: owned(&["normal", "attack"]),
        normal: "normal".to_owned(),
        label_map: two_classes(),
    }
}

/// UNSW-NB15 (Moustafa & Slay 2015): 42 features with the category of the attack as the label.
pub(super) fn unsw() -> Schema {
    let counts = "dur proto service state spkts dpkts sbytes dbytes rate sttl dttl sload dload \
        sloss dloss sinpkt dinpkt sjit djit swin stcpb dtcpb dwin tcprtt synack ackdat smean dmean \
        trans_depth response_body_len ct_srv_src ct_state_ttl ct_dst_ltm ct_src_dport_ltm \
        ct_dst_sport_ltm ct_dst_src_ltm is_ftp_login ct_ftp_cmd ct_flw_http_mthd ct_src_ltm \
        ct_srv_dst is_sm_ips_ports";
    let column = |name| match name {
        "proto" | "service" | "state" => Column::category(name),
        _ => Column::count(name),
    };
    Schema {
        name: "unsw".to_owned(),
        columns: counts.split_whitespace().map(column).collect(),
        labels: owned(&["attack_cat"]),
        ignored: owned(&["id", "label"]),
        classes: owned(&[
            "normal",
            "generic",
            "exploits",
            "fuzzers",
            "dos",
            "reconnaissance",
            "analysis",
            "backdoor",
            "shellcode",
            "worms",
        ]),
        normal: "normal".to_owned(),
        label_map: [("backdoors".to_owned(), "backdoor".to_owned())].into(),
    }
}

/// The columns of the CIC-IDS2017 sample that Yang, Manias & Shami published with PWPAE (2021);
/// −1 is its word for "no window".
pub(super) fn cic2017() -> Schema {
    let names = [
        "Flow Duration",
        "Total Length of Fwd Packets",
        "Fwd Packet Length Max",
        "Fwd Packet Length Mean",
        "Bwd Packet Length Max",
        "Bwd Packet Length Min",
        "Flow IAT Mean",
        "Flow IAT Min",
        "Fwd IAT Min",
        "Fwd Header Length",
        "Bwd Header Length",
        "Fwd Packets/s",
        "Bwd Packets/s",
        "Min Packet Length",
        "URG Flag Count",
        "Down/Up Ratio",
        "Init_Win_bytes_forward",
        "Init_Win_bytes_backward",
        "min_seg_size_forward",
    ];
    let column = |name: &&str| Column {
        kind: Kind::Number { log: true, least: None, invalid: Invalid::Missing },
        ..Column::count(name)
    };
    Schema {
        name: "cic2017".to_owned(),
        columns: names.iter().map(column).collect(),
        labels: owned(&["Labelb", "label"]),
        ignored: Vec::new(),
        classes: owned(&["normal", "attack"]),
        normal: "normal".to_owned(),
        label_map: two_classes(),
    }
}

fn two_classes() -> std::collections::BTreeMap<String, String> {
    let normal = ["0", "benign", "false"].map(|label| (label, "normal"));
    let attack = ["1", "anomaly", "malicious", "true"].map(|label| (label, "attack"));
    let all = normal.into_iter().chain(attack);
    all.map(|(label, class)| (label.to_owned(), class.to_owned())).collect()
}
