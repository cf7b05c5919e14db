//! The templates: embedded, each replaceable by a file of the same name.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ReportError, SECTIONS};

/// Template sources by file name. [`Templates::embedded`] are the ones in `reports/`.
#[derive(Clone, Debug)]
pub struct Templates {
    pub(super) files: BTreeMap<String, Template>,
}

/// One source with the name to blame.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub origin: String,
    pub text: String,
}

/// Frames and the pieces that sections share.
const FRAMES: [(&str, &str); 7] = [
    ("report.html.hbs", include_str!("../../reports/report.html.hbs")),
    ("report.txt.hbs", include_str!("../../reports/report.txt.hbs")),
    ("tile.html.hbs", include_str!("../../reports/tile.html.hbs")),
    ("open.html.hbs", include_str!("../../reports/open.html.hbs")),
    ("close.html.hbs", include_str!("../../reports/close.html.hbs")),
    ("picture.html.hbs", include_str!("../../reports/picture.html.hbs")),
    ("badge.html.hbs", include_str!("../../reports/badge.html.hbs")),
];

impl Templates {
    /// Returns the templates that flowsentry brings along.
    pub fn embedded() -> Self {
        let frames = FRAMES.iter().map(|&(name, text)| (name.to_owned(), text));
        let sections = SECTIONS.iter().flat_map(|section| {
            let html = (format!("{}.html.hbs", section.id), section.html);
            let text = (format!("{}.txt.hbs", section.id), section.text);
            [html, text]
        });
        let files = frames.chain(sections).map(|(name, text)| {
            let template = Template { origin: name.clone(), text: text.to_owned() };
            (name, template)
        });
        Self { files: files.collect() }
    }

    /// Returns the embedded templates, with those in `folder` in place of the ones of their name.
    /// Files that do not end in `.hbs` are ignored.
    ///
    /// # Errors
    /// When the folder cannot be read, or holds a template of a name that no report uses. Whether
    /// a template parses shows in [`super::Renderer::new`].
    pub fn with_folder(folder: &Path) -> Result<Self, ReportError> {
        let io = |source| ReportError::Io { path: folder.to_owned(), source };
        let mut templates = Self::embedded();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "hbs") {
                templates.replace(&path)?;
            }
        }
        Ok(templates)
    }

    fn replace(&mut self, path: &Path) -> Result<(), ReportError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let origin = path.display().to_string();
        let Some(template) = self.files.get_mut(&name) else {
            let known = self.files.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(ReportError::UnknownTemplate { file: origin, known });
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReportError::Io { path: path.to_owned(), source })?;
        *template = Template { origin, text };
        Ok(())
    }
}
