//! Files of truth: hidden episodes of the simulation, or what is expected in which capture.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::attack::{Attack, Deed};
use crate::model::{Kind, Timestamp};
use crate::simulate::Episode;

/// What a file of truth says.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// The episodes of a simulation, as `simulate --truth` writes them.
    Episodes(Vec<Episode>),
    /// What is expected in which capture.
    Captures(Vec<Capture>),
}

impl Truth {
    /// Reads JSON or YAML.
    ///
    /// # Errors
    /// In words, when it is neither a list of episodes nor of captures.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(episodes) = serde_json::from_str::<Vec<Episode>>(text) {
            return Ok(Self::Episodes(episodes));
        }
        let file: CaptureFile = serde_yaml_ng::from_str(text).map_err(|error| {
            format!("neither episodes of `simulate --truth` nor a list of `captures`: {error}")
        })?;
        match file.captures.iter().find(|capture| capture.files.is_empty()) {
            Some(_) => Err("an entry of `captures` names no `files`".to_owned()),
            None => Ok(Self::Captures(file.captures)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureFile {
    captures: Vec<Capture>,
}

/// What is expected in a capture.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// The files, relative to the folder of the data; several are scored as one.
    pub files: Vec<PathBuf>,
    /// The name of the data set; the first folder of the first file when absent.
    pub set: Option<String>,
    /// Whether the data carry labels that say what is malicious.
    pub labels: bool,
    /// Hosts of the network that was watched, for counts by host and day; inside hosts when empty.
    pub own: Vec<IpAddr>,
    /// Only harmless traffic: no anomaly above low may be found.
    pub normal: bool,
    /// What must be found, or is looked for.
    pub expected: Vec<Expected>,
    /// Labels that are only reported, not required.
    pub optional: Vec<String>,
    /// A subject that must stand out among others.
    pub rank: Option<Expectation>,
    /// For people.
    pub note: Option<String>,
}

impl Capture {
    /// The name of the data set.
    pub fn set_name(&self) -> String {
        let first = || {
            let first = self.files.first().and_then(|file| file.components().next());
            first.map(|part| part.as_os_str().to_string_lossy().into_owned())
        };
        self.set.clone().or_else(first).unwrap_or_default()
    }

    /// Returns where the files lie: beneath the folder `data`, or `data` itself when it is the only
    /// one of them. `None` when they are not there.
    pub fn located(&self, data: &Path) -> Option<Vec<PathBuf>> {
        if data.is_file() {
            let is_it =
                |file: &PathBuf| data.ends_with(file) || data.file_name() == file.file_name();
            return match self.files.as_slice() {
                [file] if is_it(file) => Some(vec![data.to_owned()]),
                _ => None,
            };
        }
        let stays =
            |file: &Path| file.components().all(|part| matches!(part, Component::Normal(_)));
        let paths: Vec<_> = self.files.iter().map(|file| data.join(file)).collect();
        let are_there = self.files.iter().all(|file| stays(file));
        (are_there && paths.iter().all(|path| path.is_file())).then_some(paths)
    }

    /// Returns the expected attacks of flows from `extent.0` to `extent.1`.
    pub fn attacks(&self, extent: (Timestamp, Timestamp)) -> Vec<Attack> {
        let attack = |expected: &Expected| Attack {
            name: expected.name.clone(),
            fitting: expected.kinds.clone(),
            is_required: !expected.optional,
            is_line: false,
            deeds: vec![Deed {
                start: expected.from.unwrap_or(extent.0),
                end: expected.to.unwrap_or(extent.1),
                sources: expected.hosts.clone(),
                destinations: Vec::new(),
            }],
        };
        self.expected.iter().map(attack).collect()
    }
}

/// One attack that is expected in a capture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// What it is, for tables.
    pub name: String,
    /// Kinds of alert that name it rightly; any of them will do.
    pub kinds: Vec<Kind>,
    /// Hosts of which one must be named; any when empty.
    #[serde(default)]
    pub hosts: Vec<IpAddr>,
    /// Its first moment; that of the capture when absent.
    pub from: Option<Timestamp>,
    /// Its last moment; that of the capture when absent.
    pub to: Option<Timestamp>,
    /// Only reported.
    #[serde(default)]
    pub optional: bool,
}

/// A subject that must have one of the highest scores of a kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The kind.
    pub kind: Kind,
    /// The host.
    pub host: IpAddr,
    /// The last rank that will do.
    pub top: usize,
    /// Hours after the first flow at which it is asked.
    pub after_hours: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::AttackKind;

    #[test]
    fn episodes_and_captures_are_told_apart() {
        let episodes = vec![Episode {
            kind: AttackKind::Beacon,
            start: Timestamp::from_seconds(10),
            end: Timestamp::from_seconds(20),
            attackers: vec![],
            victims: vec![],
        }];
        let text = serde_json::to_string(&episodes).unwrap();
        assert_eq!(Truth::parse(&text), Ok(Truth::Episodes(episodes)));
        let text = "captures:\n- files: [set/a.log]\n  expected: [{name: scan, kinds: [beacon]}]\n";
        let Ok(Truth::Captures(captures)) = Truth::parse(text) else { panic!("captures") };
        assert_eq!(captures[0].set_name(), "set");
        assert_eq!(captures[0].expected[0].kinds, [Kind::Beacon]);
    }

    #[test]
    fn a_wrong_key_and_an_entry_without_files_are_named() {
        let error = Truth::parse("captures:\n- file: a.log\n").unwrap_err();
        assert!(error.contains("`file`"), "{error}");
        let error = Truth::parse("captures:\n- normal: true\n").unwrap_err();
        assert!(error.contains("`files`"), "{error}");
    }

    #[test]
    fn no_file_outside_of_the_folder_is_read() {
        let capture = Capture { files: vec!["../Cargo.toml".into()], ..Capture::default() };
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert_eq!(capture.located(&src), None);
    }
}
