//! `export`: what is built in.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::{ExportAssetArgs, ExportWhat};
use crate::config::REFERENCE;
use crate::setup::{Asset, AssetKind, Capabilities, Retention, render};
use crate::stores::{Flavour, Server, ServerVersion};

use super::{Outcome, common};

/// Prints what is asked for, or writes it to files.
pub(super) fn export(what: &ExportWhat) -> anyhow::Result<Outcome> {
    let retention = Retention::default();
    match what {
        ExportWhat::Config => io::stdout().lock().write_all(REFERENCE.as_bytes())?,
        ExportWhat::Template(args) => export_assets(AssetKind::Template, args, retention)?,
        ExportWhat::Policy(args) => export_assets(AssetKind::Policy, args, retention)?,
        ExportWhat::Pipeline(args) => export_assets(AssetKind::Pipeline, args, retention)?,
    }
    Ok(Outcome::Done)
}

fn export_assets(
    kind: AssetKind,
    args: &ExportAssetArgs,
    retention: Retention,
) -> anyhow::Result<()> {
    let flavour = args.flavour.flavour();
    let server = Server::new(flavour, args.version.unwrap_or(usual_version(flavour)));
    let assets = render(server, Capabilities::of_release(server), retention);
    let chosen = choose(assets, kind, args.name.as_deref())?;
    let Some(folder) = &args.dir else {
        return Ok(io::stdout().lock().write_all(console(&chosen, flavour).as_bytes())?);
    };
    for path in write_files(&chosen, folder)? {
        common::print_line(&path.display().to_string())?;
    }
    Ok(())
}

/// The version that most installations of the product have, or are about to.
const fn usual_version(flavour: Flavour) -> ServerVersion {
    match flavour {
        Flavour::Elasticsearch => ServerVersion::new(8, 19, 0),
        Flavour::OpenSearch => ServerVersion::new(2, 19, 0),
    }
}

/// Returns the objects of `kind`, all or the one called `name`, and before them the component
/// templates that they are made of.
fn choose(assets: Vec<Asset>, kind: AssetKind, name: Option<&str>) -> anyhow::Result<Vec<Asset>> {
    let known: Vec<&str> =
        assets.iter().filter(|asset| asset.kind == kind).map(|asset| asset.name.as_str()).collect();
    if let Some(name) = name.filter(|name| !known.contains(name)) {
        bail!("unknown {} `{name}` (available are {})", kind.name(), known.join(", "));
    }
    let is_wanted =
        |asset: &Asset| asset.kind == kind && name.is_none_or(|name| asset.name == name);
    let needed: Vec<String> =
        assets.iter().filter(|asset| is_wanted(asset)).flat_map(components_of).collect();
    let is_component =
        |asset: &Asset| asset.kind == AssetKind::Component && needed.contains(&asset.name);
    Ok(assets.into_iter().filter(|asset| is_wanted(asset) || is_component(asset)).collect())
}

/// The names of the component templates that `asset` is made of.
fn components_of(asset: &Asset) -> Vec<String> {
    let names = asset.body.get("composed_of").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// Returns requests for the console of Kibana, or Dev Tools of OpenSearch Dashboards.
fn console(assets: &[Asset], flavour: Flavour) -> String {
    let request = |asset: &Asset| {
        format!("PUT {}/{}\n{:#}\n", asset.kind.path(flavour), asset.name, asset.body)
    };
    assets.iter().map(request).collect::<Vec<_>>().join("\n")
}

/// Writes each object to `<folder>/<kind>/<name>.json` and returns the paths.
fn write_files(assets: &[Asset], folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for asset in assets {
        let folder = folder.join(folder_of(asset.kind));
        fs::create_dir_all(&folder)
            .with_context(|| format!("creating the folder `{}`", folder.display()))?;
        let path = folder.join(format!("{}.json", asset.name));
        fs::write(&path, format!("{:#}\n", asset.body))
            .with_context(|| format!("writing `{}`", path.display()))?;
        paths.push(path);
    }
    Ok(paths)
}

/// As in `index-templates/`.
const fn folder_of(kind: AssetKind) -> &'static str {
    match kind {
        AssetKind::Policy => "policy",
        AssetKind::Pipeline => "pipeline",
        AssetKind::Component => "component",
        AssetKind::Template => "template",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(flavour: Flavour) -> Vec<Asset> {
        let server = Server::new(flavour, usual_version(flavour));
        render(server, Capabilities::of_release(server), Retention::default())
    }

    fn names(assets: &[Asset]) -> Vec<&str> {
        assets.iter().map(|asset| asset.name.as_str()).collect()
    }

    #[test]
    fn a_template_comes_after_what_it_is_made_of() {
        let assets = assets(Flavour::OpenSearch);
        let chosen = choose(assets, AssetKind::Template, Some("flowsentry-state")).unwrap();
        let wanted = [
            "flowsentry-state@mappings",
            "flowsentry-state@settings",
            "flowsentry-state@custom",
            "flowsentry-state",
        ];
        assert_eq!(names(&chosen), wanted);
        assert_eq!(chosen[3].kind, AssetKind::Template);
    }

    #[test]
    fn without_a_name_all_of_the_kind_are_chosen() {
        let chosen = choose(assets(Flavour::OpenSearch), AssetKind::Template, None).unwrap();
        // Rejected records have the settings of raw flows, and nothing of the user.
        assert_eq!(chosen.len(), 11 * 4 + 2);
        let chosen = choose(assets(Flavour::OpenSearch), AssetKind::Pipeline, None).unwrap();
        assert_eq!(names(&chosen), ["flowsentry-flows"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = choose(assets(Flavour::OpenSearch), AssetKind::Pipeline, Some("x"));
        let message = "unknown pipeline `x` (available are flowsentry-flows)";
        assert_eq!(error.unwrap_err().to_string(), message);
    }

    #[test]
    fn requests_can_be_pasted_into_a_console() {
        let name = "flowsentry-alerts";
        let chosen = choose(assets(Flavour::Elasticsearch), AssetKind::Policy, Some(name)).unwrap();
        insta::assert_snapshot!(console(&chosen, Flavour::Elasticsearch));
        let all = choose(assets(Flavour::OpenSearch), AssetKind::Policy, None).unwrap();
        let all = console(&all, Flavour::OpenSearch);
        let requests: Vec<&str> = all.split("\n\n").collect();
        assert_eq!(requests.len(), 8);
        for request in requests {
            let (head, body) = request.split_once('\n').unwrap();
            assert!(head.starts_with("PUT _plugins/_ism/policies/flowsentry-"), "{head}");
            assert!(serde_json::from_str::<Value>(body).unwrap()["policy"].is_object());
        }
    }

    #[test]
    fn every_object_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let assets = assets(Flavour::Elasticsearch);
        let paths = write_files(&assets, folder.path()).unwrap();
        assert_eq!(paths.len(), assets.len());
        for (path, asset) in paths.iter().zip(&assets) {
            let read: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            assert_eq!(read, asset.body);
        }
    }
}
