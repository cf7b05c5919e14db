//! From the files to what one server takes: placeholders are filled, types and settings that the
//! server lacks are replaced or left out. `index-templates/README.md` tells the rules.

use serde_json::{Value, json};

use super::{Asset, AssetKind, Capabilities, Retention, SCHEMA, files};
use crate::stores::{Family, Flavour, Period, Server};

/// The name of the template of records that are no flows.
const REJECTED: &str = "flowsentry-rejected";

/// Returns all objects for `server`, in the order in which they must be put in place.
pub fn render(server: Server, capabilities: Capabilities, retention: Retention) -> Vec<Asset> {
    let renderer = Renderer { server, capabilities, retention };
    let mut assets = Vec::new();
    for family in Family::ALL {
        assets.extend(renderer.policy(family));
    }
    if capabilities.ingest {
        assets.push(renderer.pipeline());
    }
    for family in Family::ALL {
        assets.extend(renderer.components(family));
    }
    assets.push(renderer.rejected_mappings());
    assets.push(renderer.rejected_template());
    for family in Family::ALL {
        assets.push(renderer.template(family));
    }
    assets
}

/// Returns the body of a `POST _index_template/_simulate` that Elasticsearch answers with 400 when
/// it lacks the field type `constant_keyword`, and with 200 otherwise. Nothing is written.
pub fn constant_keyword_probe() -> Value {
    json!({
        "index_patterns": ["flowsentry-setupcheck-*"],
        // Above everybody's: equal priorities would be refused for that reason.
        "priority": 1_000_000_007,
        "template": { "mappings": { "properties": { "probe": { "type": "constant_keyword" } } } },
    })
}

#[derive(Clone, Copy)]
struct Renderer {
    server: Server,
    capabilities: Capabilities,
    retention: Retention,
}

impl Renderer {
    fn policy(self, family: Family) -> Option<Asset> {
        if !self.has_policies() {
            return None;
        }
        let text = files::of_family(family).policy(self.server.flavour)?;
        Some(asset(AssetKind::Policy, name(family), self.read(text)))
    }

    fn pipeline(self) -> Asset {
        let mut body = self.read(files::FLOWS_PIPELINE);
        if self.server.flavour == Flavour::OpenSearch {
            remove(&mut body, "_meta");
        }
        asset(AssetKind::Pipeline, name(Family::Flows), body)
    }

    fn components(self, family: Family) -> [Asset; 3] {
        let files = files::of_family(family);
        let mut mappings = self.read(files.mappings);
        self.choose_types(&mut mappings);
        let mut settings = self.read(files.settings);
        if let Some(Value::Object(settings)) = settings.pointer_mut("/template/settings") {
            settings.retain(|key, _| self.knows_setting(key));
        }
        if let Some(template) = settings.get_mut("template").filter(|_| !self.server.serverless) {
            remove(template, "lifecycle");
        }
        let component =
            |part, body| asset(AssetKind::Component, format!("{}@{part}", name(family)), body);
        [
            component("mappings", mappings),
            component("settings", settings),
            Asset { is_custom: true, ..component("custom", self.read(files::CUSTOM)) },
        ]
    }

    fn template(self, family: Family) -> Asset {
        asset(AssetKind::Template, name(family), self.read(files::of_family(family).template))
    }

    fn rejected_mappings(self) -> Asset {
        let mut body = self.read(files::REJECTED.mappings);
        self.choose_types(&mut body);
        asset(AssetKind::Component, format!("{REJECTED}@mappings"), body)
    }

    fn rejected_template(self) -> Asset {
        asset(AssetKind::Template, REJECTED.to_owned(), self.read(files::REJECTED.template))
    }

    /// Whether the server takes lifecycle policies; the serverless offer has none.
    fn has_policies(self) -> bool {
        self.capabilities.lifecycle && !self.server.serverless
    }

    /// Whether the server takes the setting; one that it does not know fails the whole template.
    fn knows_setting(self, key: &str) -> bool {
        let server = self.server;
        match key {
            "index.mode" | "index.mapping.source.mode" => {
                server.is_elasticsearch_from(8, 17) || server.serverless
            }
            "index.lifecycle.name" => {
                self.has_policies() && server.flavour == Flavour::Elasticsearch
            }
            "index.default_pipeline" => self.capabilities.ingest,
            // Shards are none of the customer's business there, and refreshes at least 5 s apart.
            "index.number_of_shards"
            | "index.auto_expand_replicas"
            | "index.codec"
            | "index.refresh_interval" => !server.serverless,
            _ => true,
        }
    }

    /// Replaces the types that servers call differently, or lack.
    fn choose_types(self, value: &mut Value) {
        let Value::Object(object) = value else { return };
        match object.get("type").and_then(Value::as_str) {
            Some("flat") => *value = self.flat_type(),
            Some("constant_keyword") if !self.has_constant_keyword() => *value = keyword(),
            Some(_) | None => object.values_mut().for_each(|value| self.choose_types(value)),
        }
    }

    /// An object that becomes one field, whatever its keys. Elasticsearch refuses a document with
    /// a text of 32 KiB in it, unless such texts are ignored; OpenSearch cannot be told to.
    fn flat_type(self) -> Value {
        match self.server.flavour {
            Flavour::Elasticsearch => json!({ "type": "flattened", "ignore_above": 1024 }),
            Flavour::OpenSearch if self.server.is_opensearch_from(2, 7) => {
                json!({ "type": "flat_object" })
            }
            Flavour::OpenSearch => json!({ "type": "object", "enabled": false }),
        }
    }

    fn has_constant_keyword(self) -> bool {
        self.server.flavour == Flavour::Elasticsearch && self.capabilities.constant_keyword
    }

    /// Reads a file and fills its placeholders.
    fn read(self, text: &str) -> Value {
        let mut body = serde_json::from_str(text).expect("the files are JSON, as a test shows");
        self.fill(&mut body);
        body
    }

    fn fill(self, value: &mut Value) {
        match value {
            Value::String(text) if text == "${schema}" => *value = SCHEMA.into(),
            Value::String(text) if text.contains("${") => *text = self.filled(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.fill(value)),
            Value::Object(object) => object.values_mut().for_each(|value| self.fill(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn filled(self, text: &str) -> String {
        let mut text = text.replace("${schema}", &SCHEMA.to_string());
        for family in Family::ALL {
            let Some(days) = self.delete_days(family) else { continue };
            text = text.replace(&format!("${{delete_days.{}}}", family.name()), &days.to_string());
        }
        text
    }

    /// After how many days an index of `family` holds nothing any more that is to be kept: counted
    /// from its creation, for raw flows from its roll-over. `None` when the family does not age.
    ///
    /// An index that is named by month takes documents up to a month after it was created, and the
    /// last of them is kept as long as all others.
    fn delete_days(self, family: Family) -> Option<u32> {
        let kept = match family {
            Family::Flows => return Some(self.retention.flows),
            Family::Windows => self.retention.windows,
            Family::Anomalies | Family::Alerts => self.retention.anomalies,
            Family::Health | Family::Reports => self.retention.reports,
            Family::DeadLetters => self.retention.deadletters,
            Family::Predictions => self.retention.predictions,
            Family::State | Family::Exceptions | Family::Models => return None,
        };
        let period = match family.period() {
            Period::Day => 1,
            Period::Month => 31,
            Period::Year => 366,
            Period::Unlimited => return None,
        };
        Some(kept.saturating_add(period))
    }
}

fn asset(kind: AssetKind, name: String, body: Value) -> Asset {
    Asset { kind, name, body, is_custom: false }
}

fn name(family: Family) -> String {
    format!("flowsentry-{}", family.name())
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": 1024 })
}

fn remove(object: &mut Value, key: &str) {
    if let Value::Object(members) = object {
        members.remove(key);
    }
}
