//! Report data → subject, plain text, HTML for mails, HTML page, JSON.

use std::collections::BTreeMap;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason,
    ScopedJson, no_escape,
};
use serde_json::{Value, json};

use super::clean::{clean, clean_all};
use super::templates::Templates;
use super::{ReportData, ReportError, SECTIONS};
use crate::charts::{Painter, data_uri, format, palette};

/// Turns report data into something to send and to keep.
pub struct Renderer {
    html: Handlebars<'static>,
    text: Handlebars<'static>,
    origins: BTreeMap<String, String>,
    painter: Painter,
    subject_prefix: String,
}

/// A finished report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line without control characters: `Network report 2026-11-20: 3 hosts need attention, 12
    /// alerts`.
    pub subject: String,
    /// The mail for programs that show no HTML; lines of at most 72 characters where the data
    /// allows it.
    pub text: String,
    /// The mail as HTML; shows its pictures as `cid:<id>@flowsentry`.
    pub mail: String,
    /// The same as a page that brings its pictures along.
    pub page: String,
    /// Every figure.
    pub json: String,
    /// The pictures that `mail` shows, in the order of their sections.
    pub pictures: Vec<RenderedPicture>,
}

/// A painted chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedPicture {
    /// The content id that the mail refers to, without `cid:`.
    pub content_id: String,
    /// A file name.
    pub name: String,
    /// 1,280 pixels wide, shown 640 wide.
    pub png: Vec<u8>,
}

/// Pixels per unit: sharp on a phone.
const SCALE: f32 = 2.0;

impl Renderer {
    /// Returns a renderer whose subjects begin with `subject_prefix`, for example `Network report`.
    ///
    /// # Errors
    /// [`ReportError::Template`] when a template does not parse.
    pub fn new(templates: &Templates, subject_prefix: &str) -> Result<Self, ReportError> {
        let mut html = registry();
        let mut text = registry();
        text.register_escape_fn(no_escape);
        let mut origins = BTreeMap::new();
        for (file, template) in &templates.files {
            let name = file.trim_end_matches(".hbs");
            origins.insert(name.to_owned(), template.origin.clone());
            let registry = if name.ends_with(".html") { &mut html } else { &mut text };
            registry.register_template_string(name, &template.text).map_err(|error| {
                let line = error.pos().map_or(0, |(line, _)| line);
                let reason = clean(&error.reason().to_string());
                ReportError::Template { file: template.origin.clone(), line, reason }
            })?;
        }
        register_section_lists(&mut html, &mut text);
        let subject_prefix = clean(subject_prefix).trim().to_owned();
        Ok(Self { html, text, origins, painter: Painter::new(), subject_prefix })
    }

    /// Returns the finished report. Takes about a tenth of a second, for the charts.
    ///
    /// # Errors
    /// [`ReportError::Template`] when a template names something that the report does not have,
    /// [`ReportError::Chart`] when a chart cannot be painted.
    pub fn render(&self, report: &ReportData) -> Result<Rendered, ReportError> {
        let subject = self.subject(report);
        let mut data = json!(report);
        data["subject"] = json!(subject);
        let (mut in_mail, mut in_page) = (json!({}), json!({}));
        let mut pictures = Vec::new();
        for picture in SECTIONS.iter().flat_map(|section| (section.pictures)(report)) {
            let id = picture.id;
            let png = self.painter.png(&picture.svg, SCALE);
            let png = png.map_err(|source| ReportError::Chart { id, source })?;
            let content_id = format!("{id}@flowsentry");
            in_mail[id] = json!({"src": format!("cid:{content_id}"), "alt": picture.alt});
            let uri = data_uri("image/svg+xml", picture.svg.as_bytes());
            in_page[id] = json!({"src": uri, "alt": picture.alt});
            pictures.push(RenderedPicture { content_id, name: format!("{id}.png"), png });
        }
        clean_all(&mut data);
        clean_alternatives(&mut in_mail);
        clean_alternatives(&mut in_page);
        let text = self.apply(&self.text, "report.txt", &data)?;
        data["pictures"] = in_mail;
        let mail = self.apply(&self.html, "report.html", &data)?;
        // a part that nothing refers to would be shown as an attachment
        pictures.retain(|picture| mail.contains(&picture.content_id));
        data["pictures"] = in_page;
        let page = self.apply(&self.html, "report.html", &data)?;
        Ok(Rendered { subject, text, mail, page, json: report.to_json(), pictures })
    }

    fn subject(&self, report: &ReportData) -> String {
        let ReportData { period, verdict, .. } = report;
        let (prefix, headline) = (&self.subject_prefix, &verdict.headline);
        let text = format!("{prefix} {}: {headline}, {}", period.date, verdict.alerts);
        // longer subjects are cut by every mail program anyway
        format::ellipsis(clean(&text).trim(), 150)
    }

    fn apply(
        &self,
        registry: &Handlebars<'_>,
        name: &str,
        data: &Value,
    ) -> Result<String, ReportError> {
        registry.render(name, data).map_err(|error| {
            let template = error.template_name.as_deref().unwrap_or(name);
            let file = self.origins.get(template).map_or(template, String::as_str).to_owned();
            let reason = clean(&error.reason().to_string());
            ReportError::Template { file, line: error.line_no.unwrap_or(0), reason }
        })
    }
}

/// Cleans what is said about pictures; their sources are ours, and long.
fn clean_alternatives(pictures: &mut Value) {
    let entries = pictures.as_object_mut().into_iter().flat_map(|entries| entries.values_mut());
    entries.for_each(|picture| clean_all(&mut picture["alt"]));
}

/// Registers the partials `sections.html` and `sections.txt`: all sections in their order.
fn register_section_lists<'a>(html: &mut Handlebars<'a>, text: &mut Handlebars<'a>) {
    let list = |extension: &str| -> String {
        SECTIONS.iter().map(|section| format!("{{{{> {}.{extension}}}}}\n", section.id)).collect()
    };
    for (registry, extension) in [(html, "html"), (text, "txt")] {
        let name = format!("sections.{extension}");
        registry
            .register_template_string(&name, list(extension))
            .expect("a list of partials parses");
    }
}

/// What templates can call. No name of a helper is a key of the data, where it would hide the
/// value, and every result is escaped like a value.
fn registry() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    let helpers: [(&str, Compute); 12] = [
        ("as_bytes", |values| format::bytes(number(values, 0))),
        ("as_count", |values| format::count(number(values, 0) as u64)),
        ("as_compact", |values| format::compact(number(values, 0))),
        ("as_percent", |values| format::percent(number(values, 0))),
        ("as_measure", |values| format::measure(number(values, 0))),
        ("as_bar", |values| bar(number(values, 0), number(values, 1), number(values, 2))),
        ("as_list", list),
        ("as_color", |values| level_colors(values).0.to_owned()),
        ("as_ink", |values| level_colors(values).1.to_owned()),
        ("pad_right", |values| pad(&string(values), number(values, 1), false)),
        ("pad_left", |values| pad(&string(values), number(values, 1), true)),
        ("as_plural", plural),
    ];
    for (name, function) in helpers {
        registry.register_helper(name, Box::new(Function(function)));
    }
    registry
}

/// What a helper makes of its arguments.
type Compute = fn(&[&Value]) -> String;

/// A helper that is a function of its arguments.
struct Function(Compute);

impl HelperDef for Function {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let values: Vec<&Value> = helper.params().iter().map(|param| param.value()).collect();
        if let Some(missing) = helper.params().iter().find(|param| param.is_value_missing()) {
            let path = missing.relative_path().cloned();
            return Err(RenderErrorReason::MissingVariable(path).into());
        }
        Ok(ScopedJson::Derived(Value::String((self.0)(&values))))
    }
}

fn number(values: &[&Value], index: usize) -> f64 {
    values.get(index).and_then(|value| value.as_f64()).unwrap_or_default()
}

fn string(values: &[&Value]) -> String {
    match values.first() {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// `as_list values`: `a, b, c`.
fn list(values: &[&Value]) -> String {
    let texts = values.first().and_then(|value| value.as_array()).into_iter().flatten();
    texts.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// `as_plural count "alert"`: `2 alerts`.
fn plural(values: &[&Value]) -> String {
    let noun = values.get(1).and_then(|value| value.as_str()).unwrap_or_default();
    super::verdict::plural(number(values, 0) as u64, noun)
}

/// `as_color level`, `as_ink level`: paper and ink of a severity or verdict.
fn level_colors(values: &[&Value]) -> (&'static str, &'static str) {
    match values.first().and_then(|value| value.as_str()).unwrap_or_default() {
        "critical" => (palette::CRITICAL, palette::PAPER),
        "high" => (palette::HIGH, palette::PAPER),
        "medium" => (palette::MEDIUM, palette::INK),
        "low" => (palette::LOW, palette::INK),
        "quiet" => (palette::CALM, palette::PAPER),
        _ => (palette::MUTED, palette::PAPER),
    }
}

/// `pad_right text width`: filled with blanks, cut when it is longer.
fn pad(text: &str, width: f64, on_the_left: bool) -> String {
    let width = width.clamp(0.0, 200.0) as usize;
    let text = format::ellipsis(text, width);
    if on_the_left { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

/// `as_bar value maximum width`: a bar of blocks, at least one when there is anything.
fn bar(value: f64, maximum: f64, width: f64) -> String {
    let share = if maximum > 0.0 { (value / maximum).clamp(0.0, 1.0) } else { 0.0 };
    let blocks = (share * width.clamp(0.0, 200.0)).round() as usize;
    let blocks = if value > 0.0 { blocks.max(1) } else { 0 };
    "█".repeat(blocks)
}
