//! `report`: one day as a mail, a page and figures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use chrono::NaiveDate;

use crate::cli::ReportArgs;
use crate::config::Config;
use crate::model::Timestamp;
use crate::notify::{FileOutbox, Mail, Part, Sender};
use crate::reports::{Day, Fact, Rendered, Renderer, ReportData, Scope, Templates, collect};
use crate::stores::Store;

use super::Outcome;
use super::common::{make_folder, now, open_store, print_line};

/// Writes the report of a day and says where.
pub(super) fn report(config: &Config, args: &ReportArgs) -> anyhow::Result<Outcome> {
    let store = open_store(config)?;
    let zone = config.report.zone()?;
    let present = now();
    let day = match args.date {
        Some(day) => day,
        None => {
            let today = present.to_utc().with_timezone(&zone).date_naive();
            today.pred_opt().context("there is no day before the first")?
        }
    };
    let folder = args.out.clone().unwrap_or_else(|| config.report_path().join(day.to_string()));
    let written = write_report(config, &store, day, &[], present, &folder)?;
    for path in [&written.html, &written.eml, &written.json] {
        print_line(&path.display().to_string())?;
    }
    Ok(Outcome::Done)
}

/// The files of a report.
pub(super) struct Written {
    pub(super) html: PathBuf,
    pub(super) eml: PathBuf,
    pub(super) json: PathBuf,
}

/// Reads a day from the store and writes its report into a folder. `sent` is the date of the mail.
pub(super) fn write_report(
    config: &Config,
    store: &Arc<dyn Store>,
    date: NaiveDate,
    facts: &[(String, String)],
    sent: Timestamp,
    folder: &Path,
) -> anyhow::Result<Written> {
    let scope = Scope {
        store: &**store,
        namespace: config.namespace()?,
        day: Day::new(date, config.report.zone()?),
        facts: facts.iter().map(|(label, value)| Fact::new(label, value)).collect(),
    };
    let data = collect(scope).context("collecting the report")?;
    let renderer = Renderer::new(&Templates::embedded(), &config.report.subject_prefix)?;
    let rendered = renderer.render(&data).context("rendering the report")?;
    make_folder(folder)?;
    let written = Written {
        html: folder.join("report.html"),
        eml: folder.join("report.eml"),
        json: folder.join("report.json"),
    };
    let files = [(&written.html, &rendered.page), (&written.json, &rendered.json)];
    for (path, content) in files {
        std::fs::write(path, content).with_context(|| format!("writing `{}`", path.display()))?;
    }
    FileOutbox::new(&written.eml)
        .send(&report_mail(config, &data, rendered, sent))
        .context("writing the mail")?;
    Ok(written)
}

fn report_mail(config: &Config, data: &ReportData, report: Rendered, sent: Timestamp) -> Mail {
    let pictures = report.pictures.into_iter().map(|picture| Part {
        content_id: picture.content_id,
        name: picture.name,
        media_type: "image/png",
        bytes: picture.png,
    });
    Mail {
        identity: vec!["report".to_owned(), data.namespace.clone(), data.period.date.clone()],
        from: config.report.sender.clone(),
        to: config.report.recipients.clone(),
        subject: report.subject,
        date: sent,
        text: report.text,
        html: report.mail,
        pictures: pictures.collect(),
        attachments: Vec::new(),
    }
}
