//! Connection records of KDD Cup 1999 and NSL-KDD: 41 features, 39 attack names, five classes.
//!
//! Sources: the task file of the KDD Cup 1999 archive (names and kinds) and, for the classes of
//! the 17 attacks that only NSL-KDD's test file has, the map of `attack_map.csv` (systems 002
//! and 003): `httptunnel` is r2l and `worm` is dos here; some papers have u2r and r2l.

use super::{Absent, Column, Schema};

const COLUMNS: &str = "duration protocol_type service flag src_bytes dst_bytes land \
    wrong_fragment urgent hot num_failed_logins logged_in num_compromised root_shell su_attempted \
    num_root num_file_creations num_shells num_access_files num_outbound_cmds is_host_login \
    is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate \
    same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count \
    dst_host_same_srv_rate dst_host_diff_srv_rate dst_host_same_src_port_rate \
    dst_host_srv_diff_host_rate dst_host_serror_rate dst_host_srv_serror_rate dst_host_rerror_rate \
    dst_host_srv_rerror_rate";

/// Columns that system 003 dropped because another one says nearly the same; its 31-key records
/// are completed from there.
const STAND_INS: [(&str, &str); 8] = [
    ("num_root", "num_compromised"),
    ("srv_serror_rate", "serror_rate"),
    ("srv_rerror_rate", "rerror_rate"),
    ("dst_host_same_srv_rate", "same_srv_rate"),
    ("dst_host_serror_rate", "serror_rate"),
    ("dst_host_srv_serror_rate", "serror_rate"),
    ("dst_host_rerror_rate", "rerror_rate"),
    ("dst_host_srv_rerror_rate", "rerror_rate"),
];

const ATTACKS: [(&str, &str); 4] = [
    ("dos", "back land neptune pod smurf teardrop apache2 udpstorm processtable mailbomb worm"),
    ("probe", "satan ipsweep nmap portsweep mscan saint"),
    (
        "r2l",
        "guess_passwd ftp_write imap phf multihop warezmaster warezclient spy xlock xsnoop \
         snmpguess snmpgetattack httptunnel sendmail named",
    ),
    ("u2r", "buffer_overflow loadmodule rootkit perl sqlattack xterm ps"),
];

pub(super) fn schema() -> Schema {
    let mut label_map: std::collections::BTreeMap<String, String> =
        [("normal".to_owned(), "normal".to_owned())].into();
    for (class, names) in ATTACKS {
        for name in names.split_whitespace() {
            label_map.insert(name.to_owned(), class.to_owned());
        }
    }
    Schema {
        name: "kdd".to_owned(),
        columns: COLUMNS.split_whitespace().map(column).collect(),
        labels: ["label", "attack", "class", "attack_type"].map(str::to_owned).to_vec(),
        ignored: ["difficulty", "difficulty_level", "last_flag"].map(str::to_owned).to_vec(),
        classes: ["normal", "dos", "probe", "r2l", "u2r"].map(str::to_owned).to_vec(),
        normal: "normal".to_owned(),
        label_map,
    }
}

fn column(name: &str) -> Column {
    if ["protocol_type", "service", "flag"].contains(&name) {
        let mut column = Column::category(name);
        if name == "protocol_type" {
            column.aliases.push("protocol".to_owned());
        }
        return column;
    }
    let mut column =
        if name.ends_with("_rate") { Column::share(name) } else { Column::count(name) };
    if name == "wrong_fragment" {
        // The misspelling that system 003 documents to its users.
        column.aliases.push("worngfragment".to_owned());
    }
    column.absent = match STAND_INS.iter().find(|(lacking, _)| *lacking == name) {
        Some((_, other)) => Absent::SameAs((*other).to_owned()),
        None if ["num_outbound_cmds", "is_guest_login"].contains(&name) => Absent::Value(0.0),
        None => Absent::Rejected,
    };
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thirty_nine_attacks_fall_into_four_classes() {
        let schema = schema();
        let count = |class: &str| schema.label_map.values().filter(|c| *c == class).count();
        assert_eq!(["dos", "probe", "r2l", "u2r"].map(count), [11, 6, 15, 7]);
        assert_eq!(schema.columns.len(), 41);
        assert_eq!(schema.class_of("Neptune."), Some(1));
        assert_eq!(schema.class_of("u2r"), Some(4));
        assert_eq!(schema.class_of("bogus"), None);
    }

    #[test]
    fn both_spellings_name_one_column() {
        let schema = schema();
        assert_eq!(schema.column("srcbytes"), schema.column("src_bytes"));
        assert_eq!(schema.column("worngfragment"), schema.column("wrong_fragment"));
        assert_eq!(schema.column("Protocol"), Some(1));
    }
}
